import pytest
import torch

from hf_scratch.data.masking import IGNORED, CountMasked, asked_first, masking_for
from hf_scratch.data.tokenization import train_wordpiece
from hf_scratch.errors import UserError
from tests.conftest import make_reviews

B, T = 1009, 67


@pytest.fixture(scope="module")
def tokenizer():
    return train_wordpiece([text for text, _ in make_reviews(97)], vocab_size=151, max_length=T)


@pytest.fixture(scope="module")
def batch(tokenizer):
    """Rows of random ordinary ids between [CLS] and [SEP], the last ones padded; many pieces that continue a word."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(5, len(tokenizer), (B, T), generator=generator)
    ids[:, 0], ids[:, -1], ids[::3, 31] = tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.sep_token_id
    ids[::7, 43:] = tokenizer.pad_token_id
    return ids


def treated(masking, batch, seed=0):
    """New ids, and where tokens were chosen, both `(B, T)`."""
    new, positions, labels = masking(batch, torch.Generator().manual_seed(seed))
    chosen = torch.zeros(batch.numel(), dtype=torch.bool)
    chosen[positions[labels != IGNORED]] = True
    assert torch.equal(batch.flatten()[positions[labels != IGNORED]], labels[labels != IGNORED])
    return new, chosen.view_as(batch)


def within(count, total, share):
    """Four standard deviations of a binomial."""
    return abs(count - total * share) < 4 * (total * share * (1 - share)) ** 0.5


@pytest.mark.parametrize("probability", [0.15, 0.4])
def test_the_share_is_chosen_and_never_a_special_token(tokenizer, batch, probability):
    new, chosen = treated(masking_for(tokenizer, probability), batch)
    ordinary = batch >= 5
    assert not (chosen & ~ordinary).any() and torch.equal(new[~chosen], batch[~chosen])
    counts = (ordinary.sum(1) * probability).round().long()
    assert torch.equal(chosen.sum(1), counts) and within(chosen.sum(), ordinary.sum(), probability)
    where = chosen[:, 1:30].float().mean(0)
    assert (abs(where - probability) < 5 * (probability * (1 - probability) / B) ** 0.5).all()  # every place alike


def test_eighty_percent_are_hidden_ten_replaced_and_ten_kept(tokenizer, batch):
    new, chosen = treated(masking_for(tokenizer), batch)
    total = int(chosen.sum())
    hidden = (new[chosen] == tokenizer.mask_token_id).sum()
    same = (new[chosen] == batch[chosen]).sum()
    V = len(tokenizer) - 5
    assert within(hidden, total, 0.8) and within(same, total, 0.1 + 0.1 / V)
    replaced = new[chosen & (new != tokenizer.mask_token_id) & (new != batch)]
    assert (replaced >= 5).all() and len(replaced.unique()) > 0.9 * V
    assert within(len(replaced), total, 0.1 * (1 - 1 / V))


def test_masks_are_drawn_anew_and_repeat_with_their_generator(tokenizer, batch):
    masking = masking_for(tokenizer)
    first, again, other = (treated(masking, batch, seed)[1] for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)


def words_of(row, continuing):
    """Lists of positions, one a word; special tokens part words."""
    words, open_ = [], False
    for place, id_ in enumerate(row.tolist()):
        if id_ < 5:
            open_ = False
        elif continuing[id_] and open_:
            words[-1].append(place)
        else:
            words.append([place])
            open_ = True
    return words


def test_whole_words_are_chosen_whole(tokenizer, batch):
    masking = masking_for(tokenizer, 0.15, whole_words=True)
    assert 20 < masking.continuing.sum() < len(tokenizer) - 20
    _, chosen = treated(masking, batch)
    taken = []
    for row, marks in zip(batch[:211], chosen[:211], strict=True):
        for word in words_of(row, masking.continuing):
            marked = marks[word]
            assert marked.all() or not marked.any()
            taken.append((len(word), bool(marked.any())))
    wanted = ((batch >= 5).sum(1) * 0.15).round()
    assert (chosen.sum(1) <= wanted).all() and chosen.sum() > 0.97 * wanted.sum()
    long, short = ([mark for size, mark in taken if (size > 1) == is_long] for is_long in (True, False))
    assert abs(sum(long) / len(long) - sum(short) / len(short)) < 0.05  # long words are not passed over


@pytest.mark.parametrize("whole_words", [False, True])
def test_what_will_be_asked_for_is_counted_before_it_is_drawn(tokenizer, batch, whole_words):
    masking = masking_for(tokenizer, whole_words=whole_words)
    count = CountMasked(lambda rows: {"input_ids": rows}, masking)(batch)["num_masked"]
    _, positions, labels = masking(batch, torch.Generator().manual_seed(0))
    asked = labels != IGNORED
    assert count < labels.numel() and (asked.sum() <= count if whole_words else asked.sum() == count)
    first = asked_first(positions, labels, count)
    assert first[0].shape == first[1].shape == (count,)
    for found, expected in zip(first, (positions, labels), strict=True):
        assert torch.equal(found[: asked.sum()], expected[asked])
    assert (first[1][asked.sum() :] == IGNORED).all()
    assert "num_masked" not in CountMasked(dict, masking)({"input_ids": batch, "labels": batch})  # held-out rows are masked


def test_one_a_row_hides_one_token_of_each(tokenizer, batch):
    new, chosen = treated(masking_for(tokenizer).one_a_row(), batch)
    assert (chosen.sum(1) == 1).all() and (new[chosen] == tokenizer.mask_token_id).all()


def test_a_row_without_ordinary_tokens_asks_for_nothing(tokenizer):
    batch = torch.full((2, 7), tokenizer.pad_token_id)
    new, chosen = treated(masking_for(tokenizer, whole_words=True), batch)
    assert torch.equal(new, batch) and not chosen.any()


def test_whole_words_need_a_vocabulary_that_tells_them():
    class Bytes:
        all_special_ids, mask_token_id = [0], 0

        def __len__(self):
            return 3

        def convert_ids_to_tokens(self, ids):
            return ["<mask>", "the", "\u0120cat"]

    assert masking_for(Bytes()).continuing is None
    with pytest.raises(UserError, match="none of the tokenizer's 3 tokens begins with ##"):
        masking_for(Bytes(), whole_words=True)
