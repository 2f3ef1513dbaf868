"""Write a classifier as one file that runs without its Python code: ONNX, or torch.export.

The file takes any batch and any length up to the model's own. It is run on real sentences before it is kept, and its
logits must be the model's. For example:

    hf-scratch export runs/quickstart --to onnx
    hf-scratch export owner/name --to torch_export --output exported
"""

from pathlib import Path

import torch

from ..screen import show
from ..sharing.export import FILES, check, export
from ..sharing.loading import load_classifier
from ..training.arguments import ModelArguments


def add_arguments(parser):
    parser.add_argument("model", help="folder, Hub name or package://NAME/PATH of a classifier")
    parser.add_argument("--to", choices=FILES, required=True, help="onnx needs the extra `export`")
    parser.add_argument("--output", help="folder to write; must not exist yet, or be empty (default: MODEL's name, -TO)")
    parser.add_argument("--model_revision", default="main", help="branch, tag or commit on the Hub")
    parser.add_argument("--token", help="the Hub's token, if not the one of `hf auth login`")
    parser.add_argument("--trust_remote_code", action="store_true", help="run the code that a model's folder carries")


def run(args) -> int:
    output = args.output or f"{Path(args.model).name}-{args.to}"
    check(output, args.to)
    names = ("model_revision", "token", "trust_remote_code")
    model, tokenizer = load_classifier(args.model, ModelArguments(**{name: getattr(args, name) for name in names}))
    done = export(model, tokenizer, output, args.to)
    show(f"{output}/{done['file']}: its logits differ from the model's by at most {done['difference']:.1e}")
    show(f"CPU, {torch.get_num_threads()} threads, milliseconds a call:\n| batch x length | eager | {args.to} |\n|---|---|---|")
    for row in done["latency"]:
        show(f"| {row['batch']} x {row['length']} | {row['eager_ms']:.2f} | {row['exported_ms']:.2f} |")
    return 0
