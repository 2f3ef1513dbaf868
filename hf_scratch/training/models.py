"""The model, configuration and tokenizer that the flags name: random or pre-trained, ours or anybody's, by the same way."""

import math
from dataclasses import replace
from pathlib import Path

import yaml
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from ..data.labels import Labels
from ..data.sources import OFFLINE_REMEDY, OFFLINE_RULE, hub_is_reachable, is_path, resolve_address
from ..data.tokenization import train_wordpiece
from ..errors import UserError, closest, missing_folder, runs_near
from .arguments import ModelArguments


def load_config(args: ModelArguments) -> PretrainedConfig:
    """The configuration of a named model or of a type, with --config_overrides.

    Raises:
        UserError: if the model or type is unknown, or a key is not one of its configuration's.
    """
    name = args.config_name or args.model_name_or_path
    overrides = read_overrides(args.config_overrides)
    if name:
        config = from_hub_or_disk(AutoConfig, name, args)
    elif args.model_type in CONFIG_MAPPING:
        config = AutoConfig.for_model(args.model_type)
    else:
        raise UserError(
            f"--model_type {args.model_type!r} is not registered.{closest(args.model_type, CONFIG_MAPPING.keys())} Give "
            "scratch, bert or another type that transformers knows, or --model_name_or_path for weights"
        )
    return overridden(config, overrides, anew=name is None)


def read_overrides(text: str | None) -> dict:
    """`k=v,...` as a dictionary.

    Raises:
        UserError: if a pair has no `=`.
    """
    overrides = {}
    for pair in filter(None, (text or "").split(",")):
        key, equals, value = (word.strip() for word in pair.partition("="))
        if not equals:
            raise UserError(f"--config_overrides holds {pair!r}, but takes key=value pairs; write {key}=VALUE")
        overrides[key] = read_value(value)
    return overrides


def overridden(config: PretrainedConfig, overrides: dict, anew: bool) -> PretrainedConfig:
    """A configuration with other values, all set before it is judged; transformers would store a misspelt key and ignore it.

    Args:
        config: to change.
        overrides: values by key.
        anew: make it from its class, so that what follows from the values (layer types, sizes of poolers) follows; a
            checkpoint's own values stay.

    Raises:
        UserError: if a key is unknown, or a value is of the wrong kind or does not fit the others.
    """
    for key in overrides:
        if not hasattr(config, key):
            keys = [name for name in config.to_dict() if not name.startswith("_")]
            raise UserError(
                f"--config_overrides {key}: the configuration of {config.model_type} has no {key!r}.{closest(key, keys)} "
                f"Its keys are {', '.join(sorted(keys))}"
            )
    if not overrides:
        return config
    try:
        if anew:
            config = type(config)(**overrides)
        for key, value in overrides.items():
            setattr(config, key, value)
        if hasattr(config, "validate"):
            config.validate()
    except Exception as error:  # the strict dataclass of the configuration says what it takes
        pairs = ",".join(f"{key}={value}" for key, value in overrides.items())
        raise UserError(f"--config_overrides {pairs}: {' '.join(str(error).split())}; give values of that kind") from error
    return config


def read_value(text: str):
    """A number, true, false, null or a word, as YAML has it; and 1e-5, which YAML takes for a word, as the number."""
    value = yaml.safe_load(text)
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def count_positions(model: PreTrainedModel) -> int | None:
    """How many tokens the model has positions for; None if it takes any length.

    RoBERTa and its relatives count from behind their padding token's id: of a table of 514 positions 512 can be used.
    """
    table = getattr(getattr(model.base_model, "embeddings", None), "position_embeddings", None)
    if getattr(table, "padding_idx", None) is not None:
        return table.num_embeddings - table.padding_idx - 1
    return getattr(model.config, "max_position_embeddings", None)


