"""What an encoder is worth: fine-tuned on several tasks with several seeds, side by side, each run scored once at its end."""

import json
import multiprocessing
import os
import runpy
import shutil
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean

from ..data.cache import digest_of_files
from ..data.sources import resolve_address
from ..errors import UserError, closest
from ..training import launch
from ..training.arguments import RECIPES, Parser, parse_arguments
from ..training.disk import replace_json
from ..training.folder import hold
from ..training.steps import STOPPED
from .metrics import METRICS as KNOWN
from .outcome import PREFIXES

FOLDER = RECIPES / "transfer"
METRICS = {"cola": "matthews_correlation"}  # and accuracy of the others
OWN = {  # flags that the command settles: each run trains, and is scored by its task's metric
    *("output_dir", "overwrite_output_dir", "resume_from_checkpoint", "recipe", "model_name_or_path", "seed", "seeds"),
    *("dry_run", "do_train", "do_eval", "do_predict", "problem_type", "do_regression"),
}
WEIGHTS = ("config.json", "*.safetensors", "*.bin", "tokenizer*", "vocab*")  # of an encoder: what a fine-tuning reads
KINDS = ("parquet", "csv", "tsv", "jsonl")
FILE = "transfer.json"


@dataclass(frozen=True)
class TransferRun:
    """One fine-tuning.

    Args:
        task: name of its recipe.
        seed: of its head and its batches.
        flags: for run_glue_style.py, without --seed and --output_dir.
        read: digest of the encoder's and the rows' files, as far as they are on this disk.
    """

    task: str
    seed: int
    flags: tuple[str, ...]
    read: str = ""

    @property
    def name(self) -> str:
        """As it is called in the record and the folder."""
        return f"{self.task}-seed-{self.seed}"

    @property
    def metric(self) -> str:
        """What it is scored by."""
        return METRICS.get(self.task, "accuracy")


def runs_of(encoder: str, data: str | None, tasks: list[str] | None, seeds: int, flags: list[str]) -> list[TransferRun]:
    """All runs, seed by seed, so that a table is complete as early as it can be.

    Args:
        encoder: to fine-tune.
        data: folder of the tasks' rows; None takes them from the Hub.
        tasks: names of recipes; None for all.
        seeds: how many.
        flags: more, for every run.

    Raises:
        UserError: if a task or its rows are not there, or a flag is the command's own.
    """
    if seeds < 1:
        raise UserError(f"--seeds is {seeds}, but each task is fine-tuned at least once; 3 show the spread")
    known = sorted(path.stem for path in FOLDER.glob("*.yaml"))
    for name in tasks or ():
        if name not in known:
            raise UserError(f"--tasks {name}: there is no such task.{closest(name, known)} They are {', '.join(known)}")
    for name in sorted(Parser().given(flags) & OWN):
        raise UserError(f'--flags "... --{name} ...", but each run gets its --{name} from the command; leave it away')
    firsts = []
    weights = digest_of_weights(encoder)
    for task in dict.fromkeys(tasks or known):
        words = ["--recipe", str(FOLDER / f"{task}.yaml"), "--model_name_or_path", encoder]
        files = files_of(task, data) if data else ()
        words += [
            word for flag, file in zip(("--train_file", "--validation_file"), files, strict=False) for word in (flag, str(file))
        ]
        parse_arguments([*words, *flags], KNOWN)  # what is wrong in a flag is said before anything runs
        rows = digest_of_files(Path(data), files) if files else ""
        firsts.append(TransferRun(task, 0, (*words, *flags), f"{weights} {rows}"))
    return [replace(first, seed=seed) for seed in range(seeds) for first in firsts]


def digest_of_weights(encoder: str) -> str:
    """Of an encoder on this disk; nothing of one on the Hub."""
    folder = Path(resolve_address(encoder))
    return digest_of_files(folder, {file for name in WEIGHTS for file in folder.glob(name)}) if folder.is_dir() else ""


def files_of(task: str, data: str) -> list[Path]:
    """A task's files of training and validation; those of yelp serve yelp_1000 too."""
    for folder in (Path(data, task), Path(data, task.split("_")[0])):
        for kind in KINDS:
            files = [folder / f"{part}.{kind}" for part in ("train", "validation")]
            if all(file.is_file() for file in files):
                return files
    raise UserError(
        f"--data {data} holds no rows of {task}: {Path(data, task)} must hold train and validation, each as one of "
        f"{', '.join(KINDS)}; put them there, or leave the task away by --tasks"
    )


class Record:
    """transfer.json: the scores of the runs that came to their end, for one encoder.

    Args:
        folder: of the file, and of what the runs say.
        encoder: that all of them begin with.

    Raises:
        UserError: if the folder holds something else, or the runs of another encoder, or another process writes there.
    """

    def __init__(self, folder: str, encoder: str):
        self.folder, self.path = Path(folder), Path(folder, FILE)
        if self.path.exists():
            self.content = read_record(self.path)
            if self.content["encoder"] != encoder:
                raise UserError(
                    f"--output_dir {folder} holds the runs of {self.content['encoder']}, which would be mixed with those of "
                    f"{encoder}; give another --output_dir"
                )
        elif self.folder.exists() and (not self.folder.is_dir() or any(self.folder.iterdir())):
            raise UserError(f"--output_dir {folder} holds something else than such a table; give a new or an empty folder")
        else:
            self.content = {"encoder": encoder, "runs": {}}
        self.folder.mkdir(parents=True, exist_ok=True)
        hold(self.folder)

    def score_of(self, run: TransferRun) -> float | None:
        """Of a run that is done with the same flags, from the same weights and rows."""
        found = self.content["runs"].get(run.name, {})
        return found["score"] if (found.get("flags"), found.get("read")) == (list(run.flags), run.read) else None

    def keep(self, run: TransferRun, found: dict):
        """Write it down at once, whole."""
        self.content["runs"][run.name] = {"flags": list(run.flags), "read": run.read, "metric": run.metric, **found}
        replace_json(self.path, self.content)

    def scores(self, runs: list[TransferRun]) -> dict[str, tuple[str, list[float]]]:
        """By task: the metric, and what each seed got."""
        found = {}
        for run in runs:
            if self.score_of(run) is not None:
                found.setdefault(run.task, (run.metric, []))[1].append(self.score_of(run))
        return found


