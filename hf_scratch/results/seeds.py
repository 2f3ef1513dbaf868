"""Several seeds of one command: each a run of its own, and their mean and spread in the folder above."""

import json
import statistics
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path

from accelerate.utils import broadcast_object_list

from ..data.tasks import choose_task
from ..errors import Stopped, UserError
from ..screen import show
from ..training import folder
from ..training.arguments import RunArguments
from ..training.launch import resume_command
from ..training.resume import checkpoints, has_optimizer
from .compare import Contestant, interval, read_contestants, scores, scoring_of
from .files import environment, write_record
from .report import write_report
from .run import PREFIXES, Run, read_run

# What the runs of all seeds have in common.
SHARED = (
    "task",
    "model",
    "parameters",
    "labels",
    "scoring",
    "reported",
    "marks",
    "baselines",
    "versions",
    "devices",
    "cpus",
    "git_revision",
)


def seed_folder(output_dir: str, seed: int) -> str:
    """Where the run of a seed goes."""
    return str(Path(output_dir, f"seed-{seed}"))


def is_finished(place: str) -> bool:
    """Whether a run came to its end there."""
    return Path(place, "run.json").exists() and bool(read_run(place).record.get("results"))


def run_seeds(args: RunArguments, argv: list[str], run: Callable[[RunArguments], None], parse: Callable[[list], RunArguments]):
    """Run one seed after the other, and sum up; with --resume_from_checkpoint the finished ones are kept.

    Args:
        args: of the whole, as `parse` made it of `argv`.
        argv: the command line.
        run: trains, evaluates and reports by its arguments.
        parse: makes arguments of a command line.

    Raises:
        UserError: if a seed failed; the others are summed up all the same. Or if the flags are for a single run.
        Stopped: on request, with the command that goes on with all of them.
    """
    if args.training.push_to_hub:
        raise UserError(
            "--push_to_hub would push every seed to one name; leave it away, and push the one you like: hf-scratch push "
            "OUTPUT/seed-K NAME"
        )
    if args.results.glue_submission:
        raise UserError("--glue_submission holds the answers of one run, but --seeds makes several; give one of the two")
    asked = args.training.resume_from_checkpoint
    if asked not in (None, "last", "true", "True"):
        raise UserError(f"--resume_from_checkpoint {asked} is of one seed, but --seeds makes several; give last")
    (output_dir,) = broadcast_object_list([args.output_dir(choose_task(args.data).name)])
    main, going_on = args.training.process_index == 0, args.training.resume_from_checkpoint is not None
    overwrite = args.results.overwrite_output_dir
    if main:
        folder.check_folder(output_dir, going_on, overwrite, args.inputs())
        folder.open_folder(output_dir, overwrite and not going_on, going_on)
        write_record(output_dir, **args.record(), **environment())
    failed = {}
    for seed in range(args.training.seed, args.training.seed + args.results.seeds):
        place = seed_folder(output_dir, seed)
        failed[seed] = None
        if not (going_on and is_finished(place)):
            one = parse(one_seed(argv, seed, place))
            if going_on and not any(map(has_optimizer, checkpoints(place))):  # there is nothing to go on from
                one.training.resume_from_checkpoint, one.results.overwrite_output_dir = None, True
            try:
                failed[seed] = attempt(partial(run, one), place, alone=args.training.world_size == 1)
            except Stopped as error:
                args.training.output_dir = output_dir
                raise Stopped(f"{str(error).splitlines()[0]}\n{resume_command(args)}") from error
    if main:
        show(f"{output_dir}: {sum_up(output_dir, failed)}")
        write_report(output_dir)
    lost = [seed for seed, error in failed.items() if error]
    if lost:
        raise UserError(
            f"seed {lost[0]} failed: {failed[lost[0]]}; --resume_from_checkpoint last tries those that failed again"
        )


def one_seed(argv: list[str], seed: int, place: str) -> list[str]:
    """The command line of one of several seeds."""
    argv = ["--recipe", *argv] if len(argv) == 1 and not argv[0].startswith("-") else argv
    return [*argv, "--seeds", "1", "--seed", str(seed), "--output_dir", place]


