"""The whole of "Attention Is All You Need" (Vaswani et al. 2017, figure 1): encoder, decoder, generator."""

import torch
from torch import nn

from .checks import require_positive
from .decoder import TransformerDecoder
from .encoder import TransformerEncoderBlock
from .positional import PositionalEncoding


class Transformer(nn.Module):
    r"""Read a source sequence, and predict each target token from the source and the target tokens before it.

    P(y_t | y_<t, x) = softmax(W · Decoder(E'(y_<t) + PE, Encoder(E(x) + PE))), with embeddings E, E' scaled by
    √d_model (sections 3.1 and 3.4).

    Args:
        source_vocab_size: number of source tokens.
        target_vocab_size: number V of target tokens.
        dim: size D of all vectors (d_model).
        depth: number of blocks in the encoder, and as many in the decoder (N).
        heads: number H of attention heads.
        dim_head: size K of a head (d_k).
        max_len: length of the positional table that is kept; longer sequences work too.
        dropout: probability of dropping a feature of an embedding or of a sublayer's output in training (section 5.4).
        norm_first: pre-norm, or the paper's post-norm.
        layer_norm_eps, bias, options: the other keywords of `TransformerEncoderBlock`.

    Raises:
        ValueError: if a size is below 1, or the activation is unknown.
    """

    def __init__(
        self,
        source_vocab_size: int,
        target_vocab_size: int,
        dim: int = 512,
        depth: int = 6,
        heads: int = 8,
        dim_head: int = 64,
        max_len: int = 512,
        *,
        dropout: float = 0.0,
        norm_first: bool = True,
        layer_norm_eps: float = 1e-5,
        bias: bool = True,
        **options,
    ):
        super().__init__()
        require_positive(source_vocab_size=source_vocab_size, target_vocab_size=target_vocab_size, depth=depth)
        self.dim = dim
        options |= {"dropout": dropout, "norm_first": norm_first, "layer_norm_eps": layer_norm_eps, "bias": bias}
        self.positional_encoding = PositionalEncoding(dim, max_len)
        self.dropout = nn.Dropout(dropout)
        self.source_embedding = nn.Embedding(source_vocab_size, dim)
        self.encoder = nn.ModuleList(TransformerEncoderBlock(dim, heads, dim_head, **options) for _ in range(depth))
        self.encoder_norm = nn.LayerNorm(dim, eps=layer_norm_eps, bias=bias) if norm_first else None
        self.target_embedding = nn.Embedding(target_vocab_size, dim)
        self.decoder = TransformerDecoder(dim, depth, heads, dim_head, **options)
        self.generator = nn.Linear(dim, target_vocab_size)
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self):
        """All initialisation.

        | parameter | drawn from |
        |---|---|
        | Linear weights | U(-a, a), a = √(6 / (fan_in + fan_out)) (Glorot and Bengio 2010) |
        | embeddings | N(0, 1/D), which the scale √D makes N(0, 1) |
        | biases | 0 |
        | LayerNorm | weight 1, bias 0 (PyTorch's own) |
        """
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight, std=self.dim**-0.5)

    def forward(self, source_ids, target_ids, source_mask=None):
        """
        Args:
            source_ids: `(B, S)`.
            target_ids: `(B, T)`, the target shifted right: it begins with the token that means "begin".
            source_mask: `(B, S)`, 1 or True = a real token.

        Returns:
            Logits `(B, T, V)`; those at t say which token comes after target token t.

        Raises:
            ValueError: if source and target hold different numbers of rows, or the mask does not fit.
        """
        if len(source_ids) != len(target_ids):
            raise ValueError(
                f"source_ids has {len(source_ids)} rows, target_ids {len(target_ids)}; pass one target for each source"
            )
        return self.decode(target_ids, self.encode(source_ids, source_mask), source_mask)

    def encode(self, source_ids, source_mask=None):
        """`(B, S)` ids -> the memory `(B, S, D)`."""
        x = self.embed(source_ids, self.source_embedding)  # (B, S, D)
        for block in self.encoder:
            x = block(x, source_mask)
        return x if self.encoder_norm is None else self.encoder_norm(x)

    def decode(self, target_ids, memory, source_mask=None):
        """`(B, T)` ids and the memory `(B, S, D)` -> logits `(B, T, V)`."""
        x = self.embed(target_ids, self.target_embedding)  # (B, T, D)
        return self.generator(self.decoder(x, memory, memory_mask=source_mask))  # (B, T, V)

    def embed(self, ids, embedding):
        return self.dropout(self.positional_encoding(embedding(ids) * self.dim**0.5))  # (B, T) -> (B, T, D)

    @torch.no_grad()
    def generate(self, source_ids, bos_token_id, eos_token_id, max_new_tokens, source_mask=None):
        """Greedy decoding: append the likeliest token until every row has ended. Call `eval()` first.

        Args:
            source_ids: `(B, S)`.
            bos_token_id: the token that each target begins with.
            eos_token_id: the token that ends a target; it also fills the row behind its end.
            max_new_tokens: the most tokens that are appended.
            source_mask: `(B, S)`, 1 or True = a real token.

        Returns:
            Target ids `(B, 1 + N)`, N <= max_new_tokens, the first of them `bos_token_id`.

        Raises:
            ValueError: if `max_new_tokens` is below 1.
        """
        require_positive(max_new_tokens=max_new_tokens)
        memory = self.encode(source_ids, source_mask)  # (B, S, D)
        target_ids = source_ids.new_full((len(source_ids), 1), bos_token_id)  # (B, 1)
        ended = torch.zeros_like(target_ids, dtype=torch.bool)  # (B, 1)
        for _ in range(max_new_tokens):
            logits = self.decode(target_ids, memory, source_mask)[:, -1:]  # (B, 1, V)
            next_ids = logits.argmax(dim=-1).masked_fill(ended, eos_token_id)  # (B, 1)
            target_ids = torch.cat([target_ids, next_ids], dim=1)  # (B, 1 + step)
            ended = ended | (next_ids == eos_token_id)
            if ended.all():
                break
        return target_ids
