"""Fine-tune an encoder on labelled text, from random or pre-trained weights, and report a number that can be trusted.

python run_glue_style.py                                                       # the recipe `quickstart`
python run_glue_style.py --model_name_or_path bert-base-cased --task_name yelp_review_full --output_dir yelp
python run_glue_style.py --recipe quickstart --train_file reviews.csv
"""

import sys
import time
from functools import partial
from pathlib import Path

from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from transformers import EarlyStoppingCallback, Trainer, set_seed
from transformers.utils import logging

import hf_scratch  # noqa: F401  registers the scratch model
from hf_scratch.data import (
    arrow,
    batching,
    cleaning,
    columns,
    doctor,
    long_text,
    sources,
    splits,
    statistics,
    tasks,
    tokenization,
)
from hf_scratch.data.labels import Labels
from hf_scratch.errors import Stopped, UserError, ended
from hf_scratch.results import facts, files, glue_submission, predictions, summary
from hf_scratch.results.baselines import fit_baselines
from hf_scratch.results.calibration import fit_temperature
from hf_scratch.results.card import write_card
from hf_scratch.results.metrics import METRICS, Scoring, model_logits, scoring_for, select_by_headline
from hf_scratch.results.narrator import Narrator, quiet_bars
from hf_scratch.results.outcome import PREFIXES, Outcome, asked_parts, metrics_by_split, predict, predict_parts
from hf_scratch.results.permutation import find_permutation
from hf_scratch.results.report import write_report
from hf_scratch.results.seeds import run_seeds
from hf_scratch.sharing import hub
from hf_scratch.sharing.certificate import certify
from hf_scratch.training import dry_run, folder, intermediate, launch, models, resume, sharding
from hf_scratch.training.arguments import RunArguments, parse_arguments
from hf_scratch.training.class_weights import check_loss, class_weights
from hf_scratch.training.collapse import REMEDY, CollapseStop
from hf_scratch.training.compilation import Compilation
from hf_scratch.training.distributed import destroy_process_groups
from hf_scratch.training.hardware import settle_hardware
from hf_scratch.training.stopping import StopOnRequest
from hf_scratch.training.temperature import divide_logits
from hf_scratch.training.trainer import ClassificationTrainer


def main(argv: list[str] | None = None) -> int:
    """Run; 0 done, 2 what the user can mend, in one message, 75 stopped on request and resumable."""
    return ended(lambda: run_all(sys.argv[1:] if argv is None else argv))


def run_all(argv: list[str]):
    """One run, or one for each seed."""
    args = parse_arguments(argv, metrics=METRICS)
    if args.results.seeds == 1 or args.results.dry_run:
        run(args)
    else:
        run_seeds(args, argv, run, partial(parse_arguments, metrics=METRICS))
    destroy_process_groups()


def run(args: RunArguments):
    """Data, model, training, results, sharing: one after the other."""
    started = time.perf_counter()
    say = begin(args)
    hardware = settle_hardware(args.training, args.given)
    task = tasks.choose_task(args.data)
    checkpoint = settle_folder(args, task.name, say)
    output_dir = args.training.output_dir
    if args.results.dry_run:
        dry_run.settle(args.training)
    remote = hub.take_over(args.training, args.model.token)

    with say.step("read the data"):
        parts, labels = read_data(args, task, say)
    set_seed(args.training.seed)
    with say.step("build the model, tokenize"):
        model, tokenizer, parts, labels, tokens = build(args, parts, labels, say)
    scoring = scoring_for(labels, task.name, args.results.metric_name)
    select_by_headline(args.training, scoring, args.given)
    submission = submission_files(args, task.name, parts)
    trainer = make_trainer(args, model, tokenizer, parts, labels, scoring, say)
    first = read_first(args, trainer, parts, labels, say) if args.training.do_train and not checkpoint else None
    if args.results.dry_run:
        prepared = time.perf_counter() - started
        return say(rehearse(args, trainer, first, parts, labels, scoring, task.name, prepared).page(output_dir))
    told = {"marks": marks_of(args, parts, labels), "task": task.name, "model": args.model_label, "hardware": hardware}
    told |= {"parameters": model.num_parameters(), "execution": trainer.execution, **facts.data_facts(parts, labels, tokens)}
    open_record(args, parts, checkpoint, told, say)
    for choice in trainer.execution.values():
        say(f"  {choice}")
    if first is not None:
        train_first(first)
    texts = few_texts(parts["train"])
    pusher = remote and hub.PushOnSave(remote, tokenizer, texts)
    if pusher:
        trainer.add_callback(pusher)
    with say.step("train"):
        train(args, trainer, parts, labels, checkpoint, say)
    results = report(args, trainer, parts, labels, scoring, submission, task.name, say)
    if trainer.is_world_process_zero():
        conclude(trainer, tokenizer, texts, results, started, say)
    if pusher and not (trainer.collapse.found and args.results.collapse_stop):
        with say.step("push"):
            pusher.finish(output_dir, say)
    say(f"{output_dir}: done in {time.perf_counter() - started:.0f} s")
    if trainer.collapse.found and args.results.collapse_stop:
        PartialState().wait_for_everyone()  # the first process is still writing: whoever ends now ends it
        raise UserError(f"{trainer.collapse.found}; {REMEDY}")


