"""BERT's names for our tensors, both ways, and the reading and building of BERT models.

The scratch encoder with post-norm blocks, learned positions and BERT's pooler computes what BERT computes, so a change
of names is all that lies between their checkpoints.
"""

import transformers
from transformers import BertConfig, PreTrainedConfig, PreTrainedModel

from .attention import split_projections

BERT_ARCHITECTURES = (
    "BertModel",
    "BertForPreTraining",
    "BertForMaskedLM",
    "BertForNextSentencePrediction",
    "BertForSequenceClassification",
    "BertForTokenClassification",
    "BertForQuestionAnswering",
    "BertForMultipleChoice",
)

# Each table maps a module of BERT to the one of ours that holds the same weight and bias.
OUTSIDE_THE_LAYERS = {
    "bert.embeddings.word_embeddings": "scratch.embeddings.word_embeddings",
    "bert.embeddings.position_embeddings": "scratch.embeddings.position_embeddings",
    "bert.embeddings.token_type_embeddings": "scratch.embeddings.token_type_embeddings",
    "bert.embeddings.LayerNorm": "scratch.embeddings.norm",
    "bert.pooler.dense": "scratch.pooler.dense",
    "cls.predictions.transform.dense": "mlm_head.dense",
    "cls.predictions.transform.LayerNorm": "mlm_head.norm",
    "cls.predictions.decoder": "mlm_head.decoder",
    "cls.seq_relationship": "nsp_head",
    "classifier": "classifier",
    "qa_outputs": "qa_outputs",
}
IN_A_LAYER = {
    "attention.self.query": "attention.query",
    "attention.self.key": "attention.key",
    "attention.self.value": "attention.value",
    "attention.output.dense": "attention.output",
    "attention.output.LayerNorm": "attention_norm",
    "intermediate.dense": "feed_forward.widen",
    "output.dense": "feed_forward.narrow",
    "output.LayerNorm": "feed_forward_norm",
}
# BERT's decoder bias has a second name. Tied, it is the same tensor; untied, BERT never reads it.
SECOND_NAMES = {"cls.predictions.bias"}

# What a BERT config and ours call by the same name.
SHARED_FIELDS = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "hidden_act",
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "classifier_dropout",
    "max_position_embeddings",
    "type_vocab_size",
    "initializer_range",
    "layer_norm_eps",
    "pad_token_id",
    "bos_token_id",
    "eos_token_id",
    "tie_word_embeddings",
    "id2label",
    "label2id",
    "problem_type",
)


def module_names(num_hidden_layers: int) -> dict[str, str]:
    """BERT's modules that hold weights -> ours, for every head; one to one."""
    names = dict(OUTSIDE_THE_LAYERS)
    for n in range(num_hidden_layers):
        names |= {f"bert.encoder.layer.{n}.{bert}": f"scratch.layers.{n}.{ours}" for bert, ours in IN_A_LAYER.items()}
    return names


def rename(tensors: dict, modules: dict[str, str]) -> dict:
    """Give each tensor the name that `modules` gives to the module it is in.

    Raises:
        ValueError: if it is in none of them.
    """
    renamed = {}
    for name, tensor in tensors.items():
        module, _, parameter = name.rpartition(".")
        if module not in modules:
            raise ValueError(
                f"the tensor {name} has no counterpart among the {len(modules)} modules that BERT and the scratch "
                "encoder share; give a model of one of BERT's own classes"
            )
        renamed[f"{modules[module]}.{parameter}"] = tensor
    return renamed


def counterpart_of(scratch_class: type) -> str:
    """Name of the BERT class that has the head of a scratch class, or of the one that it was derived from.

    Raises:
        ValueError: if none has.
    """
    for base in scratch_class.__mro__:
        name = base.__name__.replace("Scratch", "Bert")
        if name in BERT_ARCHITECTURES:
            return name
    raise ValueError(
        f"{scratch_class.__name__} has no counterpart in BERT; use one of "
        f"{', '.join(name.replace('Bert', 'Scratch') for name in BERT_ARCHITECTURES)}"
    )


def require_readable(config: dict):
    """Refuse what is not a BERT encoder.

    Args:
        config: a config as a dictionary.

    Raises:
        ValueError: naming what stands in the way, and what can be read.
    """
    if config.get("model_type") != "bert":
        raise ValueError(
            f"the source has model_type {config.get('model_type')!r}, but only 'bert' can be read: a checkpoint of "
            f"{', '.join(BERT_ARCHITECTURES)}"
        )
    encoder = {"is_decoder": False, "add_cross_attention": False, "position_embedding_type": "absolute"}
    for field, needed in encoder.items():
        if config.get(field, needed) != needed:
            raise ValueError(
                f"the source is a BERT with {field}={config[field]!r}, which the scratch encoder cannot compute; "
                f"give one with {field}={needed!r}"
            )


