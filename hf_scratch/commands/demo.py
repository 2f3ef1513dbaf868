"""Serve a page on this machine to try a classifier: its probabilities, and the attention of any layer and head.

Needs the extra `app`. Only this machine can open the page. For example:

    hf-scratch demo runs/quickstart
"""

from pathlib import Path

from ..sharing.demo import build_page, require_gradio, serve
from ..sharing.loading import load_classifier
from ..training.arguments import ModelArguments


def add_arguments(parser):
    parser.add_argument("model", help="folder, Hub name or package://NAME/PATH of a classifier")
    parser.add_argument("--port", type=int, help="to serve at (default: a free one from 7860 on)")
    parser.add_argument("--model_revision", default="main", help="branch, tag or commit on the Hub")
    parser.add_argument("--token", help="the Hub's token, if not the one of `hf auth login`")
    parser.add_argument("--trust_remote_code", action="store_true", help="run the code that a model's folder carries")


def run(args) -> int:
    require_gradio()
    names = ("model_revision", "token", "trust_remote_code")
    model, tokenizer = load_classifier(args.model, ModelArguments(**{name: getattr(args, name) for name in names}))
    serve(build_page(model, tokenizer, Path(args.model).name), args.port)
    return 0
