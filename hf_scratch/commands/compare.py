"""Compare runs on the same test rows: which is better, by how much, how surely, and on which rows.

Give folders of runs; or --models and flags of run_glue_style.py, to train them first under equal conditions. For example:

    hf-scratch compare runs/scratch runs/bert
    hf-scratch compare --models scratch,bert-base-cased --task_name movie_reviews --seeds 3 --output_dir runs/both
"""

import datetime
import re
import subprocess
import sys
from pathlib import Path

from ..errors import UserError, closest
from ..screen import show

TAKES_RUN_FLAGS = True
OWN = ("--models", "--seeds", "--output_dir", "--examples")


def add_arguments(parser):
    parser.add_argument("runs", nargs="*", metavar="RUN", help="folders of at least two runs")
    parser.add_argument("--models", help="names of models to train first, separated by commas: scratch,bert-base-cased")
    parser.add_argument("--seeds", type=int, default=1, help="of each model that is trained (default: 1)")
    parser.add_argument("--output_dir", help="for what is trained; a new folder under runs/ by default")
    parser.add_argument("--examples", type=int, default=3, help="rows shown that only one of two runs gets (default: 3)")


def run(args) -> int:
    folders = args.runs
    if args.models:
        folders = train_all(args)
    elif args.run_flags:
        flag = args.run_flags[0]
        raise UserError(
            f"{flag!r} is a flag of a training, but nothing is trained.{closest(flag, OWN)} Name models by --models"
        )
    if len(folders) < 2:
        raise UserError(f"{len(folders)} runs given, but it takes two to compare; name two folders, or --models A,B")
    from ..results import compare

    contestants = compare.read_contestants(folders)
    scoring, level = compare.scoring_of(contestants[0].runs[0]), contestants[0].runs[0].level
    print_table(contestants, scoring, level)
    for second in contestants[1:]:
        print_duel(contestants[0], second, scoring, level, args.examples)
    return 0


def train_all(args) -> list[str]:
    """Train each model by the same flags; the folders."""
    models = list(filter(None, args.models.split(",")))
    if len(models) < 2 or len(set(models)) < len(models):
        raise UserError(f"--models {args.models}: it takes two different models to compare; give scratch,bert-base-cased")
    if args.seeds < 1:
        raise UserError(f"--seeds is {args.seeds}, but each model is trained at least once; 3 show how much a seed matters")
    parent = Path(args.output_dir or f"runs/compare-{datetime.datetime.now():%Y%m%d-%H%M%S}")
    folders = [str(parent / re.sub(r"[^\w.-]+", "-", model).strip("-.")) for model in models]
    flags = passed_on(args.words)
    for model, folder in zip(models, folders, strict=True):
        command = [sys.executable, "-m", "run_glue_style", *model_flag(model), *flags, "--output_dir", folder]
        command += ["--seeds", str(args.seeds)] if args.seeds > 1 else []
        show(f"{model}: {' '.join(command[2:])}", flush=True)
        code = subprocess.run(command).returncode
        if code and not Path(folder, "all_results.json").exists():
            raise UserError(
                f"{model}: its training ended with exit code {code} and no results; mend what its message above names"
            )
    return folders


def model_flag(model: str) -> list[str]:
    """Random weights of a registered type, or weights by their name."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    return ["--model_type" if model in CONFIG_MAPPING else "--model_name_or_path", model]


def passed_on(words: list[str]) -> list[str]:
    """The words of the command line that are not this verb's own."""
    kept, skip = [], False
    for word in words:
        name, equals, _ = word.partition("=")
        if not skip and name not in OWN:
            kept.append(word)
        skip = not skip and name in OWN and not equals
    return kept


def print_table(contestants, scoring, level: float):
    from ..results import compare

    percent = scoring.measures[scoring.headline].percent
    count = len(contestants[0].runs[0].labelled)
    width = max(len(contestant.name) for contestant in contestants)
    show(f"{scoring.headline.replace('_', ' ')}, {count:,} rows, {100 * level:g}% intervals")
    show(f"{'':<{width}}  {'headline':<22} {'calibration error':>17} {'parameters':>12} {'tokens/s':>9} {'minutes':>8}")
    for contestant in contestants:
        values = compare.scores(contestant, scoring)
        low, high = compare.interval(contestant, scoring, level)
        value = f"{number(sum(values) / len(values), percent)} [{number(low, percent)}, {number(high, percent)}]"
        cells = [contestant.calibration(), contestant.mean("parameters"), contestant.mean("train_tokens_per_second")]
        error, parameters, speed = (
            "–" if cell is None else form(cell) for cell, form in zip(cells, (share, count_of, count_of), strict=True)
        )
        seconds = contestant.mean("seconds")
        minutes = "–" if seconds is None else f"{seconds / 60:.1f}"
        seeds = f"  {len(values)} seeds: {', '.join(number(one, percent) for one in values)}" if len(values) > 1 else ""
        show(f"{contestant.name:<{width}}  {value:<22} {error:>17} {parameters:>12} {speed:>9} {minutes:>8}{seeds}")
    for contestant in contestants:
        for mark in contestant.marks():
            show(f"  note: {contestant.name}: {mark}")


def print_duel(first, second, scoring, level: float, examples: int):
    from ..results import compare

    result, measure = compare.duel(first, second, scoring, level), scoring.measures[scoring.headline]
    unit, name = " points" if measure.percent else "", scoring.headline.replace("_", " ")
    gap, low, high = (number(value, measure.percent, "+") for value in (result.gap, result.low, result.high))
    better = "better" if (result.gap > 0) == measure.greater_is_better else "worse"
    rank = f"{gap.lstrip('+-')}{unit} {better} than" if result.gap else "as good as"
    doubt = "" if result.told_apart or not result.gap else ", but these rows do not tell them apart"
    test = "" if result.p is None else f"; McNemar's exact test: p = {result.p:.2g}"
    show(f"\n{first.name} is {rank} {second.name} in {name}{doubt} ({100 * level:g}% interval {low} to {high}{unit}{test}).")
    for winner, loser, rows in ((first, second, result.only_first), (second, first, result.only_second)):
        if scoring.kind != "regression":
            show(f"{len(rows):,} rows that {winner.name} gets and {loser.name} misses{':' if len(rows) and examples else ''}")
        for (_, right), (_, wrong) in zip(
            *(compare.rows_of(side, rows[:examples]).iterrows() for side in (winner, loser)), strict=True
        ):
            text = " ".join(str(right["text"]).split())
            show(f"  {right['id']}: {text[:120]}{'…' if len(text) > 120 else ''}")
            show(f"    true {answer(right['label'])}, {loser.name} says {answer(wrong['prediction'])}")


def answer(label) -> str:
    return str(label) if isinstance(label, str) else ", ".join(label) or "none"


def number(value: float, percent: bool, sign: str = "") -> str:
    return f"{100 * value:{sign}.1f}" if percent else f"{value:{sign}.3f}"


def share(value: float) -> str:
    return f"{100 * value:.1f}"


def count_of(value: float) -> str:
    return f"{value:,.0f}"
