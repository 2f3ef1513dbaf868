import pytest
import torch
from datasets import Dataset
from scipy.special import rel_entr
from transformers import BertConfig, BertForSequenceClassification, TrainingArguments

from hf_scratch import ScratchConfig, ScratchForSequenceClassification
from hf_scratch.training.arguments import RegularizationArguments
from hf_scratch.training.trainer import ClassificationTrainer, drop_tokens, symmetric_divergence

SIZES = {
    "vocab_size": 31,
    "hidden_size": 12,
    "num_hidden_layers": 1,
    "num_attention_heads": 3,
    "intermediate_size": 17,
    "max_position_embeddings": 13,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
MODELS = [(ScratchConfig, ScratchForSequenceClassification), (BertConfig, BertForSequenceClassification)]


def one_step(model, folder, batch_size: int, accumulation: int, regularization=None):
    """Train one step on the same 32 rows; the logged loss and gradient norm, and the weights."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(1, 31, (32, 7), generator=generator)
    rows = Dataset.from_dict({"input_ids": ids.tolist(), "labels": [row % 2 for row in range(32)]})
    args = TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=batch_size,
        gradient_accumulation_steps=accumulation,
        max_steps=1,
        logging_steps=1,
        learning_rate=1e-3,
        optim="sgd",
        max_grad_norm=0.0,
        lr_scheduler_type="constant",
        save_strategy="no",
        disable_tqdm=True,
        use_cpu=True,
        dataloader_pin_memory=False,
    )
    trainer = ClassificationTrainer(model=model, args=args, train_dataset=rows, regularization=regularization)
    trainer.train()
    logged = trainer.state.log_history[0]
    return logged["loss"], {name: weight.detach().clone() for name, weight in model.named_parameters()}


@pytest.mark.parametrize(("config_class", "model_class"), MODELS)
def test_accumulating_four_batches_of_eight_is_one_batch_of_32(config_class, model_class, tmp_path):
    torch.manual_seed(0)
    model = model_class(config_class(**SIZES)).double()
    start = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    loss, weights = one_step(model, tmp_path, 32, 1)
    model.load_state_dict(start)
    accumulated_loss, accumulated_weights = one_step(model, tmp_path, 8, 4)
    assert accumulated_loss == pytest.approx(loss, rel=1e-9)
    for name, weight in weights.items():
        torch.testing.assert_close(accumulated_weights[name], weight, rtol=1e-9, atol=1e-12)


def test_token_dropout_hides_its_share_and_never_a_special_token():
    torch.manual_seed(0)
    ids = torch.randint(0, 31, (101, 97))
    mask = (torch.arange(97) < 89).long().expand(101, 97)
    hidden = drop_tokens({"input_ids": ids, "attention_mask": mask, "labels": ids}, 0.3, special_ids=[2, 3])
    special = torch.isin(ids, torch.tensor([2, 3]))
    new = hidden["attention_mask"]
    assert torch.equal(new[special], mask[special]) and new[mask == 0].sum() == 0
    ordinary = ~special & (mask == 1)
    share = 1 - new[ordinary].float().mean()
    assert abs(share - 0.3) < 4 * (0.3 * 0.7 / ordinary.sum()) ** 0.5
    assert mask.sum() == 101 * 89 and hidden["labels"] is ids  # the caller's tensors are left as they were


def test_the_divergence_is_that_of_scipy():
    first, second = torch.randn(2, 7, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    p, q = first.softmax(-1).numpy(), second.softmax(-1).numpy()
    expected = (rel_entr(p, q).sum(-1) + rel_entr(q, p).sum(-1)).mean() / 2
    assert symmetric_divergence(first, second).item() == pytest.approx(expected)


def test_r_drop_without_dropout_changes_nothing(tmp_path):
    """Two passes that drop nothing agree: the mean loss over both is that of one, and the divergence is zero."""
    torch.manual_seed(0)
    model = ScratchForSequenceClassification(ScratchConfig(**SIZES)).double()
    start = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    loss, weights = one_step(model, tmp_path, 32, 1)
    model.load_state_dict(start)
    doubled_loss, doubled_weights = one_step(model, tmp_path, 32, 1, RegularizationArguments(r_drop=3.0))
    assert doubled_loss == pytest.approx(loss)
    for name, weight in weights.items():
        torch.testing.assert_close(doubled_weights[name], weight, rtol=1e-9, atol=1e-12)


def test_r_drop_with_dropout_adds_to_the_loss(tmp_path):
    torch.manual_seed(0)
    model = ScratchForSequenceClassification(ScratchConfig(**SIZES | {"hidden_dropout_prob": 0.5})).double()
    start = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    losses = []
    for weight in (1e-9, 1000.0):
        model.load_state_dict(start)
        losses.append(one_step(model, tmp_path, 32, 1, RegularizationArguments(r_drop=weight))[0])
    assert losses[1] > losses[0]


@pytest.mark.parametrize(
    ("values", "message"),
    [({"token_dropout": 1.0}, "--token_dropout is 1, but a probability"), ({"r_drop": -1.0}, "--r_drop is -1, but a weight")],
)
def test_refused_regularization(values, message):
    with pytest.raises(ValueError, match=message):
        RegularizationArguments(**values)