def class_order(config: PretrainedConfig, labels: Labels, trains: bool) -> Labels:
    """The classes in the order of the checkpoint's own head, if that knows them by these names: ids are not names.

    Args:
        config: of the model, as it was loaded.
        labels: of the data.
        trains: whether the head will be trained; if not, it must know the classes.

    Raises:
        UserError: if the head is used as it is, and has other classes.
    """
    own, names = tuple(name for _, name in sorted((config.id2label or {}).items())), labels.names
    if sorted(own) == sorted(names):
        return replace(labels, names=own)
    unnamed = all(name == f"LABEL_{id_}" for id_, name in enumerate(own))
    if not trains and not unnamed:
        raise UserError(
            f"the model's classes are {', '.join(own[:20])}, the data's {', '.join(names[:20])}; without training both must "
            "be the same; rename the data's labels, or train with --do_train"
        )
    return labels


def load_tokenizer(args: ModelArguments, train_texts, max_length: int) -> PreTrainedTokenizerBase:
    """The named tokenizer, else the named model's, else a WordPiece vocabulary learnt from the training texts.

    Raises:
        UserError: if there is no such tokenizer.
    """
    name = args.tokenizer_name or args.model_name_or_path
    if name is None:
        return train_wordpiece(train_texts, args.tokenizer_vocab_size, max_length)
    return named_tokenizer(name, args)


def named_tokenizer(name: str, args: ModelArguments) -> PreTrainedTokenizerBase:
    """A tokenizer that knows words: where a folder has no files of one, transformers makes one of the special tokens alone.

    Raises:
        UserError: if it cannot be loaded, or is of that kind.
    """
    tokenizer = from_hub_or_disk(AutoTokenizer, name, args)
    words = tokenizer.get_vocab().keys() - set(tokenizer.all_special_tokens)
    if not any(character.isalnum() for word in words for character in word):
        raise UserError(
            f"{name}: its tokenizer knows no words, for it has no files of one (tokenizer.json, or vocab.txt), but a text is "
            "read by them; put the files that the weights were trained with beside them, or train with --tokenizer_name NAME "
            "where they are"
        )
    return tokenizer


def build_model(args: ModelArguments, config: PretrainedConfig, tokenizer, labels: Labels) -> PreTrainedModel:
    """A classifier or regressor with one output a label, named; weights loaded if the flags name some, drawn otherwise.

    Raises:
        UserError: if the sizes do not fit together, or the encoder's weights are not all in the checkpoint.
    """
    config.problem_type = labels.problem_type
    config.num_labels = labels.num_labels
    config.id2label = dict(enumerate(labels.names))
    config.label2id = {name: id_ for id_, name in config.id2label.items()}
    if args.model_name_or_path:
        model = load_weights(AutoModelForSequenceClassification, args, config, tokenizer)
    else:
        fit_to_tokenizer(config, tokenizer)
        try:
            model = AutoModelForSequenceClassification.from_config(config)
        except (ValueError, RuntimeError, AssertionError, AttributeError, ZeroDivisionError) as error:
            raise UserError(f"no {config.model_type} model can be built so: {error}; mend --config_overrides") from error
    return model


def fit_to_tokenizer(config: PretrainedConfig, tokenizer):
    """A configuration of its type names the special tokens of that type's own vocabulary; these are those of this one."""
    config.vocab_size, config.pad_token_id = len(tokenizer), tokenizer.pad_token_id
    ids = {name: getattr(tokenizer, f"{name}_token_id") for name in ("bos", "cls", "eos", "sep", "mask")}
    ids |= {"bos": ids["cls"] if ids["bos"] is None else ids["bos"], "eos": ids["sep"] if ids["eos"] is None else ids["eos"]}
    for name, id_ in ids.items():
        if getattr(config, f"{name}_token_id", None) is not None and id_ is not None:
            setattr(config, f"{name}_token_id", id_)
    if getattr(config, "is_encoder_decoder", False):
        config.decoder_start_token_id = tokenizer.pad_token_id