def begin(args: RunArguments) -> Narrator:
    """Who speaks, how much is told, and whether the processes can do what the flags ask for."""
    logging.set_verbosity(args.training.get_process_log_level())
    quiet_bars(args.training, args.given)
    launch.check_processes(args.training.world_size)
    sharding.check_sharding(args.training)
    launch.end_with_launcher()
    if args.results.dry_run and args.training.world_size > 1:
        raise UserError(
            f"--dry_run on {args.training.world_size} processes, but it measures one; start it without the launcher"
        )
    return Narrator(speaks=args.training.process_index == 0)


def settle_folder(args: RunArguments, task: str, say) -> str | None:
    """Where the run is written, and the checkpoint there that it goes on from, if any."""
    (output_dir,) = broadcast_object_list([args.output_dir(task)])  # one name for all processes: it holds the time
    args.training.output_dir = output_dir
    checkpoint = resume.find_checkpoint(output_dir, args.training.resume_from_checkpoint, say)
    if args.training.process_index == 0:
        folder.check_folder(output_dir, checkpoint, args.results.overwrite_output_dir, args.inputs())
    return checkpoint


def read_data(args: RunArguments, task: tasks.Task, say):
    """Rows of the task in one form, in their parts, looked over."""
    with args.training.main_process_first(desc="read the data"):
        splits_as_read = sources.load_splits(task, args.access())
    task = columns.find_columns(splits_as_read, task)
    examples, labels = cleaning.clean(*columns.to_examples(splits_as_read, task), args.data)
    if args.results.calibrate and labels.kind == "regression":
        say.note("a regression states no probabilities: there is nothing to calibrate")
        args.results.calibrate = False
    evaluates = args.training.do_eval or args.training.eval_strategy != "no" or args.results.calibrate
    parts = splits.choose_parts(
        examples,
        args.data,
        labels,
        selects=args.selects,
        evaluates=evaluates,
        predicts=args.training.do_predict,
    )
    missing = sources.about_diagnostics(splits_as_read, task) if args.training.do_predict else None
    carving = splits.about_carving(examples, parts, args.data, labels)
    del splits_as_read, examples  # parts that were carved are files of their own: two copies of the texts would fill memory
    say(f"{task.name}: {doctor.describe(parts, labels)}")
    say(f"  text from {' and '.join(task.text_columns)}, labels from {' and '.join(task.label_columns)}")
    for note in labels.notes:
        say(f"  {note}")
    for note in filter(None, [missing, *carving, *marks_of(args, parts, labels).values()]):
        say.note(note)
    for finding in doctor.refuse(doctor.examine(parts, labels, args.data.strict)):
        say.note(finding.message)
    return parts, labels


def marks_of(args: RunArguments, parts, labels: Labels) -> dict[str, str]:
    """What every file of the run must say of how its rows were used."""
    return splits.marks(parts, labels, args.selects, args.training.do_predict)


