"""Pre-train an encoder on running text, as BERT was: masked tokens and next sentences.

Takes every flag of Trainer's and those that `hf-scratch pretrain --help` lists. Example:

    hf-scratch pretrain --task_name imdb_reviews --budget 10m --output_dir runs/pretrained
    python run_glue_style.py --recipe quickstart --model_name_or_path runs/pretrained
    accelerate launch -m hf_scratch pretrain --train_file wiki.parquet books.txt --objective mlm
"""

import time


def parse(argv: list[str]):
    """All flags, settled."""
    from ..training.pretrain_arguments import parse_pretrain_arguments

    return parse_pretrain_arguments(argv)


def run(args) -> int:
    """All of it, on any number of processes."""
    from ..training.distributed import destroy_process_groups

    pretrain(args)
    destroy_process_groups()
    return 0


def pretrain(args):
    """Text, tokens, model, training, results, sharing: one after the other."""
    from accelerate.utils import broadcast_object_list
    from transformers import set_seed
    from transformers.utils import logging

    from ..results import files
    from ..results.narrator import Narrator, quiet_bars
    from ..training import folder, launch, sharding
    from ..training.hardware import settle_hardware
    from ..training.resume import find_checkpoint

    started = time.perf_counter()
    logging.set_verbosity(args.training.get_process_log_level())
    main_process = args.training.process_index == 0
    say = Narrator(speaks=main_process)
    hardware = settle_hardware(args.training, args.given | {"dataloader_num_workers"})  # making a batch takes a millisecond
    quiet_bars(args.training, args.given)
    launch.check_processes(args.training.world_size, "-m hf_scratch pretrain")
    sharding.check_sharding(args.training)
    launch.end_with_launcher()
    (output_dir,) = broadcast_object_list([args.output_dir()])  # one name for all processes: it holds the time
    args.training.output_dir = output_dir
    resume = find_checkpoint(output_dir, args.training.resume_from_checkpoint, say)
    if main_process:
        folder.check_folder(output_dir, resume, args.pretrain.overwrite_output_dir, args.inputs())

    with say.step("read the documents"):
        documents, held_out = read_documents(args, say)
    texts = [text[:300] for text in held_out[:4]["text"]]
    fingerprint = files.data_fingerprint({"train": documents, "held_out": held_out})
    with say.step("tokenize"):
        tokenizer, train, held_out = to_rows(args, documents, held_out, say)
    set_seed(args.training.seed)
    with say.step("build the model"):
        trainer = make_trainer(args, tokenizer, train, held_out, say)
    open_record(args, fingerprint, {"hardware": hardware, **known(args, trainer, train, held_out)}, resume, say)
    with say.step("train"):
        learn(args, trainer, train, resume, say)
    with say.step("evaluate"):
        results = evaluate(trainer, held_out, say)
    if trainer.is_world_process_zero():
        share(args, trainer, tokenizer, texts, results, started, say)
    say(f"{output_dir}: done in {time.perf_counter() - started:.0f} s")


def read_documents(args, say):
    """Documents to learn from, and held-out ones; each text once."""
    from ..data import documents, splits
    from ..training.pretraining_text import task_documents

    flags = args.pretrain
    with args.training.main_process_first(desc="read the documents"):
        if flags.train_file:
            found = documents.read_files(flags.train_file, flags.text_column_name)
        elif flags.dataset_name:
            found = documents.read_data_set(flags.dataset_name, flags.dataset_config_name, flags.text_column_name)
        else:
            found = task_documents(flags.task_name, flags.split_seed)
        train = documents.drop_repeated(found)
        if flags.validation_file:
            held_out = documents.read_files(flags.validation_file, flags.text_column_name)
        else:
            most = flags.max_validation_documents
            train, held_out = documents.hold_out(train, flags.validation_fraction, most, flags.split_seed)
        train = splits.sample(train, flags.max_train_samples, flags.split_seed)
    say(f"{args.corpus_label}: {len(train):,} documents to learn from, {len(held_out):,} held out")
    return train, held_out


