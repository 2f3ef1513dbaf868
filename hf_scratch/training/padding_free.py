"""Padding-free execution: an encoder computes on the real tokens of a batch only, and every head works as it is.

At the encoder's door the padded batch `(B, T)` becomes one row of its N real tokens, `(1, N)`; behind its last layer the row
becomes a padded batch again. In between only attention has to know where a text ends: it is registered with transformers under
the name `padding_free`, and is told by `cu_seq_lens_q`. On CUDA it is torch's variable-length kernel, elsewhere a loop over
the texts.
"""

import copy
import inspect
from dataclasses import dataclass, replace
from itertools import groupby

import torch
from torch import nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel

from ..errors import UserError

NAME = "padding_free"
# Each was compared with its padded path: every head, outputs and gradients (tests/training/test_padding_free.py).
PROVEN = ("bert", "distilbert", "modernbert", "roberta", "scratch")
HALF = (torch.bfloat16, torch.float16)


@dataclass(frozen=True)
class Packing:
    """Where the real tokens of a padded batch lie.

    Args:
        token_indices: `(N,)`, of each packed token in the flattened batch of B·T; B·T itself where a token only fills up.
        cu_seq_lens: `(S + 1,)` int32: text s has the tokens from `cu_seq_lens[s]` to `cu_seq_lens[s + 1]`.
        shape: B and T.
    """

    token_indices: torch.Tensor
    cu_seq_lens: torch.Tensor
    shape: tuple[int, int]

    def unpad(self, x: torch.Tensor) -> torch.Tensor:
        """`(B, T, ...)` or, the same for each text, `(1, T, ...)` -> `(1, N, ...)`."""
        flat = x.expand(*self.shape, *x.shape[2:]).flatten(0, 1)  # (B·T, ...)
        return torch.cat([flat, flat[:1]])[self.token_indices].unsqueeze(0)

    def pad(self, x: torch.Tensor) -> torch.Tensor:
        """`(1, N, D)` -> `(B, T, D)`, zero where the batch was padded."""
        B, T = self.shape
        padded = x.new_zeros(B * T + 1, x.shape[-1]).index_copy(0, self.token_indices, x[0])  # (B·T + 1, D)
        return padded[:-1].unflatten(0, (B, T))

    def first(self, x: torch.Tensor) -> torch.Tensor:
        """`(1, N, D)` -> `(B, 1, D)`: the first token of each text, all that a pooler reads."""
        return x[0, self.cu_seq_lens[: self.shape[0]]].unsqueeze(1)