def build(args: RunArguments, parts, labels: Labels, say):
    """Configuration, tokenizer, model, and every part in the model's tokens."""
    config = models.load_config(args.model)
    order = models.class_order(config, labels, args.training.do_train)
    if order != labels:
        parts, labels = columns.renumber(parts, labels, order), order
    sample = statistics.sample_rows(parts["train"], tokenization.ROWS_OF_VOCABULARY, args.data.split_seed)
    texts = [text for row in arrow.iterate_texts(sample) for text in row]
    tokenizer = models.load_tokenizer(args.model, texts, args.data.max_seq_length)
    model = models.build_model(args.model, config, tokenizer, labels)
    positions = models.count_positions(model)
    length = tokenization.usable_length(args.data.max_seq_length, tokenizer, positions)
    if length < args.data.max_seq_length:
        say.note(f"max_seq_length {args.data.max_seq_length} is lowered to {length}, the most that the model takes")
    args.data.max_seq_length = tokenizer.model_max_length = length  # whoever loads the folder truncates as was trained
    policy = args.data.long_text = long_text.settle_policy(args.data, tokenizer)
    how = tokenization.Tokenizing(
        tokenizer, length, policy, args.data.preprocessing_num_workers, args.model.cache_dir, args.data.overwrite_cache
    )
    with args.training.main_process_first(desc="tokenize"):
        fingerprints = how.fingerprints(parts)
        parts = tokenization.tokenize(parts, how, fingerprints)
    say(f"  {long_text.describe(parts['train'], length, policy)}")
    say(f"  tokens are kept under {', '.join(f'{name[:8]} ({part})' for part, name in fingerprints.items())}")
    tokens = statistics.tokens_of(parts["train"], length, tokenizer.unk_token_id)
    for finding in doctor.examine_tokens(tokens, positions):
        say.note(finding.message.partition("; ")[2] if finding.kind == "cut" else finding.message)  # the loss is told above
    say(f"{args.model_label}: {model.num_parameters():,} parameters, vocabulary of {len(tokenizer):,}")
    return model, tokenizer, parts, labels, tokens


def make_trainer(args: RunArguments, model, tokenizer, parts, labels: Labels, scoring: Scoring, say) -> ClassificationTrainer:
    """The Hugging Face Trainer."""
    check_loss(args.training, labels)
    weights = class_weights(args.data.class_weights, labels, parts["train"])
    if weights:
        say(f"  class weights: {', '.join(f'{name} {weight:.3g}' for name, weight in weights.by_name(labels).items())}")
    try:
        return ClassificationTrainer(
            model=model,
            args=args.training,
            train_dataset=parts["train"],
            eval_dataset=selecting_rows(parts, labels),
            data_collator=batching.make_collator(tokenizer, args.data.max_seq_length, args.data.pad_to_max_length),
            processing_class=tokenizer,
            compute_metrics=scoring.compute_metrics,
            regularization=args.regularization,
            speed=args.speed,
            collapse=CollapseStop(labels.num_labels, args.results.collapse_stop),
            callbacks=[EarlyStoppingCallback(patience)] if (patience := args.regularization.early_stopping_patience) else None,
            class_weights=weights,
        )
    except UserError:
        raise
    except (ImportError, ValueError, RuntimeError) as error:
        raise UserError(
            f"Trainer refuses these flags: {' '.join(str(error).split())}; mend or leave away the one named"
        ) from error


def open_record(args: RunArguments, parts, checkpoint: str | None, known: dict, say):
    """The folder with its record; one that is gone on with keeps its own, if it is the same run."""
    record, fingerprint = args.record(), files.data_fingerprint(parts)
    if checkpoint:
        note = resume.check_same_run(checkpoint, record["arguments"], fingerprint, args.training.world_size)
        say(f"going on from {checkpoint}{f' ({note})' if note else ''}")
    if args.training.process_index == 0:
        folder.open_folder(args.training.output_dir, args.results.overwrite_output_dir and not checkpoint, bool(checkpoint))
        known = {**record, **launch.record(args), "data": fingerprint, **files.environment(), **known}
        resume.write_start(args.training.output_dir, checkpoint, known, files.write_record)


def read_first(args: RunArguments, trainer: ClassificationTrainer, parts, labels: Labels, say) -> Trainer | None:
    """What trains the model on the pieces of another task before, if the flags name one."""
    if args.intermediate.intermediate_task is None:
        return None
    held_out = {text for part, rows in parts.items() if part != "train" for text in rows["text"][:]}
    with args.training.main_process_first(desc="read the intermediate task"):
        rows = intermediate.read_intermediate(
            args.intermediate, labels, trainer.processing_class, held_out, args.training.seed, args.access()
        )
    say(f"first: one pass over {len(rows):,} labelled pieces of {args.intermediate.intermediate_task}, unseen by the baselines")
    return intermediate.first_trainer(trainer, rows, args.intermediate)


def train_first(first: Trainer):
    """One pass over the pieces, of which nothing is saved."""
    with StopOnRequest(saves=False) as stop:
        first.add_callback(stop)
        first.train()
    if stop.stopped_at is not None:
        raise Stopped(
            f"stopped at step {stop.stopped_at} of the intermediate task, of which nothing is saved; begin anew with the same "
            "command, and --overwrite_output_dir if it names the folder"
        )