def read_bert(source, architecture: str, **kwargs) -> tuple[PreTrainedModel, set[str]]:
    """Read a BERT checkpoint with transformers' own class.

    Args:
        source: a folder or a Hub name; or a BERT model in memory, which is handed back.
        architecture: name of the BERT class whose head is wanted; what a checkpoint lacks of it is drawn at random.
        kwargs: those of `from_pretrained`, config fields included.

    Returns:
        The model, and our names of the tensors that the checkpoint did not hold.

    Raises:
        ValueError: if the source is no BERT encoder, or lacks a tensor of the encoder.
    """
    if isinstance(source, PreTrainedModel):
        if kwargs:
            raise ValueError(
                f"{', '.join(kwargs)} cannot be applied to a model in memory; give the name of a checkpoint, or build "
                "the model with them"
            )
        require_readable(source.config.to_dict())
        return source, set()
    require_readable(PreTrainedConfig.get_config_dict(source, **kwargs)[0])
    kwargs["output_loading_info"] = True
    bert, info = getattr(transformers, architecture).from_pretrained(source, **kwargs)
    lacking = [*info["missing_keys"], *(key for key, *_ in info["mismatched_keys"])]
    absent = scratch_tensors(bert, lacking)
    encoder = [name for name in scratch_tensors(bert) if is_encoder_tensor(name)]
    lost = sorted(name for name in absent if is_encoder_tensor(name))
    if lost:
        raise ValueError(
            f"{source} lacks {len(lost)} of the encoder's {len(encoder)} tensors, {lost[0]} for one; give a "
            "checkpoint that holds all of them"
        )
    return bert, set(absent)


def is_encoder_tensor(name: str) -> bool:
    """Whether one of our tensors belongs to the encoder itself; the pooler serves heads, and counts as one."""
    return name.startswith(("scratch.embeddings.", "scratch.layers."))


def scratch_tensors(bert: PreTrainedModel, names=None) -> dict:
    """The tensors of a BERT model, or those with BERT's `names`, by our names.

    Raises:
        ValueError: if one has no counterpart.
    """
    tensors = bert.state_dict()
    names = tensors if names is None else names
    prefix = "" if hasattr(bert, "bert") else "bert."
    tensors = {prefix + name: tensors[name] for name in names if name not in SECOND_NAMES}
    return rename(tensors, module_names(bert.config.num_hidden_layers))


def scratch_fields(bert_config: PreTrainedConfig) -> dict:
    """The fields of the `ScratchConfig` that computes what this BERT computes."""
    fields = {name: getattr(bert_config, name) for name in SHARED_FIELDS}
    return fields | {"norm_first": False, "position_embedding_type": "learned"}


def build_bert(model: PreTrainedModel) -> PreTrainedModel:
    """The BERT model that computes what this scratch model computes, with copies of its weights.

    Raises:
        ValueError: if the scratch model has not BERT's shape, naming every field in the way.
    """
    config, architecture = model.config, counterpart_of(type(model))
    needed = {"norm_first": False, "position_embedding_type": "learned"}
    if architecture in ("BertForSequenceClassification", "BertForMultipleChoice"):
        needed["classifier_pooling"] = "cls"
    if config.head_size is not None:
        needed["head_size"] = config.hidden_size // config.num_attention_heads
    wrong = [f"{name}={getattr(config, name)!r}" for name, value in needed.items() if getattr(config, name) != value]
    if wrong:
        raise ValueError(
            f"{type(model).__name__} with {', '.join(wrong)} has no counterpart in BERT, which needs "
            f"{', '.join(f'{name}={value!r}' for name, value in needed.items())}; train a model of that shape"
        )
    # A bare encoder may have been built without the pooler.
    options = {"add_pooling_layer": model.pooler is not None} if architecture == "BertModel" else {}
    bert = getattr(transformers, architecture)._from_config(
        BertConfig(**{name: getattr(config, name) for name in SHARED_FIELDS}), dtype=model.dtype, **options
    )
    prefix = "" if hasattr(model, "scratch") else "scratch."
    names = {ours: theirs for theirs, ours in module_names(config.num_hidden_layers).items()}
    tensors = rename({prefix + name: tensor for name, tensor in split_projections(model.state_dict()).items()}, names)
    if architecture == "BertModel":
        tensors = {name.removeprefix("bert."): tensor for name, tensor in tensors.items()}
    expected = {name for name in bert.state_dict() if name not in SECOND_NAMES}
    assert set(tensors) == expected, f"tensors without a counterpart: {sorted(set(tensors) ^ expected)}"
    bert.load_state_dict(tensors, strict=False)
    return bert.eval()