@dataclass(frozen=True)
class Shapes:
    """The few shapes that packed batches are filled up to, for kernels that are compiled or recorded for one.

    Args:
        tokens: N is a multiple of it.
        texts: B counts as a multiple of it.
        longest: no text is longer.
    """

    tokens: int
    texts: int
    longest: int

    def of(self, num_tokens: int, B: int) -> tuple[int, int]:
        """N and S for a batch: room for its tokens and texts, and for the texts that fill it up."""
        return -(-num_tokens // self.tokens) * self.tokens, -(-B // self.texts) * self.texts - (-self.tokens // self.longest)


def pack(attention_mask: torch.Tensor, num_tokens: int | None = None, shapes: Shapes | None = None) -> Packing:
    """Find the real tokens of a batch, on its device.

    Args:
        attention_mask: `(B, T)`, 1 for real tokens.
        num_tokens: at least as many as are real; counted if not given, for which a CUDA device has to be waited for.
        shapes: to fill up to. What fills up are texts of their own, which touch no other.

    Raises:
        ValueError: if the mask has another shape: it then says more than which tokens are real.
    """
    if attention_mask.ndim != 2:
        raise ValueError(
            f"padding-free execution needs an attention_mask of shape (B, T), but got {tuple(attention_mask.shape)}; give "
            "that, or run with --padding_free never"
        )
    B, T = attention_mask.shape
    real = attention_mask.bool().flatten()
    N = int(real.sum()) if num_tokens is None else num_tokens
    N, S = (N, B - (-N // T)) if shapes is None else shapes.of(N, B)
    end = real.cumsum(0)  # (B·T,)
    place = torch.where(real, end - 1, N)
    token_indices = torch.full((N + 1,), B * T, device=real.device)
    token_indices.scatter_(0, place, torch.arange(B * T, device=real.device))
    ends = end[T - 1 :: T]  # (B,)
    if num_tokens is not None or shapes is not None:
        longest = T if shapes is None else shapes.longest
        filling = ends[-1] + longest * torch.arange(1, S - B + 1, device=real.device)
        ends = torch.cat([ends, filling.clamp(max=N)])  # (S,)
    return Packing(token_indices[:-1], nn.functional.pad(ends, (1, 0)).int(), (B, T))


def padding_free_attention(
    module,
    query,
    key,
    value,
    attention_mask,
    scaling=None,
    dropout=0.0,
    sliding_window=None,
    cu_seq_lens_q=None,
    max_length_q=None,
    **kwargs,
):
    """Attention within each text, as `transformers.AttentionInterface` calls it.

    Args:
        query, key, value: `(1, H, N, K)`.
        attention_mask: None: no token is padding.
        sliding_window: tokens further apart than this, itself included, do not see each other; None for no such limit.
        cu_seq_lens_q: `(S + 1,)`, where texts begin and end.
        max_length_q: of the longest text, or more.

    Returns:
        `(1, N, H, K)`, and None for the weights, which are not kept.
    """
    window = -1 if sliding_window is None else sliding_window - 1
    if query.is_cuda and query.dtype in HALF:
        out = flash_attention(query, key, value, cu_seq_lens_q, max_length_q, scaling, dropout, window)
    else:
        out = attention_by_text(query, key, value, cu_seq_lens_q.diff().tolist(), scaling, dropout, window)
    return out, None


def flash_attention(query, key, value, cu_seq_lens, max_length, scaling, dropout, window):
    """One kernel for texts of any length (Dao 2023, FlashAttention-2). `varlen_attn` offers no dropout, its operator does."""
    query, key, value = (x.transpose(1, 2).squeeze(0) for x in (query, key, value))  # (1, H, N, K) -> (N, H, K)
    if dropout:
        out = torch.ops.aten._flash_attention_forward(
            *(query, key, value, cu_seq_lens, cu_seq_lens, max_length, max_length, dropout, False, False),
            scale=scaling,
            window_size_left=window,
            window_size_right=window,
        )[0]
    else:
        from torch.nn.attention.varlen import varlen_attn  # torch 2.10 and later

        limits = {} if window < 0 else {"window_size": (window, window)}
        out = varlen_attn(query, key, value, cu_seq_lens, cu_seq_lens, max_length, max_length, scale=scaling, **limits)
    return out.unsqueeze(0)  # (N, H, K) -> (1, N, H, K)


def attention_by_text(query, key, value, lengths, scaling, dropout, window):
    """Text by text, neighbours of one length together: no kernel for variable lengths exists on CPU, and the linear layers,
    in which most of the work lies, see real tokens only."""
    runs = [(length, len(list(texts))) for length, texts in groupby(lengths)]
    parts = zip(*(x[0].split([length * texts for length, texts in runs], dim=1) for x in (query, key, value)), strict=True)
    outs = []
    for (length, texts), tensors in zip(runs, parts, strict=True):
        q, k, v = (x.unflatten(1, (texts, length)).transpose(0, 1) for x in tensors)  # (H, B·T, K) -> (B, H, T, K)
        mask = band(length, window, q.device)
        out = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout, scale=scaling)
        outs.append(out.transpose(1, 2).flatten(0, 1))  # (B, H, T, K) -> (B·T, H, K)
    return torch.cat(outs).unsqueeze(0)  # (1, N, H, K)


def band(length: int, window: int, device) -> torch.Tensor | None:
    """`(T, T)`, True where two tokens are at most `window` apart; None where all of them are."""
    if not 0 <= window < length - 1:
        return None
    position = torch.arange(length, device=device)
    return (position[:, None] - position).abs() <= window


AttentionInterface.register(NAME, padding_free_attention)
AttentionMaskInterface.register(NAME, lambda *args, **kwargs: None)  # no token is padding: there is nothing to mask


class PaddingFree:
    """Within this context the model's encoder computes on real tokens only; outside it the model is untouched.

    Positions are those of the padded batch, so hidden tokens (`attention_mask` 0 inside a text) leave gaps, as they should.
    Whatever a head reads of a hidden or padded token is zero.

    Args:
        model: with one of the encoders that are `PROVEN`, and any head.
    """

    def __init__(self, model: PreTrainedModel):
        self.encoder = model.base_model
        self.body = without_pooler(self.encoder)
        self.run = self.body.forward
        self.shapes: Shapes | None = None
        self.depth = 0
        self.given_attention = None

    def __enter__(self):
        self.depth += 1
        if self.depth == 1:
            self.given_attention = self.encoder.config._attn_implementation
            self.encoder.config._attn_implementation = NAME
            self.encoder.forward = self.forward
        return self

    def __exit__(self, *exception):
        self.depth -= 1
        if self.depth == 0:
            self.encoder.config._attn_implementation = self.given_attention
            del self.encoder.forward  # the class's own is behind it

    def forward(self, *args, num_tokens: int | None = None, **kwargs):
        """The encoder's forward.

        Args:
            num_tokens: as for `pack`; `CountTokens` gives it.

        Raises:
            ValueError: if attention weights are asked for, or the mask is not `(B, T)`.
        """
        if kwargs.pop("output_attentions", False):
            raise ValueError("padding-free execution keeps no attention weights; run with --padding_free never to see them")
        kwargs |= zip(inspect.signature(type(self.encoder).forward).parameters, (None, *args), strict=False)
        kwargs.pop("self")
        ids = kwargs.get("input_ids")
        x = kwargs["inputs_embeds"] if ids is None else ids
        mask = kwargs.pop("attention_mask", None)
        packing = pack(torch.ones(x.shape[:2], device=x.device) if mask is None else mask, num_tokens, self.shapes)
        positions = kwargs.pop("position_ids", None)
        kwargs["position_ids"] = self.positions(x) if positions is None else positions
        inputs = {name: kwargs.pop(name) for name in BY_TOKEN if kwargs.get(name) is not None}
        self.body.training = self.encoder.training
        outputs = self.run(
            **{name: packing.unpad(value) for name, value in inputs.items()},
            **kwargs | {"return_dict": True},
            cu_seq_lens_q=packing.cu_seq_lens,
            max_length_q=max(x.shape[1], self.shapes.longest if self.shapes else 0),
        )
        hidden = outputs.last_hidden_state
        padded = {"last_hidden_state": packing.pad(hidden)}
        if getattr(self.encoder, "pooler", None) is not None:
            padded["pooler_output"] = self.encoder.pooler(packing.first(hidden))
        if outputs.hidden_states is not None:
            padded["hidden_states"] = tuple(map(packing.pad, outputs.hidden_states))
        return replace(outputs, **padded)

    def positions(self, x: torch.Tensor) -> torch.Tensor:
        """`(B, T)` or `(1, T)`: those that the encoder itself would give to a padded batch."""
        embeddings = self.encoder.embeddings
        if hasattr(embeddings, "create_position_ids_from_input_ids"):  # RoBERTa counts from its padding token's id
            if x.ndim == 2:
                return embeddings.create_position_ids_from_input_ids(x, embeddings.padding_idx)
            return embeddings.create_position_ids_from_inputs_embeds(x, embeddings.padding_idx)
        return torch.arange(x.shape[1], device=x.device).unsqueeze(0)


BY_TOKEN = ("input_ids", "token_type_ids", "position_ids", "inputs_embeds")


def without_pooler(encoder: nn.Module) -> nn.Module:
    """The same encoder, sharing every parameter, that ends with its last layer."""
    body = copy.copy(encoder)
    body._modules = dict(encoder._modules)
    if body._modules.get("pooler") is not None:
        body._modules["pooler"] = None
    return body


class CountTokens:
    """A collator that adds the number of real tokens to its batches: counted here, no device is waited for later."""

    def __init__(self, collator):
        self.collator = collator

    def __call__(self, rows) -> dict:
        batch = dict(self.collator(rows))
        if "attention_mask" in batch:
            batch["num_tokens"] = int(batch["attention_mask"].sum())
        return batch


def choose_padding_free(wanted: str, model, args, hides_tokens: bool = False) -> tuple[PaddingFree | None, str]:
    """What --padding_free auto, always or never comes to, and the line that says so.

    Args:
        wanted: "auto", "always" or "never".
        model: to train.
        args: the `TrainingArguments`.
        hides_tokens: whether training hides tokens inside texts.

    Raises:
        UserError: if it always should, but cannot.
    """
    if wanted == "never":
        return None, "padding is computed, as --padding_free never asks"
    reason = why_padded(model, args, hides_tokens)
    if args.torch_compile:
        reason = reason or "Trainer's torch.compile takes the whole model, and would compile every number of tokens anew"
    if reason:
        if wanted == "always":
            raise UserError(f"--padding_free always is not possible: {reason}; leave it away, and padding is computed")
        return None, f"padding is computed: {reason}"
    return PaddingFree(model), "padding-free: only real tokens are computed"


def why_padded(model: PreTrainedModel, args, hides_tokens: bool = False) -> str | None:
    """Why this model is not trained padding-free on this machine; None if it is."""
    config = model.base_model.config
    if reason := why_not_proven(config, args.device, half=args.bf16 or args.fp16):
        return reason
    if hides_tokens and getattr(config, "layer_types", None):
        return f"--token_dropout hides tokens, and would bring others into {config.model_type}'s sliding windows"
    if args.neftune_noise_alpha:
        return "--neftune_noise_alpha scales its noise by the length of a text, and would take the batch for one"
    if args.fsdp or args.deepspeed:
        return "it was not proven with weights that are cut apart (FSDP, DeepSpeed)"
    if args.n_gpu > 1:
        return f"one process drives {args.n_gpu} GPUs and would cut batches apart; start one process a GPU with torchrun"
    return None


def why_not_proven(config, device: torch.device, half: bool) -> str | None:
    """Why an encoder was not proven to compute the same padding-free on a device; None if it was.

    Args:
        config: of the encoder.
        device: where it computes.
        half: whether it computes in bf16 or fp16.
    """
    if config.model_type not in PROVEN:
        return f"{config.model_type} is not among {', '.join(PROVEN)}, for which results were proven equal"
    if getattr(config, "is_decoder", False):
        return "the model is a decoder, and sees no token to its right"
    if device.type == "cuda":
        return why_not_on_cuda(config, device, half)
    return None if device.type == "cpu" else f"it was proven on CPU and CUDA, not on {device.type}"


def why_not_on_cuda(config, device: torch.device, half: bool) -> str | None:
    """What the kernel for variable lengths lacks."""
    if not half:
        return "the kernel for variable lengths computes in bf16 or fp16, and neither is on"
    if torch.cuda.get_device_capability(device) < (8, 0):
        return f"{torch.cuda.get_device_name(device)} is older than the kernel for variable lengths, which needs Ampere"
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return f"torch {torch.__version__} has no kernel for variable lengths; 2.10 has"
    if getattr(config, "layer_types", None) and "window_size" not in inspect.signature(varlen_attn).parameters:
        return f"the kernel of torch {torch.__version__} knows no sliding window, which {config.model_type} has; 2.11 does"
    size = getattr(config, "attention_head_size", None) or config.hidden_size // config.num_attention_heads
    return None if size % 8 == 0 and size <= 256 else f"heads of size {size} do not fit the kernel, which takes 8, 16, ... 256"
