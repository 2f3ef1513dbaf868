"""Tell what an encoder is worth: fine-tune it on several tasks with several seeds, and score each once, at its end.

The tasks are recipes, hf_scratch/recipes/transfer/TASK.yaml. Their rows come from the Hub, or from a folder that holds
TASK/train.parquet and TASK/validation.parquet (or .csv, .tsv, .jsonl). The runs go side by side, several on each GPU. The same
command again keeps what is done. Example:

    hf-scratch transfer runs/pretrained --seeds 3
    hf-scratch transfer runs/pretrained --data mine --tasks mrpc cola --flags "--r_drop 1"
"""

import shlex

from ..errors import UserError
from ..screen import show


def add_arguments(parser):
    parser.add_argument("encoder", help="its folder, a Hub name, or package://NAME/PATH")
    parser.add_argument("--data", help="folder of the tasks' rows; without it they come from the Hub")
    parser.add_argument("--tasks", nargs="+", help="which (default: all of hf_scratch/recipes/transfer)")
    parser.add_argument("--seeds", type=int, default=3, help="of each task: 0, 1, ... (default: 3)")
    parser.add_argument("--processes", type=int, help="runs side by side on a device (default: 1 on a CPU, up to 8 on a GPU)")
    parser.add_argument("--flags", default="", help="more flags for run_glue_style.py, in one string")
    parser.add_argument("--output_dir", default="runs/transfer", help="folder of the table and of what each run said")


def run(args) -> int:
    from ..results import transfer

    try:
        flags = shlex.split(args.flags)
    except ValueError as error:
        raise UserError(f"--flags {args.flags}: {error}, but each quote must be closed; mend the string") from error
    encoder = args.encoder.rstrip("/")
    runs = transfer.runs_of(encoder, args.data, args.tasks, args.seeds, flags)
    record = transfer.Record(args.output_dir, encoder)
    try:
        transfer.take(runs, record, args.processes, show)
    finally:
        if scores := record.scores(runs):
            show(f"\n{transfer.markdown(scores)}\n\n{record.path}")
    return 0