def to_rows(args, documents, held_out, say):
    """The tokenizer, rows to train on and rows to hold."""
    from ..data.corpus import to_corpus
    from ..data.pairs import DRAWS, SegmentRows
    from ..training.pretraining_text import tokenizer_for, usable_length

    tokenizer = tokenizer_for(args, documents)
    length = usable_length(args, tokenizer, say)
    with args.training.main_process_first(desc="tokenize"):
        corpora = [to_corpus(part, tokenizer, args.pretrain.preprocessing_num_workers) for part in (documents, held_out)]
    say(f"  to learn from: {corpora[0].describe()}; held out: {corpora[1].describe()}")
    draw = DRAWS[args.pretrain.draw]
    train, held_out = (SegmentRows(corpus, draw, length, args.training.seed) for corpus in corpora)
    say(f"  {len(train):,} inputs of up to {length} tokens an epoch, {train.real_tokens() / len(train) / length:.0%} full")
    return tokenizer, train, held_out


def make_trainer(args, tokenizer, train, held_out, say):
    """The Trainer, with the model, the masks and the clock."""
    from ..data.masking import masking_for
    from ..data.pairs import SegmentCollator
    from ..errors import UserError
    from ..training.budget import Budget
    from ..training.models import load_config
    from ..training.pretraining import DrawAnew, PretrainingTrainer, metrics_of_sums
    from ..training.pretraining_model import build_pretraining_model
    from ..training.probe import Probe
    from ..training.replaced_tokens import ReplacedTokens
    from ..training.save_clock import EVERY, SaveClock

    flags = args.pretrain
    model = build_pretraining_model(args.model, load_config(args.model), tokenizer, flags.objective == "mlm+nsp")
    say(f"{model.config.model_type}: {model.num_parameters():,} parameters, vocabulary of {len(tokenizer):,}")
    replaced = None
    if flags.objective == "mlm+rtd":
        replaced = ReplacedTokens(model, tokenizer.mask_token_id, flags.generator_layers, flags.detection_weight)
        say(f"  for the training a generator and a detector of {sum(p.numel() for p in replaced.parameters()):,} parameters")
    special = {"cls": tokenizer.cls_token_id, "sep": tokenizer.sep_token_id, "pad": tokenizer.pad_token_id}
    trainer = PretrainingTrainer(
        model=model,
        args=args.training,
        train_dataset=train,
        eval_dataset=held_out,  # until `hold` masks a sample of them
        data_collator=SegmentCollator(train.corpus, special, train.max_length),
        processing_class=tokenizer,
        compute_metrics=metrics_of_sums,
        masking=masking_for(tokenizer, flags.mlm_probability, flags.whole_word_mask),
        muon_learning_rate=flags.muon_learning_rate,
        padding_free=flags.padding_free,
        replaced_tokens=replaced,
        callbacks=[DrawAnew(train), *([SaveClock()] if args.saves_by_the_clock else [])],
    )
    if args.saves_by_the_clock:
        say(f"  a checkpoint every {EVERY / 60:g} minutes, the last kept to the end: --resume_from_checkpoint last goes on")
    say(f"  {trainer.execution}")
    trainer.hold(held_out, SegmentCollator(held_out.corpus, special, held_out.max_length), flags.max_eval_samples)
    if flags.seconds:
        trainer.add_callback(Budget(flags.seconds, evaluate_every=flags.evaluate_every))
    if replaced and trainer.is_fsdp_enabled:
        raise UserError(
            "--objective mlm+rtd and FSDP given, but the generator reads the encoder's own weights, which no process has whole "
            "then; leave FSDP away"
        )
    if flags.probe and trainer.is_fsdp_enabled:
        raise UserError(f"--probe {flags.probe} copies the encoder, but no process has it whole in shards; leave FSDP away")
    if flags.probe:
        probe = Probe(flags.probe, flags.probe_every, flags.probe_flags, tokenizer, trainer)
        if trainer.is_world_process_zero():
            probe.check(model)
        trainer.add_callback(probe)
    return trainer


