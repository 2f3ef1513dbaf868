"""Text to token ids: a WordPiece vocabulary learnt from the training part, and the tokenizing of all parts."""

from collections import Counter
from collections.abc import Sequence
from itertools import chain

from datasets import DatasetDict
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from ..errors import UserError

SPECIAL_TOKENS = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}


def train_wordpiece(texts: Sequence[str], vocab_size: int, max_length: int, lowercase: bool = True) -> PreTrainedTokenizerFast:
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


def frequent_letters(tokenizer: Tokenizer, texts: Sequence[str], size: int) -> list[str]:
    """The most frequent characters of the texts: Chinese alone has more than a small vocabulary could hold."""
    counts = Counter(chain.from_iterable(map(tokenizer.normalizer.normalize_str, texts)))
    return sorted((letter for letter in counts if not letter.isspace()), key=lambda letter: (-counts[letter], letter))[:size]


def continuing(tokenizer: Tokenizer, letters: list[str]) -> list[str]:
    """'##a', '##b', ...: the letters that can stand inside a word, in order."""

    def words(text):
        return tokenizer.pre_tokenizer.pre_tokenize_str(tokenizer.normalizer.normalize_str(text))

    return sorted(f"##{letter}" for letter in letters if len(words(f"a{letter}")) == 1)


def tokenize(
    parts: DatasetDict, tokenizer: PreTrainedTokenizerBase, max_length: int, num_proc: int | None = None
) -> DatasetDict:
    """Add the model's inputs to every part, truncated to `max_length` tokens; padding is the collator's work.

    Args:
        parts: with the columns `text` and, for pairs, `text_pair`.
        tokenizer: the model's.
        max_length: in tokens, special ones included.
        num_proc: processes; None for one.
    """

    def encode(rows):
        return tokenizer(rows["text"], rows.get("text_pair"), truncation=True, max_length=max_length)

    return parts.map(encode, batched=True, num_proc=num_proc, desc="tokenize")


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
