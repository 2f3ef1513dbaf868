import json

import numpy as np
import pytest
import torch
from datasets import Dataset
from sklearn.utils.class_weight import compute_class_weight
from torch.nn import functional
from transformers import BertConfig, BertForSequenceClassification, TrainingArguments
from transformers.trainer_pt_utils import LabelSmoother

from hf_scratch import ScratchConfig, ScratchForSequenceClassification
from hf_scratch.data.labels import Labels
from hf_scratch.errors import UserError
from hf_scratch.training.class_weights import ClassWeights, check_loss, class_weights
from tests.parallel_worker import SIZES, make_trainer

LABELS = Labels("classification", ("bad", "fair", "good"))
GOLD = [0] * 3 + [1] * 5 + [2] * 11
TRAIN = Dataset.from_dict({"label": GOLD})
FLAGS = Dataset.from_dict({"label": [[1.0, 0.0, 0.0]] * 3 + [[0.0, 1.0, 0.0]] * 5 + [[-1.0] * 3]})
SEVERAL = Labels("multi_label", ("x", "y", "never"))
LOGITS = torch.randn(7, 3, generator=torch.Generator().manual_seed(0))
IDS = torch.tensor([0, 1, 2, 2, 1, 0, 2])


def test_no_weights_are_no_weights():
    assert class_weights("none", LABELS, TRAIN) is None


def test_balanced_weights_are_scikit_learns_and_have_mean_one():
    weights = class_weights("balanced", LABELS, TRAIN).weights.numpy()
    np.testing.assert_allclose(weights, compute_class_weight("balanced", classes=np.arange(3), y=GOLD), rtol=1e-6)
    assert weights[GOLD].mean() == pytest.approx(1)


def test_a_class_without_training_rows_does_no_harm():
    four = Labels("ordinal", ("1", "2", "3", "4"))
    weights = class_weights("balanced", four, TRAIN).weights
    assert torch.isfinite(weights).all() and weights[GOLD].mean().item() == pytest.approx(1)


def test_balanced_labels_weigh_their_positive_rows_as_much_as_the_others():
    weights = class_weights("balanced", SEVERAL, FLAGS)
    assert weights.several and weights.weights.tolist() == pytest.approx([5 / 3, 3 / 5, 8])


def test_the_loss_is_the_mean_of_weighted_losses():
    weights = ClassWeights(torch.tensor([0.5, 2.0, 3.0]))
    losses = functional.cross_entropy(LOGITS, IDS, reduction="none")
    assert weights.loss(LOGITS, IDS).item() == pytest.approx((weights.weights[IDS] * losses).sum().item() / 7)
    smoothed = LabelSmoother(0.1)({"logits": LOGITS}, IDS)
    assert ClassWeights(torch.ones(3)).loss(LOGITS, IDS, smoothing=0.1).item() == pytest.approx(smoothed.item())
    flags = functional.one_hot(IDS, 3).float()
    by_hand = -(weights.weights * flags * LOGITS.sigmoid().log() + (1 - flags) * (1 - LOGITS.sigmoid()).log()).mean()
    assert ClassWeights(weights.weights, several=True).loss(LOGITS, flags).item() == pytest.approx(by_hand.item())


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("w.json", json.dumps({"good": 1, "bad": 4, "fair": "2"})),
        ("w.csv", "name,weight\nbad,4\n\nfair, 2\ngood,1.0\n"),
        ("w.csv", "\ufeffbad,4\nfair,2\ngood,1\n"),
    ],
)
def test_a_file_gives_weights_by_name_scaled_to_mean_one(tmp_path, name, content):
    (tmp_path / name).write_text(content, encoding="utf-8")
    found = class_weights(str(tmp_path / name), LABELS, TRAIN).weights
    scale = 19 / (3 * 4 + 5 * 2 + 11 * 1)
    assert found.tolist() == pytest.approx([4 * scale, 2 * scale, scale])
    of_labels = class_weights(str(tmp_path / name), Labels("multi_label", LABELS.names), FLAGS).weights
    assert of_labels.tolist() == [4, 2, 1]  # torch's pos_weight, as it is


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (None, None, r"--class_weights .* is neither none, balanced nor a file"),
        ("w.json", "[1, 2]", "cannot be read as weights of classes .* write a JSON object"),
        ("w.json", "{", "cannot be read as weights of classes"),
        ("w.csv", "bad,1,2\n", "cannot be read as weights of classes"),
        ("w.csv", "", "gives no weight to bad, fair, good, but each class needs one"),
        ("w.json", '{"bad": 1, "good": 1}', "gives no weight to fair, but each class needs one"),
        ("w.json", '{"Bad": 1, "fair": 1, "good": 1}', r"gives a weight to 'Bad', but the classes are .* Did you mean bad\?"),
        ("w.json", '{"bad": 0, "fair": 1, "good": 1}', "the weight of 'bad' is 0, but a weight is a number above 0"),
        ("w.json", '{"bad": NaN, "fair": 1, "good": 1}', "the weight of 'bad' is nan"),
        ("w.json", '{"bad": true, "fair": 1, "good": 1}', "the weight of 'bad' is True"),
        ("w.csv", "name,weight\nbad,heavy\n", "the weight of 'bad' is 'heavy'"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(tmp_path, name, content, message):
    path = tmp_path / (name or "nothing.json")
    if name:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=message):
        class_weights(str(path), LABELS, TRAIN)