def open_record(args, fingerprint: str, known: dict, resume: str | None, say):
    """The folder with its record; one that is gone on with keeps its own, if it is the same run."""
    from ..results import files
    from ..training import folder, launch
    from ..training.resume import check_same_run, write_start

    record, training = args.record(), args.training
    if resume:
        note = check_same_run(resume, record["arguments"], fingerprint, training.world_size)
        say(f"going on from {resume}{f' ({note})' if note else ''}")
    if training.process_index == 0:
        folder.open_folder(training.output_dir, args.pretrain.overwrite_output_dir and not resume, bool(resume))
        facts = {**record, **launch.record(args), "data": fingerprint, **files.environment(), **known}
        write_start(training.output_dir, resume, facts, files.write_record)


def known(args, trainer, train, held_out) -> dict:
    """What run.json holds of the model and the text, for the report."""
    model = trainer.model
    counts = {part: rows.corpus.counts() for part, rows in (("to learn from", train), ("held out", held_out))}
    inputs = {"length": train.max_length, "inputs": len(train)}
    filled = round(train.real_tokens() / len(train) / train.max_length, 4)
    names = {"model": model.config.model_type, "parameters": model.num_parameters(), "execution": trainer.execution}
    return {**names, "corpus": {"name": args.corpus_label, **counts, **inputs, "filled": filled}}


def learn(args, trainer, train, resume, say):
    """Train and save."""
    from ..errors import Stopped
    from ..training.launch import resume_command
    from ..training.stopping import StopOnRequest

    with StopOnRequest() as stop:
        trainer.add_callback(stop)
        metrics = trainer.train(resume_from_checkpoint=resume).metrics
    if stop.stopped_at is not None:
        raise Stopped(f"stopped after step {stop.stopped_at}, all of it saved; go on with\n{resume_command(args)}")
    # Trainer's own speeds are of the steps that were planned, and a budget plans none; nor do probes count.
    seconds = metrics["train_runtime"] if trainer.budget() is None else trainer.budget().elapsed
    tokens = trainer.state.epoch * train.real_tokens()
    metrics["train_tokens"] = round(tokens)
    metrics["train_seconds"] = round(seconds, 1)
    metrics["train_steps_per_second"] = round(trainer.state.global_step / seconds, 3)
    metrics["train_samples_per_second"] = round(trainer.state.epoch * len(train) / seconds, 1)
    metrics["train_tokens_per_second"] = round(tokens / seconds, 1)
    trainer.save_metrics("train", metrics)
    trainer.save_state()
    trainer.save_model()
    say(f"  {trainer.state.global_step:,} steps, {tokens:,.0f} tokens in {seconds:.0f} s")


def evaluate(trainer, held_out, say) -> dict:
    """The objectives on the held-out documents, and pseudo-perplexity."""
    from ..results.pretraining_card import describe

    results = trainer.evaluate_held_out() | {"eval_samples": len(trainer.eval_dataset)}
    trainer.save_metrics("eval", results)
    trainer.save_state()  # its history ends with this evaluation
    say(describe(results))
    return results


def share(args, trainer, tokenizer, texts, results, started: float, say):
    """The proof that the folder loads elsewhere, the report and the model card."""
    from ..results import facts, files
    from ..results.pretraining_card import write_card
    from ..results.report import write_report
    from ..sharing import certificate
    from ..training.save_clock import drop_checkpoints

    folder = args.training.output_dir
    with say.step("certify"):
        certificate.certify(folder, trainer.whole or trainer.model, tokenizer, texts)
    say("  reloaded elsewhere: weights and outputs equal to the last bit")
    spent = {"seconds": round(time.perf_counter() - started, 1), "seconds_of": say.seconds, "memory": facts.peak_memory()}
    files.write_record(folder, results=results, notes=say.notes, execution=trainer.execution, **spent)
    with say.step("write the report"):
        write_report(folder)
        write_card(folder)
    if args.saves_by_the_clock:
        drop_checkpoints(folder)
