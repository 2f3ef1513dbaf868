"""Text to token ids: a WordPiece vocabulary learnt from the training part, and the tokenizing of all parts."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import pyarrow as pa
from datasets import DatasetDict
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from ..errors import UserError
from . import cache
from .arrow import ROWS_AT_ONCE, TEXT_COLUMNS
from .encoding import as_arrow, encode
from .long_text import truncate

ROWS_OF_VOCABULARY = 100_000  # a vocabulary is learnt from no more; they show every word that is worth an entry
SPECIAL_TOKENS = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}


def train_wordpiece(
    texts: Collection[str], vocab_size: int, max_length: int, lowercase: bool = True
) -> PreTrainedTokenizerFast:
    """Learn a WordPiece vocabulary and wrap it as BERT's tokenizer: `[CLS] A [SEP]`, `[CLS] A [SEP] B [SEP]`.

    Args:
        texts: the training part only; what is held out must not shape the vocabulary.
        vocab_size: entries at most, the five special tokens included.
        max_length: what the tokenizer truncates to when asked, in tokens.
        lowercase: fold case and strip accents, as bert-base-uncased does.

    Raises:
        UserError: if the vocabulary could not hold the special tokens and a few letters.
    """
    if vocab_size < 100:
        raise UserError(f"--tokenizer_vocab_size is {vocab_size}, but it must be at least 100; 8000 suits a small corpus")
    tokenizer = bert_tokenizer(lowercase)
    # The library numbers continuing letters in the order of a hash map, another one each time, and breaks ties between equally
    # frequent pieces by these numbers. Named before the rest, in order, they make the vocabulary the same on every run.
    letters = frequent_letters(tokenizer, texts, (vocab_size - len(SPECIAL_TOKENS)) // 2)
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocab_size,
        special_tokens=[*SPECIAL_TOKENS.values(), *continuing(tokenizer, letters)],
        initial_alphabet=letters,
        limit_alphabet=len(letters),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer = bert_tokenizer(lowercase, vocabulary=tokenizer.get_vocab())
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=max_length,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        clean_up_tokenization_spaces=False,
        **SPECIAL_TOKENS,
    )


def bert_tokenizer(lowercase: bool, vocabulary: dict[str, int] | None = None) -> Tokenizer:
    """BERT's rules for words, over a vocabulary that is given or still to be learnt."""
    tokenizer = Tokenizer(models.WordPiece(vocab=vocabulary or {}, unk_token=SPECIAL_TOKENS["unk_token"]))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer


def frequent_letters(tokenizer: Tokenizer, texts: Collection[str], size: int) -> list[str]:
    """The most frequent characters of the texts: Chinese alone has more than a small vocabulary could hold."""
    counts = Counter(chain.from_iterable(map(tokenizer.normalizer.normalize_str, texts)))
    return sorted((letter for letter in counts if not letter.isspace()), key=lambda letter: (-counts[letter], letter))[:size]


def continuing(tokenizer: Tokenizer, letters: list[str]) -> list[str]:
    """'##a', '##b', ...: the letters that can stand inside a word, in order."""

    def words(text):
        return tokenizer.pre_tokenizer.pre_tokenize_str(tokenizer.normalizer.normalize_str(text))

    return sorted(f"##{letter}" for letter in letters if len(words(f"a{letter}")) == 1)


@dataclass(frozen=True)
class Tokenizing:
    """How texts become the model's inputs.

    Args:
        tokenizer: the model's.
        max_length: in tokens, special ones included.
        policy: what is kept of longer texts, as `long_text.settle_policy` wrote it into the tokenizer.
        num_proc: processes; None for one, in which the tokenizer itself uses all cores.
        cache_dir: where the tokens are kept for the next run; None for the cache of `datasets`.
        overwrite_cache: tokenize again what is kept.
    """

    tokenizer: PreTrainedTokenizerBase
    max_length: int
    policy: str = "head"
    num_proc: int | None = None
    cache_dir: str | None = None
    overwrite_cache: bool = False

    def fingerprints(self, parts: DatasetDict) -> dict[str, str]:
        """For each part the same if rows, tokenizer, length and policy are; another if any of them differs."""
        facts = {"tokenizer": cache.digest_of_tokenizer(self.tokenizer), "length": self.max_length, "policy": self.policy}
        return {part: cache.digest_of(rows=cache.digest_of_rows(rows), **facts) for part, rows in parts.items()}

    def encode(self, table: pa.Table) -> pa.Table:
        """A batch of rows with the model's inputs, and `lost`, how many tokens each text lost; no padding, so no mask."""
        texts = [table[name].to_pylist() for name in TEXT_COLUMNS if name in table.column_names]
        encoded = encode(self.tokenizer, *texts)
        if self.tokenizer.is_fast:
            lost = truncate(encoded, self.max_length, self.policy)
        else:  # does not tell which token is of which text, but can cut by itself
            lengths = list(map(len, encoded["input_ids"]))
            encoded = self.tokenizer(*texts, truncation=True, max_length=self.max_length, return_attention_mask=False)
            lost = [length - len(ids) for length, ids in zip(lengths, encoded["input_ids"], strict=True)]
        for name, lists in encoded.items():
            table = table.append_column(name, as_arrow(lists, pa.int32() if name == "input_ids" else pa.int8()))
        return table.append_column("lost", pa.array(lost, pa.int32()))


def tokenize(parts: DatasetDict, how: Tokenizing, fingerprints: dict[str, str]) -> DatasetDict:
    """Add the model's inputs to every part, and `lost`, the tokens of each row that the length cut off.

    The tokens are kept on disk under the fingerprint of all that they depend on.

    Args:
        parts: with the columns `text` and, for pairs, `text_pair`.
        how: tokenizer, length, and what is kept of longer texts.
        fingerprints: of `how.fingerprints`.
    """
    tokenized = {}
    for part, rows in parts.items():
        folder = Path(cache.kept_under(fingerprints[part], how.cache_dir))
        folder.mkdir(parents=True, exist_ok=True)
        tokenized[part] = (
            rows.with_format("arrow")
            .map(
                how.encode,
                batched=True,
                num_proc=how.num_proc if len(rows) > ROWS_AT_ONCE else None,
                cache_file_name=str(folder / "tokens.arrow"),
                load_from_cache_file=not how.overwrite_cache,
                new_fingerprint=fingerprints[part][:16],
                desc=f"tokenize {part}",
            )
            .with_format(None)
        )
    return DatasetDict(tokenized)


def usable_length(asked: int, tokenizer: PreTrainedTokenizerBase, positions: int | None) -> int:
    """The longest input that flags, tokenizer and the model's positions all allow.

    Args:
        asked: --max_seq_length.
        tokenizer: its `model_max_length` counts.
        positions: how many the model has; None if it takes any length.

    Raises:
        UserError: if no token of a text would be left between [CLS] and [SEP].
    """
    limits = {"--max_seq_length": asked, "the tokenizer's model_max_length": tokenizer.model_max_length}
    if positions and positions > 0:  # some write -1 for none
        limits["max_position_embeddings"] = positions
    name, length = min(limits.items(), key=lambda item: item[1])
    if length < 3:
        raise UserError(f"{name} is {length}, but an input must hold [CLS], a token and [SEP]; give at least 3")
    return length