def rehearse(
    args: RunArguments, trainer, first, parts, labels: Labels, scoring: Scoring, task: str, prepared: float
) -> dry_run.Forecast:
    """What the run will take, from a few measured steps and from all that follows, done once in a folder of no duration."""
    predicted = asked_parts(parts, args.training.do_eval, args.training.do_predict)
    if args.results.calibrate:
        predicted.append("selection" if "selection" in parts else "validation")  # before they are reported
    quiet = Narrator(speaks=False)

    def close():
        share(trainer, trainer.processing_class, few_texts(parts["train"]), quiet)
        write_report(args.training.output_dir)
        write_card(args.training.output_dir)

    forecast = dry_run.rehearse(
        trainer,
        parts,
        predicted=[parts[part] for part in predicted],
        report=lambda few: report(args, trainer, few, labels, scoring, None, task, quiet),
        close=close,
        first=first,
        padded_to=args.data.max_seq_length if args.data.pad_to_max_length else None,
        prepared=prepared,
    )
    compiles = args.training.torch_compile or isinstance(trainer.choose_compilation(), Compilation)
    forecast.say_what_else(args.results.seeds, compiles)
    return forecast


def selecting_rows(parts, labels: Labels):
    """The rows that choose the checkpoint: those with a label, for there is no loss on the others."""
    rows = parts.get("selection", parts.get("validation"))
    if rows is None or labels.known(rows).all():
        return rows
    return rows.select(labels.known(rows).nonzero()[0])


def train(args: RunArguments, trainer: ClassificationTrainer, parts, labels: Labels, checkpoint: str | None, say):
    """Train and save; what is saved last is the best checkpoint, if the run was asked to select one, calibrated if asked."""
    if args.training.do_train:
        epochs_before = resume.epochs_before(checkpoint)
        with StopOnRequest() as stop:
            trainer.add_callback(stop)
            metrics = trainer.train(resume_from_checkpoint=checkpoint).metrics
        if stop.stopped_at is not None:
            raise Stopped(f"stopped after step {stop.stopped_at}, all of it saved; go on with\n{launch.resume_command(args)}")
        tokens = (trainer.state.epoch - epochs_before) * arrow.count_tokens(parts["train"])
        metrics["train_samples"] = len(parts["train"])
        metrics["train_tokens_per_second"] = round(tokens / metrics["train_runtime"], 1)
        metrics.update(dict.fromkeys(marks_of(args, parts, labels), 1))
        trainer.save_metrics("train", metrics)
        trainer.save_state()
    if args.results.calibrate:
        elsewhere = "selected_on_reported" not in marks_of(args, parts, labels)
        say(calibrate(trainer, parts.get("selection", parts.get("validation")), labels, elsewhere))
    trainer.save_model()


def calibrate(trainer: ClassificationTrainer, rows, labels: Labels, elsewhere: bool) -> str:
    """Fit a temperature on the rows that select, and make it part of the model; `elsewhere`: whether others are reported."""
    outcome = predict(trainer, rows, labels, "eval")
    temperature = fit_temperature(outcome.gold, outcome.judged)
    few = rows.select(range(min(8, len(rows))))
    if not divide_logits(trainer.model, temperature, lambda: model_logits(trainer.predict(few).predictions)):
        return "  note: not calibrated: this model's head does not end in a linear layer, which a temperature could divide"
    fitted = f"{len(rows):,} rows that are {'not ' if elsewhere else ''}reported"
    return f"calibrated: the logits are divided by {temperature:.2f}, which fits {fitted}"


def submission_files(args: RunArguments, task: str, parts):
    """The files of GLUE's leaderboard that this run will answer, if it is asked to."""
    if not args.results.glue_submission:
        return []
    return glue_submission.files_of(task, parts if args.training.do_predict else {})


