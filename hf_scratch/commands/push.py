"""Push a run to the Hub: weights, code, tokenizer, card, plots and results; no optimizer, no pickle, no paths of this machine.

Before anything is sent, a fresh process that cannot see this package loads what is to be sent and gives the same logits.
For example:

    hf-scratch push runs/quickstart film-reviews --private
    hf-scratch push runs/quickstart my-team/film-reviews --revision trial
"""

from pathlib import Path

from ..errors import UserError, missing_folder, runs_near
from ..screen import show
from ..sharing.convert import SENTENCES
from ..sharing.hub import Remote, push
from ..sharing.loading import load


def add_arguments(parser):
    parser.add_argument("run", help="folder of the run, or of any checkpoint")
    parser.add_argument("name", help="of the repository: owner/name, or a name alone for one of your own")
    parser.add_argument("--private", action="store_true", help="hide the repository from others, if it is created")
    parser.add_argument("--revision", help="branch to push to; it is created if it is missing (default: main)")
    parser.add_argument("--token", help="the Hub's token, if not the one of `hf auth login`")


def run(args) -> int:
    remedy = "give the folder of a run"
    if not Path(args.run).exists():
        raise missing_folder(args.run, remedy)
    if not Path(args.run, "config.json").is_file():
        raise UserError(f"{args.run}: holds no config.json, but a checkpoint has one; {runs_near(args.run) or remedy}")
    model, tokenizer = load(args.run)
    remote = Remote(args.name, args.revision, args.private or None, args.token).open()
    show(f"pushed: {push(args.run, remote, model, tokenizer, list(SENTENCES), f'Push {Path(args.run).resolve().name}')}")
    return 0
