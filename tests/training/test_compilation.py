from types import SimpleNamespace

import pytest
import torch
from datasets import Dataset
from transformers import DataCollatorWithPadding, TrainingArguments

from hf_scratch.data.tokenization import train_wordpiece
from hf_scratch.training import compilation
from hf_scratch.training.arguments import SpeedArguments
from hf_scratch.training.compilation import Compilation, RecordedBody, choose_compilation, layers_of
from hf_scratch.training.padding_free import PaddingFree, Shapes
from hf_scratch.training.trainer import ClassificationTrainer
from tests.training.test_padding_free import LENGTHS, assert_equal_outcomes, batch, build, outcome


def as_it_is(recorded):
    """In place of `make_graphed_callables`, which needs CUDA: keeps what it is given, and hands the module back."""

    def record(module, tensors, allow_unused_input):
        recorded.append(tensors)
        torch.rand(3)  # recording draws random numbers
        return module

    return record


@pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning")  # torch's own, while it traces
@pytest.mark.parametrize("name", ["bert", "scratch-rope", "distilbert"])
def test_layers_compiled_once_for_all_give_the_same(name):
    model, inputs = build(name), batch() | {"labels": torch.arange(5)}
    padded = outcome(model, inputs)
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    with PaddingFree(model) as free:
        free.shapes = Shapes(1, 1, 19)
        for layer in layers_of(free.body):
            layer.compile(dynamic=True, backend="eager")
        assert_equal_outcomes(padded, outcome(model, inputs))
    assert compilation.compilations() > 0


def test_each_shape_is_recorded_once_and_random_numbers_go_on_as_before():
    model, recorded = build("scratch").train(), []
    inputs = batch() | {"labels": torch.arange(5)}
    torch.manual_seed(0)
    with PaddingFree(model) as free:
        free.shapes = Shapes(37, 4, 19)
        plain = outcome(model, inputs)
        torch.manual_seed(0)
        free.run = RecordedBody(free.body, as_it_is(recorded))
        assert_equal_outcomes(plain, outcome(model, inputs))
        outcome(model, batch(LENGTHS[::-1]) | {"labels": torch.arange(5)})
        assert [tuple(tensor.shape for tensor in tensors) for tensors in recorded] == [((1, 74), (1, 74), (11,))]
        outcome(model, batch((19, 19, 19, 19, 19)) | {"labels": torch.arange(5)})
        with torch.no_grad():
            model.eval()(**batch((2, 2)))
    assert [len(tensors[0][0]) for tensors in recorded] == [74, 111]


def test_past_the_bound_nothing_more_is_recorded(monkeypatch):
    monkeypatch.setattr(compilation, "MOST_RECORDED", 1)
    model, recorded = build("bert").train(), []
    with PaddingFree(model) as free:
        free.run = RecordedBody(free.body, as_it_is(recorded))
        for lengths in ((3, 5), (7, 5), (3, 5)):
            model(**batch(lengths))
    assert len(recorded) == 1


class Speedy:
    """A clock that says what it is told."""

    def __init__(self, *steps):
        self.now, self.steps = 0.0, list(steps)

    def __call__(self):
        return self.now

    def step(self):
        self.now += self.steps.pop(0) if len(self.steps) > 1 else self.steps[0]


def train(tmp_path, monkeypatch, clock, least_seconds=0.0):
    """Train on CPU with a compilation whose clock is ours; the trainer and the compilation."""
    monkeypatch.setattr(compilation, "now", clock)
    monkeypatch.setattr(torch.nn.Module, "compile", lambda module, **kwargs: setattr(module, "_compiled_call_impl", None))
    monkeypatch.setattr(torch.cuda, "make_graphed_callables", as_it_is([]))
    chosen = []

    def choose(wanted, free, args, longest):
        chosen.append(Compilation(free, longest, True, least_seconds))
        return chosen[-1]

    monkeypatch.setattr("hf_scratch.training.trainer.choose_compilation", choose)
    rows = Dataset.from_dict(
        {"input_ids": [[5] * n for n in LENGTHS], "attention_mask": [[1] * n for n in LENGTHS], "labels": [0, 1, 2, 3, 4]}
    )
    args = TrainingArguments(str(tmp_path), max_steps=23, use_cpu=True, save_strategy="no", dataloader_pin_memory=False)
    collator = DataCollatorWithPadding(train_wordpiece(["a"], 100, 19))
    trainer = ClassificationTrainer(build("scratch"), args, collator, rows, speed=SpeedArguments())
    watch = trainer.training_step
    monkeypatch.setattr(trainer, "training_step", lambda *args: (clock.step(), watch(*args))[1])
    trainer.train()
    return trainer, chosen[0]


