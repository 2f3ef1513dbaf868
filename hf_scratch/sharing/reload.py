"""Load a checkpoint as a stranger would, and write down what it answers. Run as a program, by `certificate`."""

import json
import sys

# A stranger has not installed this package: the checkpoint must bring all that it needs.
sys.modules["hf_scratch"] = None
del sys.path[0]


def main(folder: str, texts_file: str, answers_file: str):
    """Write the tokenizer's ids and the model's weights and logits for some texts.

    Args:
        folder: of the checkpoint.
        texts_file: JSON list of texts or pairs of texts.
        answers_file: safetensors file to write.
    """
    import torch
    from safetensors.torch import save_file
    from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

    with open(texts_file, encoding="utf-8") as file:
        texts = json.load(file)
    with open(f"{folder}/config.json", encoding="utf-8") as file:
        own_code = "auto_map" in json.load(file)  # the code that the run itself wrote beside the weights
    config = AutoConfig.from_pretrained(folder, trust_remote_code=own_code)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder, config=config, trust_remote_code=own_code).eval()
    inputs = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
    with torch.no_grad():
        answers = {"logits": model(**inputs).logits, "input_ids": inputs["input_ids"]}
    answers |= {f"weight.{name}": tensor.contiguous() for name, tensor in model.state_dict().items()}
    save_file({name: tensor.clone() for name, tensor in answers.items()}, answers_file)


if __name__ == "__main__":
    main(*sys.argv[1:])
