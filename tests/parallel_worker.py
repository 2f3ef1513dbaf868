"""What each of several processes runs that test_distributed.py starts: many runs, and one JSON file from the first process."""

import json
import multiprocessing
import os
import signal
import socket
from pathlib import Path

import torch
from accelerate import PartialState
from accelerate.utils import gather_object
from datasets import Dataset
from transformers import BertConfig, BertForSequenceClassification, TrainerCallback, TrainingArguments

from hf_scratch import ScratchConfig, ScratchForSequenceClassification
from hf_scratch.errors import UserError
from hf_scratch.training.class_weights import ClassWeights
from hf_scratch.training.distributed import destroy_process_groups
from hf_scratch.training.stopping import StopOnRequest
from hf_scratch.training.trainer import ClassificationTrainer

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
MODELS = {
    "scratch": (ScratchConfig, ScratchForSequenceClassification),
    "bert": (BertConfig, BertForSequenceClassification),
}
GLOBAL_BATCH, STEPS, EVALUATED = 24, 50, (1, 97, 99, 101)  # the batch is shared by 1 to 4, in one or two parts


def make_rows(count: int) -> Dataset:
    """Rows of equal length whose label their first token decides."""
    ids = torch.randint(1, 31, (count, 7), generator=torch.Generator().manual_seed(0))
    labels = (ids[:, 0] > 15).long()
    return Dataset.from_dict({"input_ids": ids.tolist(), "labels": labels.tolist()})


def make_trainer(model, folder, rows, batch_size: int, **changes) -> ClassificationTrainer:
    arguments = {
        "output_dir": str(folder),
        "per_device_train_batch_size": batch_size,
        "per_device_eval_batch_size": 8,
        "max_steps": STEPS,
        "logging_steps": 1,
        "learning_rate": 3e-3,
        "save_strategy": "no",
        "disable_tqdm": True,
        "use_cpu": True,
        "dataloader_pin_memory": False,
    }
    weights = changes.pop("class_weights", None)
    args = TrainingArguments(**arguments | changes)
    parts = {"train_dataset": rows, "eval_dataset": make_rows(7)}
    return ClassificationTrainer(model=model, args=args, **parts, compute_metrics=weigh, class_weights=weights)


def weigh(prediction) -> dict:
    """A number that changes if any row is missing, repeated or out of its place."""
    places = torch.arange(1, len(prediction.label_ids) + 1, dtype=torch.float64)
    logits = torch.from_numpy(prediction.predictions).double()
    return {"checksum": (logits[:, 0] * places).sum().item(), "rows": len(logits)}


def train_and_evaluate(name: str, folder: Path, world_size: int, **changes) -> dict:
    """The curve of 50 steps on 101 rows, whose last batch is incomplete; and what the untrained model says of four parts."""
    config_class, model_class = MODELS[name]
    torch.manual_seed(0)
    model = model_class(config_class(**SIZES))
    accumulation = changes.get("gradient_accumulation_steps", 1)
    trainer = make_trainer(model, folder, make_rows(101), GLOBAL_BATCH // world_size // accumulation, **changes)
    evaluated = {size: trainer.evaluate(make_rows(size)) for size in EVALUATED}
    trainer.train()
    log = trainer.state.log_history
    return {
        "losses": [entry["loss"] for entry in log if "loss" in entry],
        "gradients": [float(entry["grad_norm"]) for entry in log if "loss" in entry],
        "epochs": [entry["epoch"] for entry in log if "loss" in entry],
        "evaluated": {
            size: {key: value for key, value in metrics.items() if is_fact(key)} for size, metrics in evaluated.items()
        },
        "train_loss": log[-1]["train_loss"],
    }


def is_fact(key: str) -> bool:
    return key in ("eval_loss", "eval_checksum", "eval_rows")


CASES = {
    "scratch": {},
    "bert": {},
    "scratch, accumulated": {"gradient_accumulation_steps": 2},
    "scratch, weighted": {"class_weights": ClassWeights(torch.tensor([0.2, 3.0]))},
    "scratch, by length": {"train_sampling_strategy": "group_by_length"},
}


class AskLast(TrainerCallback):
    """Sends SIGTERM to the last process alone, in the middle of a step."""

    def __init__(self, step: int):
        self.step = step

    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step == self.step - 1 and args.process_index == args.world_size - 1:
            os.kill(os.getpid(), signal.SIGTERM)


def stop_and_go_on(folder: Path, world_size: int) -> dict:
    """One process is asked to stop: all do, at the same step, and what goes on from there ends as if it never had stopped."""
    ends = {}
    for name, asked in (("unbroken", None), ("stopped", 7), ("resumed", None)):
        config_class, model_class = MODELS["scratch"]
        torch.manual_seed(0)
        model = model_class(config_class(**SIZES | {"hidden_dropout_prob": 0.1}))
        place = folder / ("unbroken" if name == "unbroken" else "broken")
        trainer = make_trainer(model, place, make_rows(101), GLOBAL_BATCH // world_size, max_steps=20, logging_steps=5)
        stop = StopOnRequest()
        trainer.add_callback(stop)
        if asked:
            trainer.add_callback(AskLast(asked))
        trainer.train(resume_from_checkpoint=str(place / "checkpoint-7") if name == "resumed" else None)
        weights = torch.cat([weight.detach().flatten() for weight in model.parameters()])
        log = [
            {key: entry[key] for key in ("loss", "grad_norm", "step")} for entry in trainer.state.log_history if "loss" in entry
        ]
        ends[name] = {"stopped_at": stop.stopped_at, "weights": weights.tolist(), "log": str(log)}
    return {name: gather_object([end]) for name, end in ends.items()}


def meet_no_number(folder: Path, world_size: int) -> list[str]:
    """What each process says when the loss of the last one alone is no number."""
    config_class, model_class = MODELS["scratch"]
    trainer = make_trainer(model_class(config_class(**SIZES)), folder, make_rows(101), GLOBAL_BATCH // world_size)
    compute = trainer.compute_loss
    bad = float("nan") if trainer.args.process_index == world_size - 1 else 1.0
    trainer.compute_loss = lambda *args, **kwargs: compute(*args, **kwargs) * (bad if trainer.state.global_step == 2 else 1)
    try:
        trainer.train()
    except UserError as error:
        return gather_object([str(error)])


def run_all(folder: Path, world_size: int) -> dict:
    return {case: train_and_evaluate(case.split(",")[0], folder, world_size, **changes) for case, changes in CASES.items()}


def main(folder: Path, environment: dict[str, str]):
    """Be the process that the environment says, as a launcher sets it."""
    os.environ.update(environment)
    torch.set_num_threads(1)
    state = PartialState(cpu=True)
    many = state.num_processes
    results = {"world_size": many, "no number": meet_no_number(folder, many), "stops": stop_and_go_on(folder, many)}
    results |= run_all(folder, many)
    if state.is_main_process:
        (folder / "results.json").write_text(json.dumps(results))
    destroy_process_groups()


def start(folder: Path, world_size: int) -> list[int]:
    """Run `main` in so many processes of a server that has imported everything once; their exit codes."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.parallel_worker"])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": str(world_size), "LOCAL_WORLD_SIZE": str(world_size)}
    shared |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    ranks = [shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(world_size)]
    processes = [context.Process(target=main, args=(folder, environment)) for environment in ranks]
    for process in processes:
        process.start()
    for process in processes:
        process.join(200)
        process.kill()
    return [process.exitcode for process in processes]