@pytest.mark.parametrize(
    ("seconds", "kept"), [([2.0] * 10 + [9.0, 9.0, 9.0, 1.0], True), ([2.0] * 10 + [9.0, 9.0, 9.0, 3.0], False)]
)
def test_what_is_faster_is_kept_and_said(seconds, kept, tmp_path, monkeypatch, capsys):
    trainer, chosen = train(tmp_path, monkeypatch, Speedy(*seconds))
    line = trainer.execution["compilation"]
    if kept:
        assert line.startswith("compiled: a step of 59 tokens takes 1000.0 ms in place of 2000.0 (")
    else:
        assert line.startswith("compiling was undone: a step of 59 tokens took 3000.0 ms in place of 2000.0 (")
    assert f"  {line}\n" in capsys.readouterr().out
    assert chosen.free.run == chosen.free.body.forward and chosen.free.shapes is None  # the model leaves as it came


def test_a_compiler_that_fails_costs_no_run(tmp_path, monkeypatch, capsys):
    def fail(self, **inputs):
        raise RuntimeError("no kernel image")

    monkeypatch.setattr(RecordedBody, "__call__", fail)
    trainer, chosen = train(tmp_path, monkeypatch, Speedy(1.0))
    assert trainer.state.global_step == 23
    assert trainer.execution["compilation"] == "compiling failed and was undone: RuntimeError: no kernel image"
    assert capsys.readouterr().out.count("compiling failed") == 1 and chosen.free.shapes is None


def test_a_short_run_is_not_compiled(tmp_path, monkeypatch):
    trainer, _ = train(tmp_path, monkeypatch, Speedy(0.5), least_seconds=30.0)
    assert trainer.execution["compilation"] == "not compiled: the run ends in 6 s, before compiling would have paid"


def test_where_nothing_is_compiled_is_said(tmp_path):
    args = TrainingArguments(str(tmp_path), use_cpu=True)
    free = PaddingFree(build("bert"))
    assert choose_compilation(False, free, args, 19) == "not compiled, as --torch_compile false asks"
    assert choose_compilation(None, None, args, 19) == "not compiled: padding is computed"
    assert choose_compilation(None, free, args, 19) == "not compiled: it was not proven to pay on cpu"


@pytest.mark.parametrize(
    ("model", "world_size", "bf16", "why"),
    [
        ("bert", 1, True, None),
        ("scratch", 1, True, None),
        ("roberta", 1, True, "for roberta"),
        ("bert", 2, True, "for several processes"),
        ("bert", 1, False, "but in bf16"),
    ],
)
def test_on_a_gpu_is_compiled_what_was_proven_or_asked_for(model, world_size, bf16, why):
    free = PaddingFree(build(model))
    cuda = SimpleNamespace(device=torch.device("cuda"), world_size=world_size, gradient_accumulation_steps=1, bf16=bf16)
    chosen = choose_compilation(None, free, cuda, 19)
    if why:
        assert chosen == f"not compiled: not proven {why}; --torch_compile tries it, and keeps it where it is faster"
    else:
        assert isinstance(chosen, Compilation)
    assert isinstance(choose_compilation(True, free, cuda, 19), Compilation)
    assert choose_compilation(False, free, cuda, 19) == "not compiled, as --torch_compile false asks"


def test_nothing_more_is_recorded_where_memory_was_short_once(monkeypatch):
    model, recorded, shares = build("bert").train(), [], iter([0.5, 0.3])
    monkeypatch.setattr(compilation, "free_share", lambda: next(shares))
    with PaddingFree(model) as free:
        free.run = RecordedBody(free.body, as_it_is(recorded))
        for lengths in ((3, 5), (3, 5), (7, 5), (6, 5)):
            model(**batch(lengths))
        with torch.no_grad():
            model.eval()(**batch((2, 2)))
    assert [len(tensors[0][0]) for tensors in recorded] == [8] and next(shares, None) is None
