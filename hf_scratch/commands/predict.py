"""Ask a classifier about texts: of the command line, of a file, or line by line from standard input.

Every text gets one answer, in its order: the label and the probability of each class. An empty line gets an empty one. For
example:

    hf-scratch predict runs/quickstart "a warm and funny film" "two hours that I want back"
    hf-scratch predict runs/quickstart --file reviews.csv --format csv > answers.csv
    zcat reviews.txt.gz | hf-scratch predict owner/name - --format jsonl > answers.jsonl
"""

import itertools
import os
import sys

from ..errors import UserError


def add_arguments(parser):
    parser.add_argument("model", help="folder, Hub name or package://NAME/PATH of a classifier")
    parser.add_argument("text", nargs="*", help="texts to ask about; or - for one a line of standard input")
    parser.add_argument("--file", help="csv, tsv, json, jsonl, parquet or txt, also .gz")
    parser.add_argument("--text_column_names", help="the file's text column, or two separated by a comma for pairs of texts")
    parser.add_argument("--pairs", action="store_true", help="every text is two, with a tab between them")
    parser.add_argument("--format", choices=("table", "jsonl", "csv"), default="table", help="of the answers (default: table)")
    parser.add_argument(
        "--bf16", action="store_true", help="compute in bfloat16: faster where the machine has it, exact to two digits"
    )
    parser.add_argument("--max_tokens_per_batch", type=int, help="2,048 on a CPU and 32,768 on a GPU by default")
    parser.add_argument("--model_revision", default="main", help="branch, tag or commit on the Hub")
    parser.add_argument("--token", help="the Hub's token, if not the one of `hf auth login`")
    parser.add_argument("--trust_remote_code", action="store_true", help="run the code that a model's folder carries")


def run(args) -> int:
    given = {"texts": bool(args.text and args.text != ["-"]), "-": args.text == ["-"], "--file": args.file is not None}
    named = [name for name, is_given in given.items() if is_given]
    if len(named) != 1:
        raise UserError(
            f"sources of texts: {' and '.join(named) or 'none'}, but there must be one; give texts, or --file FILE, or - for "
            "standard input: exactly one of them"
        )
    if named == ["-"] and sys.stdin is None:
        raise UserError("- reads standard input, but it is closed; pipe texts into it, or give --file FILE")
    if args.max_tokens_per_batch is not None and args.max_tokens_per_batch < 1:
        raise UserError(f"--max_tokens_per_batch is {args.max_tokens_per_batch}, but it must be at least 1; leave it away")
    import torch

    from ..sharing.answers import FORMATS
    from ..sharing.loading import load_classifier
    from ..sharing.predict import Predictor
    from ..training.arguments import ModelArguments

    names = ("model_revision", "token", "trust_remote_code")
    model, tokenizer = load_classifier(args.model, ModelArguments(**{name: getattr(args, name) for name in names}))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    predictor = Predictor(model.to(device, torch.bfloat16 if args.bf16 else None), tokenizer, args.max_tokens_per_batch)
    windows = itertools.chain([first := next(windows := windows_of(args), [])], windows)  # what cannot be read is said first
    answers = FORMATS[args.format](predictor.names, predictor.kind)
    try:
        write(answers.header() if first else "")
        for window in predictor.answers(windows):
            write("".join(map(answers.row, window)))
    except BrokenPipeError:  # whoever reads has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def windows_of(args):
    """Lists of texts, or of pairs of texts, from where the user has them."""
    from ..sharing.predict import in_windows
    from ..sharing.rows import file_rows, lines, live_windows, split_pair

    if args.file:
        yield from in_windows(file_rows(args.file, args.text_column_names))
    elif args.text == ["-"]:
        yield from live_windows(lines(sys.stdin.buffer, args.pairs))
    else:
        texts = [os.fsencode(text).decode("utf-8", errors="replace") for text in args.text]
        yield from in_windows(map(split_pair, texts) if args.pairs else texts)


def write(text: str):
    sys.stdout.write(text)
    sys.stdout.flush()
