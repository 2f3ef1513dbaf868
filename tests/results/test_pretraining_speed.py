import numpy as np
import pytest
import torch

from hf_scratch.data.pairs import next_sentence_pairs
from hf_scratch.results import pretraining_speed, training_speed
from hf_scratch.results.pretraining_speed import SPECIAL, made_up_corpus, make_trainer, projection_share


@pytest.fixture
def tiny(tiny, monkeypatch):
    """And few rows to fine-tune on."""
    monkeypatch.setattr(pretraining_speed, "yelp_like", lambda count: training_speed.yelp_like(131))


def test_the_corpus_has_a_sep_after_each_document_and_pairs_can_be_drawn(tiny):
    corpus = made_up_corpus(29)
    assert corpus.counts()["documents"] == 29
    ends = corpus.sentences[corpus.documents[:, 1] - 1, 1]
    assert (corpus.tokens[ends] == SPECIAL["sep"]).all() and (corpus.tokens == SPECIAL["sep"]).sum() == 29
    assert len(next_sentence_pairs(corpus, 128, np.random.default_rng(0)))


def test_the_share_of_the_projection_is_that_of_the_weights_that_a_token_meets(tiny, tmp_path):
    trainer = make_trainer("mlm", "mini", "cpu", 256, 0.15, str(tmp_path))
    layer = sum(
        weight.numel()
        for weight in (p for n, p in trainer.model.base_model.named_parameters() if "embeddings" not in n)
        if weight.ndim == 2
    )
    projection = 0.15 * trainer.model.get_output_embeddings().weight.numel()
    attention = 2 * 128 * 12
    assert projection_share("mini", 0.15) == pytest.approx(projection / (projection + layer + attention))


@pytest.mark.slow
def test_both_objectives_are_timed_beside_fine_tuning(tiny):
    assert not torch.cuda.is_available()
    fine_tuning, speeds = pretraining_speed.compare("mini", "cpu", 256, 1)
    assert [speed.objective for speed in speeds] == ["mlm", "mlm+nsp"]
    for speed in speeds:
        assert speed.tokens > 0 and speed.ratio == pytest.approx(speed.tokens / fine_tuning)
