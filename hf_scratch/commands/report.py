"""Write the report of a run again, from its files alone: report/report.html, its pictures, and the model card.

Old runs and those that lack a file have one too; it says what is missing. For example:

    hf-scratch report runs/quickstart
    hf-scratch report runs/quickstart --shared
    hf-scratch report runs/pretrained
"""

from ..results import card, pretraining_card
from ..results.report import write_report
from ..results.run import read_run
from ..screen import show


def add_arguments(parser):
    parser.add_argument("run", help="folder of a run")
    parser.add_argument("--shared", action="store_true", help="show the command without paths of this machine")


def run(args) -> int:
    show(write_report(args.run, args.shared))
    (pretraining_card if read_run(args.run).is_pretraining else card).write_card(args.run)
    return 0