def load_weights(auto_class, args: ModelArguments, config: PretrainedConfig, tokenizer) -> PreTrainedModel:
    """Weights under a head, which may be new; refused are those whose encoder would be random, or does not fit the tokenizer.

    Args:
        auto_class: of the head.
        args: name the weights.
        config: of the model, as it was loaded and changed.
        tokenizer: whose ids the embeddings must know.

    Raises:
        UserError: if they cannot be loaded, or do not fit.
    """
    name = args.model_name_or_path
    model, report = from_hub_or_disk(
        auto_class,
        name,
        args,
        config=config,
        ignore_mismatched_sizes=True,  # looked at here: of an encoder none are right
        output_loading_info=True,
        use_safetensors=True,  # other weights are pickles
    )
    refuse_random_encoder(model, report, name)
    if report["mismatched_keys"] and not args.ignore_mismatched_sizes:
        raise UserError(
            f"{name}: its head has another number of classes than the data; add --ignore_mismatched_sizes to begin with a "
            "new head"
        )
    ids, known = max(tokenizer.get_vocab().values()) + 1, getattr(model.config, "vocab_size", math.inf)
    if ids > known:
        raise UserError(
            f"{args.tokenizer_name or name}: the tokenizer has {ids:,} tokens, but the weights of {name} know {known:,}; give "
            "the tokenizer that they were trained with"
        )
    return model


def refuse_random_encoder(model: PreTrainedModel, report: dict, name: str):
    """Refuse weights that would leave the encoder in part random; a new head or pooler is none of it.

    Args:
        model: as it was loaded.
        report: what `from_pretrained` says of the loading.
        name: of the checkpoint.
    """
    backbone = f"{model.base_model_prefix}."
    missing = sorted(key for key in report["missing_keys"] if key.startswith(backbone) and ".pooler." not in key)
    if missing:
        raise UserError(
            f"{name}: {len(missing)} tensors of the encoder are not in the checkpoint "
            f"({', '.join(missing[:3])} ...), and would be random; check that the weights belong to this configuration"
        )
    other = [entry for entry in sorted(report["mismatched_keys"]) if entry[0].startswith(backbone)]
    if other:
        key, *shapes = max(other, key=lambda entry: math.prod(entry[1]))
        there, here = (" x ".join(map(str, shape)) for shape in shapes)
        raise UserError(
            f"{name}: {len(other)} tensors of the encoder have other sizes in the checkpoint than in the configuration ({key} "
            f"is {there} there, {here} here), and would be random; leave --config_overrides and --config_name away to keep the "
            f"weights, or name no weights to begin with random ones: --model_type {model.config.model_type}"
        )


def from_hub_or_disk(auto_class, name: str, args: ModelArguments, **kwargs):
    """`auto_class.from_pretrained` for a Hub name, a folder or a package:// address, quick to fail without a network.

    Raises:
        UserError: if it cannot be loaded.
    """
    path = resolve_address(name)
    local = Path(path).exists()
    if not local and is_path(path):
        raise missing_checkpoint(name)
    reachable = local or hub_is_reachable()
    try:
        return auto_class.from_pretrained(
            path,
            cache_dir=args.cache_dir,
            revision=args.model_revision,
            token=args.token,
            trust_remote_code=args.trust_remote_code,
            **kwargs,
        )
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        if not local and (not reachable or is_beside_folders(path)):
            raise missing_checkpoint(name) from error
        remedy = runs_near(path) or "check the name, or that the folder holds config.json, model.safetensors and tokenizer.json"
        raise UserError(f"{name}: cannot be loaded ({' '.join(str(error).split())}); {remedy}") from error


def missing_checkpoint(name: str) -> UserError:
    """The refusal of a checkpoint that is not here: a folder that is none, or a name whose Hub cannot be reached."""
    if is_path(name) or is_beside_folders(name):
        return missing_folder(name, "give the folder of a checkpoint, or owner/name for one on the Hub")
    near = runs_near(name)
    rule = f"there is no such folder, {OFFLINE_RULE}" if near else OFFLINE_RULE
    return UserError(f"model {name!r}: {rule}; {near or OFFLINE_REMEDY}")


def is_beside_folders(name: str) -> bool:
    """Whether a name with a slash means a folder rather than somebody's model on the Hub: its parent is here."""
    return "/" in name and Path(name).parent.is_dir()