def read_record(path: Path) -> dict:
    """What transfer.json holds.

    Raises:
        UserError: if that is no such table.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        content = None
    if not isinstance(content, dict) or not {"encoder", "runs"} <= content.keys():
        raise UserError(f"{path} is damaged: it must hold the encoder and its runs; remove it, or give another --output_dir")
    return content


def take(runs: list[TransferRun], record: Record, processes: int | None, say):
    """Take all runs that are not done, side by side, and keep each one's score as soon as it is there.

    Args:
        runs: to take, in this order.
        record: of their scores.
        processes: at a time on a device; None chooses.
        say: is told each score.

    Raises:
        UserError: at the end, if runs failed; or if a process was ended from outside.
    """
    devices, at_once = workers_of(processes)
    left = [run for run in runs if record.score_of(run) is None]
    if not left:
        return
    replace_json(record.path, record.content)  # what is killed before its first score leaves a folder that the command knows
    context = multiprocessing.get_context("spawn")
    places = context.Queue()
    for place in (devices * at_once)[: len(left)]:
        places.put(place)
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // (len(devices) * at_once))))
    failed = []
    with ProcessPoolExecutor(min(len(left), len(devices) * at_once), context, begin, (places,)) as pool:
        waiting = {pool.submit(fine_tune, run, str(record.folder)): run for run in left}
        try:
            for done in as_completed(waiting):
                run, found = waiting[done], done.result()
                if "score" in found:
                    record.keep(run, found)
                    say(f"{run.task}, seed {run.seed}: {100 * found['score']:.1f} ({found['seconds']:.0f} s)")
                else:
                    failed.append(run.name)
                    say(f"{run.task}, seed {run.seed}: {found['error']}")
        except BrokenProcessPool as error:
            raise UserError(
                f"a run was ended from outside, as a system does that has no memory left, with {at_once} at a time; give a "
                "smaller --processes: what is done is kept"
            ) from error
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for child in multiprocessing.active_children():
                child.terminate()
            raise
    if failed:
        raise UserError(f"failed: {', '.join(failed)}; {record.folder / failed[0]}.log says why, and the others are kept")


def workers_of(processes: int | None) -> tuple[list[str], int]:
    """The devices, and how many runs go side by side on each."""
    import torch

    if processes is not None and processes < 1:
        raise UserError(f"--processes is {processes}, but at least one run goes at a time; leave it away for the default")
    devices = [str(index) for index in range(torch.cuda.device_count())] or [""]
    default = 1 if devices == [""] else max(1, min(8, (os.cpu_count() or 1) // (2 * len(devices))))
    return devices, processes or default


def begin(places):
    """What a process does first: take its device, and see to it that it ends with the command."""
    place = places.get()
    if place:
        os.environ["CUDA_VISIBLE_DEVICES"] = place
    os.environ[launch.STARTER] = str(os.getppid())
    launch.end_with_launcher()


def fine_tune(run: TransferRun, folder: str) -> dict:
    """Take a run in this process: imports and the device's context serve the next one too.

    Returns:
        `score` and `seconds`, or `error`.
    """
    output_dir, log = Path(folder, run.name), Path(folder, f"{run.name}.log")
    started = time.perf_counter()
    with open(log, "w", encoding="utf-8") as file:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
            os.dup2(file.fileno(), stream.fileno())
    words = [*run.flags, "--seed", str(run.seed), "--output_dir", str(output_dir), "--overwrite_output_dir"]
    try:
        code = run_script([*words, "--disable_tqdm", "true"])
        if code == STOPPED:  # on request: the next run is not asked for either
            os._exit(code)
        if code:
            return {"error": last_line(log) or f"ended with code {code}"}
        results = json.loads((output_dir / "all_results.json").read_text(encoding="utf-8"))
        reported = json.loads((output_dir / "run.json").read_text(encoding="utf-8"))["reported"]
        return {"score": results[f"{PREFIXES[reported]}_{run.metric}"], "seconds": time.perf_counter() - started}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}
    finally:
        shutil.rmtree(output_dir, ignore_errors=True)  # it is the score that was asked for


def run_script(words: list[str]) -> int:
    """What `python run_glue_style.py WORDS` does, without a process of its own; its exit code."""
    sys.argv = ["run_glue_style.py", *words]
    try:
        runpy.run_module("run_glue_style", run_name="__main__")
    except SystemExit as end:
        return end.code or 0
    return 0


def last_line(log: Path) -> str:
    """The error that a run ended with."""
    sys.stdout.flush()
    sys.stderr.flush()
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return lines[-1].strip() if lines else ""


def markdown(scores: dict[str, tuple[str, list[float]]]) -> str:
    """The table, in percent."""
    lines = ["| task | metric | mean | each seed |", "|---|---|---|---|"]
    for task, (metric, values) in sorted(scores.items()):
        each = " ".join(f"{100 * value:.1f}" for value in values)
        lines.append(f"| {task} | {metric.replace('_', ' ')} | {100 * mean(values):.1f} | {each} |")
    return "\n".join(lines)
