"""Load a checkpoint as a stranger would, and write down what it answers. Run as a program, by `certificate`."""

import copy
import hashlib
import json
import sys

if __name__ == "__main__":
    # A stranger has not installed this package: the checkpoint must bring all that it needs.
    sys.modules["hf_scratch"] = None
    del sys.path[0]

import torch
from safetensors.torch import save_file


def main(folder: str, asked_file: str, answers_file: str):
    """Write the tokenizer's ids, and what the model answers through each Auto class, for some texts.

    Args:
        folder: of the checkpoint.
        asked_file: JSON with `texts`, the checkpoint's own class (`architecture`), what its encoder is (`seat`), the Auto
            `classes`, and the `attention`.
        answers_file: safetensors file to write.
    """
    import transformers
    from transformers import AutoConfig, AutoTokenizer

    with open(asked_file, encoding="utf-8") as file:
        asked = json.load(file)
    with open(f"{folder}/config.json", encoding="utf-8") as file:
        own_code = "auto_map" in json.load(file)  # the code that the run itself wrote beside the weights
    transformers.logging.set_verbosity_error()  # each other class would list the weights that its head lacks
    transformers.logging.disable_progress_bar()
    AutoConfig.from_pretrained(folder, trust_remote_code=own_code)
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=own_code)
    tokens = tokenizer(asked["texts"], padding=True, truncation=True, return_tensors="pt")
    answers, facts = {f"tokens.{name}": tensor for name, tensor in tokens.items()}, {"encoders": {}}
    # A head of another class may want other sizes; whatever is not as it was saved, the fingerprints tell.
    options = {"trust_remote_code": own_code, "ignore_mismatched_sizes": True}
    options["attn_implementation"] = asked["attention"]
    for name in asked["classes"]:
        # A copy, as in memory: some kernels round by the alignment of the weights, and those of a mapped file lie otherwise.
        model = copy.deepcopy(getattr(transformers, name).from_pretrained(folder, **options)).eval()
        own = type(model).__name__ == asked["architecture"]
        if not (own_code or own) and seat(model) != asked["seat"]:
            continue  # transformers gives this class another encoder than the one that was trained
        facts["encoders"][name] = fingerprints(model.base_model)
        if own_code or own:  # other heads of transformers may want other texts, other labels, or inputs of a decoder
            outputs = compute(model, tokens)
            answers[f"encoder.{name}"] = outputs.pop("encoder")
        if own:
            facts["weights"] = fingerprints(model)
            answers |= outputs
    if "weights" not in facts:
        raise ValueError(f"none of {', '.join(asked['classes'])} gives {asked['architecture']}, which was saved")
    save_file(
        {name: tensor.clone().contiguous() for name, tensor in answers.items()}, answers_file, {"facts": json.dumps(facts)}
    )


@torch.no_grad()
def compute(model, tokens) -> dict[str, torch.Tensor]:
    """Every output of a model, `output.NAME`, and its encoder's last hidden state `(B, T, D)`, `encoder`."""
    hidden = []
    hook = model.base_model.register_forward_hook(lambda module, args, output: hidden.append(output))
    if type(model).__name__.endswith("ForMultipleChoice"):
        tokens = {name: tensor.unsqueeze(1) for name, tensor in tokens.items()}  # (B, T) -> (B, 1, T)
    try:
        outputs = model(**tokens)
    finally:
        hook.remove()
    answers = {f"output.{name}": tensor for name, tensor in outputs.items() if isinstance(tensor, torch.Tensor)}
    return answers | {"encoder": hidden[0][0]}


def seat(model) -> list[str]:
    """What the encoder of a model is, and under which name it lies in the file."""
    return [type(model.base_model).__name__, model.base_model_prefix]


def fingerprints(model) -> dict[str, str]:
    """SHA-256 of every weight, with its type and shape."""
    marks = {}
    for name, tensor in model.state_dict().items():
        content = tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()
        marks[name] = hashlib.sha256(f"{tensor.dtype} {tuple(tensor.shape)} ".encode() + content.tobytes()).hexdigest()
    return marks


if __name__ == "__main__":
    main(*sys.argv[1:])
