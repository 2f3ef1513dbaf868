"""A temperature made part of the model: whoever loads it gets calibrated probabilities."""

import numpy as np
import torch
from torch import nn

CLOSE = 0.02  # of the largest logit: bfloat16 keeps three digits


@torch.no_grad()
def divide_logits(model: nn.Module, temperature: float, logits) -> bool:
    """Divide the head's last linear layer, weight and bias, by a temperature; exact for any head that ends in one.

    softmax(z / T) then needs no code where the model is used: `pipeline`, an export and other tools see a smaller last layer.
    `config.calibration_temperature` says what it was divided by.

    Args:
        model: with a head of `config.num_labels` outputs.
        temperature: T.
        logits: called before and after, gives the model's logits on a few texts, `(N, num_labels)`, as numpy.

    Returns:
        Whether it was done; a model whose head ends otherwise is left as it was.
    """
    before = logits()
    linear = [module for module in model.modules() if isinstance(module, nn.Linear)]
    for layer in reversed([layer for layer in linear if layer.out_features == model.config.num_labels]):
        kept = [parameter.clone() for parameter in layer.parameters()]
        for parameter in layer.parameters():
            parameter.div_(temperature)
        if np.abs(logits() * temperature - before).max() <= CLOSE * np.abs(before).max():
            model.config.calibration_temperature = temperature * getattr(model.config, "calibration_temperature", 1.0)
            return True
        for parameter, value in zip(layer.parameters(), kept, strict=True):
            parameter.copy_(value)
    return False
