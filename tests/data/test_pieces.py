from datasets import Dataset

from hf_scratch.data.pieces import cut_into_pieces
from hf_scratch.data.tokenization import train_wordpiece
from tests.conftest import make_reviews

LENGTH = 7


def test_the_pieces_of_a_text_are_its_tokens_in_order_each_with_its_label():
    texts = [text for text, _ in make_reviews(23)]
    tokenizer = train_wordpiece(texts, vocab_size=151, max_length=37)
    rows = Dataset.from_dict({"id": list(range(23)), "text": texts, "label": [row % 2 for row in range(23)]})
    expected = []
    for row, text in enumerate(texts):
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        for start in range(0, len(ids), LENGTH - 2):
            piece = [tokenizer.cls_token_id, *ids[start : start + LENGTH - 2], tokenizer.sep_token_id]
            expected.append((piece, row % 2))
    pieces = cut_into_pieces(rows, tokenizer, LENGTH)
    assert list(zip(pieces["input_ids"][:], pieces["label"][:], strict=True)) == expected
    assert len(pieces) > 2 * len(rows)
    assert set(pieces.column_names) == {"input_ids", "token_type_ids", "attention_mask", "label"}