def report(args: RunArguments, trainer, parts, labels: Labels, scoring: Scoring, submission, task: str, say) -> dict:
    """Numbers with intervals, beside baselines, and predictions. The test part is touched here, once."""
    with say.step("predict"):
        outcomes = predict_parts(trainer, parts, labels, args.training.do_eval, args.training.do_predict)
    if not outcomes or not trainer.is_world_process_zero():
        return {}

    marks = marks_of(args, parts, labels)
    predictions.write_parts(args.training.output_dir, outcomes, marks)
    labelled = [part for part, outcome in outcomes.items() if len(outcome.labelled)]
    reported = "test" if "test" in labelled else labelled[0] if labelled else None
    for part in labelled:
        compare(args, outcomes[part], part, part == reported, parts["train"], scoring, task, say)
    if labels.kind != "regression" and reported == "test" and "validation" in labelled and "test_as_validation" not in marks:
        temperature = fit_temperature(outcomes["validation"].gold, outcomes["validation"].judged)
        files.write_record(args.training.output_dir, temperature=temperature)
    if submission:
        path = Path(args.results.glue_submission)
        path = Path(args.training.output_dir, path) if path.name == str(path) else path
        glue_submission.write_submission(path, submission, outcomes)
        say(f"{path}: answers {' and '.join(file.name for file in submission)}; the other tasks of it may be samples")
    for outcome in outcomes.values():
        outcome.metrics.update(dict.fromkeys(marks, 1))
    for split, metrics in metrics_by_split(outcomes).items():
        trainer.save_metrics(split, metrics)
    return {name: value for outcome in outcomes.values() for name, value in outcome.metrics.items()}


def compare(args: RunArguments, outcome: Outcome, part: str, is_reported: bool, train_rows, scoring: Scoring, task: str, say):
    """Score a part; show the model above the baselines on the same rows if it is the reported one, and say which is better."""
    level, fits = args.results.confidence_level, is_reported and args.results.baselines == "auto"
    with say.step("fit the baselines"):
        baselines = fit_baselines(train_rows, outcome.rows.select(outcome.labelled), outcome.labels) if fits else []
    with say.step("score, with intervals"):
        rows = summary.judge(scoring, args.model_label, outcome.gold, outcome.judged, level, baselines)
    outcome.metrics.update(rows[0].flat(PREFIXES[part]))
    for baseline, row in zip(baselines, rows[1:], strict=True):
        outcome.metrics.update(row.flat(f"baseline_{baseline.key}"))
    count = len(outcome.labelled)
    sentence = summary.verdict(scoring, rows, count, level) if baselines else ""
    if is_reported or "mismatched" in part:
        title = f"{task}, {part.replace('_', ' ')} part, {count:,} rows, {100 * level:g}% intervals"
        say("\n".join(["", summary.table(rows, title, scoring), *filter(None, [sentence]), ""]))
    if constant := summary.one_answer(outcome.predicted, outcome.labels):
        say.note(f"in the {part} part {constant}")
    if permutation := outcome.labels.single and find_permutation(outcome.gold, outcome.predicted, outcome.labels.names):
        outcome.metrics[f"{PREFIXES[part]}_permuted_accuracy"] = permutation.permuted_accuracy
        files.write_record(args.training.output_dir, label_permutation=permutation.names)
        say.note(f"in the {part} part {permutation}")
    if is_reported:
        told = facts.scoring_facts(scoring, baselines)
        files.write_record(args.training.output_dir, reported=part, verdict=sentence, **told)


def conclude(trainer: ClassificationTrainer, tokenizer, texts: list, results: dict, started: float, say):
    """What is left to write: the certificate, the rest of the record, the report and the card."""
    output_dir = trainer.args.output_dir
    with say.step("certify"):
        share(trainer, tokenizer, texts, say)
    spent = {"seconds": round(time.perf_counter() - started, 1), "seconds_of": say.seconds, "memory": facts.peak_memory()}
    found = {"results": results, "collapsed": trainer.collapse.found, "execution": trainer.execution}
    files.write_record(output_dir, **found, notes=say.notes, **spent)
    with say.step("write the report"):
        write_report(output_dir)
        write_card(output_dir)


def few_texts(rows) -> list:
    """Some real texts, or pairs of texts, for the certificate."""
    columns_of_text = [name for name in ("text", "text_pair") if name in rows.column_names]
    texts = [[row[name] for name in columns_of_text] for row in rows.select(range(min(8, len(rows))))]
    return [text[0] if len(text) == 1 else text for text in texts]


def share(trainer: ClassificationTrainer, tokenizer, texts: list, say):
    """Prove that the folder loads elsewhere, before anybody is told that the run is done."""
    result = certify(trainer.args.output_dir, trainer.whole or trainer.model, tokenizer, texts)
    say(f"reloaded elsewhere: {result['weights']} weights, and the logits of {result['texts']} texts, equal to the last bit")


if __name__ == "__main__":
    sys.exit(main())