def test_numbers_have_no_classes_to_weigh():
    with pytest.raises(UserError, match="--class_weights balanced is for classes, but the labels are numbers"):
        class_weights("balanced", Labels("regression", ("score",)), Dataset.from_dict({"label": [1.0]}))


@pytest.mark.parametrize(("labels", "what"), [(SEVERAL, "several for a row"), (Labels("regression", ("score",)), "numbers")])
def test_smoothing_is_for_one_class_a_row(labels, what, tmp_path):
    training = TrainingArguments(str(tmp_path), label_smoothing_factor=0.1, use_cpu=True)
    check_loss(training, LABELS)
    with pytest.raises(UserError, match=f"--label_smoothing_factor 0.1 spreads .* but these labels are {what}"):
        check_loss(training, labels)


def one_update(model, folder, labels, weights, batch_size, accumulation):
    """The logged loss and the weights after one update on the same 32 rows."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(1, 31, (32, 7), generator=generator)
    rows = Dataset.from_dict({"input_ids": ids.tolist(), "labels": labels})
    settings = {"max_steps": 1, "gradient_accumulation_steps": accumulation, "optim": "sgd", "max_grad_norm": 0.0}
    trainer = make_trainer(model, folder, rows, batch_size, **settings)
    trainer.class_weights, trainer.compute_metrics = weights, None
    trainer.train()
    plain = functional.cross_entropy if not weights.several else functional.binary_cross_entropy_with_logits
    model.eval()
    with torch.no_grad():
        expected = plain(model(input_ids=ids).logits, torch.tensor(labels)).item()
    assert trainer.evaluate(rows)["eval_loss"] == pytest.approx(expected)  # evaluation knows no weights
    return trainer.state.log_history[0]["loss"], {name: weight.detach().clone() for name, weight in model.named_parameters()}


@pytest.mark.parametrize("several", [False, True], ids=["one class a row", "several labels"])
@pytest.mark.parametrize(
    ("config_class", "model_class"),
    [(ScratchConfig, ScratchForSequenceClassification), (BertConfig, BertForSequenceClassification)],
)
def test_accumulating_four_batches_of_eight_is_one_batch_of_32(config_class, model_class, several, tmp_path):
    problem_type = "multi_label_classification" if several else "single_label_classification"
    torch.manual_seed(0)
    model = model_class(config_class(**SIZES, num_labels=3, problem_type=problem_type)).double()
    start = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    ids = [(row * row) % 3 for row in range(32)]  # of no two batches the same shares
    labels = np.eye(3)[ids].tolist() if several else ids
    weights = ClassWeights(torch.tensor([0.2, 1.7, 4.0], dtype=torch.float64), several)
    with torch.no_grad():
        generator = torch.Generator().manual_seed(0)
        logits = model.eval()(input_ids=torch.randint(1, 31, (32, 7), generator=generator)).logits
    expected = weights.loss(logits, torch.tensor(labels)).item()
    loss, updated = one_update(model, tmp_path, labels, weights, 32, 1)
    assert loss == pytest.approx(expected, rel=1e-6)
    model.load_state_dict(start)
    accumulated_loss, accumulated = one_update(model, tmp_path, labels, weights, 8, 4)
    assert accumulated_loss == pytest.approx(loss, rel=1e-9)
    for name, weight in updated.items():
        torch.testing.assert_close(accumulated[name], weight, rtol=1e-9, atol=1e-12)