def attempt(train: Callable[[], None], place: str, alone: bool) -> str | None:
    """Run one seed; a failure is said and returned, so that it does not lose the others.

    Args:
        train: runs it.
        place: folder of its run.
        alone: whether this is the only process; one of several that fails by itself would leave the others waiting.

    Returns:
        What went wrong, in one line; None for a run that has results, collapsed or not.
    """
    try:
        train()
    except Stopped:
        raise
    except Exception as error:
        if is_finished(place):  # collapsed, which its record says
            show(f"{place}: {error}")
            return None
        if not alone:
            raise
        show(f"{place}: {error}" if isinstance(error, UserError) else traceback.format_exc())
        return " ".join(str(error).split())[:500] or type(error).__name__
    return None


def sum_up(output_dir: str, failed: dict[int, str | None]) -> str:
    """Write all_results.json and run.json of all seeds; one sentence that says it.

    Every number is the mean over the runs that came to an end; of the model's metrics `..._std` is the standard deviation
    between seeds, and the headline has an interval: the bootstrap over the rows of the mean over the seeds.

    Args:
        output_dir: above the runs.
        failed: seed to what went wrong, None where nothing did.

    Raises:
        UserError: if every seed failed.
    """
    runs = {seed: read_run(seed_folder(output_dir, seed)) for seed, error in failed.items() if error is None}
    if not runs:
        raise UserError(f"{output_dir}: every seed failed: {next(iter(failed.values()))}; mend it, and run again")
    first = next(iter(runs.values()))
    entries = [describe(seed, runs.get(seed), error) for seed, error in failed.items()]
    write_record(output_dir, **{key: first.record[key] for key in SHARED if key in first.record}, seeds=entries)
    metric = f"{PREFIXES.get(first.part)}_{first.headline}"
    results = means([run.results for run in runs.values()])
    results |= {"seeds": len(runs), "seeds_collapsed": sum(bool(entry["collapsed"]) for entry in entries)}
    results["seeds_failed"] = len(failed) - len(runs)
    values = [entry["value"] for entry in entries if entry["value"] is not None]
    if not values:
        write_results(output_dir, results)
        return f"{len(runs)} seeds, none with a labelled part"
    (all_seeds,) = read_contestants([output_dir])
    scoring = scoring_of(first)
    results[f"{metric}_low"], results[f"{metric}_high"] = interval(all_seeds, scoring, first.level)
    sentence = told(all_seeds, scoring, results)
    write_results(output_dir, results)
    write_record(output_dir, verdict=sentence)
    return sentence


def write_results(output_dir: str, results: dict):
    text = json.dumps(results, indent=4, sort_keys=True)
    Path(output_dir, "all_results.json").write_text(f"{text}\n", encoding="utf-8")


def describe(seed: int, run: Run | None, error: str | None) -> dict:
    """What the table of the seeds says of one."""
    values = run.metrics.get(run.headline) if run else None
    value, low, high = values or (None, None, None)
    numbers = {"value": value, "low": low, "high": high, "seconds": run and run.record.get("seconds")}
    return {"seed": seed, **numbers, "collapsed": run and run.record.get("collapsed"), "error": error}


def means(results: list[dict]) -> dict[str, float]:
    """The mean of every number that all runs have; the ends of a single run's intervals are no mean's, and left out."""
    summed = {}
    for key in results[0]:
        values = [result.get(key) for result in results]
        own_end = key.endswith(("_low", "_high")) and not key.startswith("baseline_")
        if own_end or not all(isinstance(value, int | float) for value in values):
            continue
        summed[key] = values[0] if len(set(values)) == 1 else statistics.fmean(values)  # counts of rows stay whole
        if f"{key}_low" in results[0] and not key.startswith("baseline_") and len(values) > 1:
            summed[f"{key}_std"] = statistics.stdev(values)
    return summed


def told(all_seeds: Contestant, scoring, results: dict) -> str:
    """'accuracy 75.1 in the mean of 5 seeds (74.0 to 76.2, standard deviation 0.8); 1 of them collapsed.'"""
    values = scores(all_seeds, scoring)
    scale, form = (100, ".1f") if scoring.measures[scoring.headline].percent else (1, ".3f")
    mean, least, most = (f"{scale * value:{form}}" for value in (statistics.fmean(values), min(values), max(values)))
    spread = f", standard deviation {scale * statistics.stdev(values):{form}}" if len(values) > 1 else ""
    collapsed = f"; {results['seeds_collapsed']} of them collapsed" if results["seeds_collapsed"] else "; none collapsed"
    failed = f"; {results['seeds_failed']} failed" if results["seeds_failed"] else ""
    name = scoring.headline.replace("_", " ")
    return f"{name} {mean} in the mean of {len(values)} seeds ({least} to {most}{spread}){collapsed}{failed}."
