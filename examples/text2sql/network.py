"""The training-time network: a Llama with fused projections, exported to the layout `LlamaForCausalLM` loads.

Fusing query, key and value, and the two halves of the gated feed-forward, makes a small model on CPU noticeably
faster than the reference implementation; the exported weights are the very same ones, split.

Copying names from schema to query is what the model does most, and what a small model finds last: from a usual
initialisation it takes 6 to 8 M tokens until the first name is copied. So two heads start as what they become anyway,
an induction head (Olsson et al., 2022, "In-context learning and induction heads"; for the idea of starting from the
structure that training finds, Trockman and Kolter, 2023, "Mimetic initialization of self-attention layers"): the first
layer's head 0 attends to the token before, the second layer's to what followed the last time the present token was
seen, and copies it. All other blocks start as the identity, on a residual stream that the embedding dominates;
otherwise the first steps' noise buries both heads.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import LlamaConfig

CHUNK = 160

FAST_PAIRS = 8
"""Rotary pairs, fastest first, by which the first layer's head tells the token before from its neighbours."""
SLOW_PAIRS = 12
"""Rotary pairs, slowest first, that turn so little over a prompt that tokens can be matched at any distance."""
CONSTANT, SHARPNESS, STRENGTH = 0.3, 2.2, 6.0
"""Share of the constant feature in an embedding; scale of matched queries and keys; gain of what is copied."""


def _attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    """Masked causal attention by plain products, in chunks of queries that only read the keys before their end.

    On CPU the backward pass of PyTorch's fused attention takes several times as long as these products.
    """
    made = []
    for start in range(0, query.shape[2], CHUNK):
        end = min(start + CHUNK, query.shape[2])
        scores = query[:, :, start:end] @ key[:, :, :end].transpose(2, 3)
        weights = torch.softmax(scores.float() + mask[:, :, start:end, :end].float(), -1).to(value.dtype)
        made.append(weights @ value[:, :, :end])
    return torch.cat(made, 2)


class Block(nn.Module):  # type: ignore[misc]
    """Pre-norm attention and SwiGLU feed-forward, shapes ``(rows, length, hidden)``."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        hidden, self.head = config.hidden_size, config.head_dim
        self.heads, self.kv_heads = config.num_attention_heads, config.num_key_value_heads
        self.qkv = nn.Linear(hidden, (self.heads + 2 * self.kv_heads) * self.head, bias=False)
        self.out = nn.Linear(self.heads * self.head, hidden, bias=False)
        self.gate_up = nn.Linear(hidden, 2 * config.intermediate_size, bias=False)
        self.down = nn.Linear(config.intermediate_size, hidden, bias=False)
        self.attention_norm = nn.RMSNorm(hidden, eps=config.rms_norm_eps)
        self.feed_norm = nn.RMSNorm(hidden, eps=config.rms_norm_eps)

    def _rotate(self, states: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        half = self.head // 2
        turned = torch.cat((-states[..., half:], states[..., :half]), -1)
        return states * cos + turned * sin

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor) -> Tensor:
        """Apply the block; `mask` is additive, ``(rows, 1, length, length)``."""
        rows, length, _ = x.shape
        fused = self.qkv(self.attention_norm(x)).view(rows, length, -1, self.head).transpose(1, 2)
        query, key, value = fused.split([self.heads, self.kv_heads, self.kv_heads], 1)
        groups = self.heads // self.kv_heads
        query, key = self._rotate(query, cos, sin) * self.head**-0.5, self._rotate(key, cos, sin)
        key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
        mixed = _attend(query, key, value, mask)
        x = x + self.out(mixed.transpose(1, 2).reshape(rows, length, -1))
        gate, up = self.gate_up(self.feed_norm(x)).chunk(2, -1)
        return x + self.down(functional.silu(gate) * up)

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def set_head(self, query: Tensor, key: Tensor, value: Tensor, out: Tensor) -> None:
        """Fill head 0: `query`, `key` and `value` are ``(head, hidden)``, `out` is ``(hidden, head)``."""
        keys, values = self.heads * self.head, (self.heads + self.kv_heads) * self.head
        for start, part in ((0, query), (keys, key), (values, value)):
            self.qkv.weight[start : start + self.head] = part
        self.out.weight[:, : self.head] = out


class Network(nn.Module):  # type: ignore[misc]
    """Embedding, blocks and final norm; the output projection is the embedding."""

    def __init__(self, config: LlamaConfig, theta: float = 10000.0) -> None:
        super().__init__()
        self.head, self.theta = config.head_dim, theta
        self.embedding = nn.Embedding(config.vocab_size, config.hidden_size)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.num_hidden_layers))
        self.norm = nn.RMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        nn.init.normal_(self.embedding.weight)
        nn.init.constant_(self.norm.weight, config.hidden_size**-0.5)
        for block in self.blocks:
            for inward in (block.qkv, block.gate_up):
                nn.init.normal_(inward.weight, std=config.hidden_size**-0.5)
            for outward in (block.out, block.down):
                nn.init.zeros_(outward.weight)
        self._start_copying()

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def _start_copying(self) -> None:
        """Make the first two layers' heads 0 an induction head: ``... a b ... a`` is continued by ``b``.

        Feature 0 is the same in every embedding: queries and keys made of it depend on the position only. Three random
        subspaces of the other features carry what is passed on: a token's content as the heads read it, the content of
        the token before, and what is copied.
        """
        hidden, half = self.embedding.embedding_dim, self.head // 2
        constant = CONSTANT * hidden**0.5
        self.embedding.weight[:, 0] = constant
        normed = constant / (1 + CONSTANT**2) ** 0.5
        content, before, copied = (
            functional.pad(torch.linalg.qr(torch.randn(hidden - 1, self.head))[0].T, (1, 0)) for _ in range(3)
        )
        first, second = self.blocks[0], self.blocks[1]
        # The pairs' products peak where the key lies one position before the query: its phase is one step ahead.
        size, step = 2 * self.head**0.25 / normed, self.theta ** (-2 * torch.arange(FAST_PAIRS) / self.head)
        query, key = torch.zeros(self.head, hidden), torch.zeros(self.head, hidden)
        query[:FAST_PAIRS, 0] = size
        key[:FAST_PAIRS, 0], key[half : half + FAST_PAIRS, 0] = size * step.cos(), size * step.sin()
        first.set_head(query, key, content, 2 * before.T)
        slow = torch.arange(self.head) % half >= half - SLOW_PAIRS
        matched = SHARPNESS * slow[:, None]
        second.set_head(matched * content, matched * before, copied, STRENGTH * copied.T)

    def forward(self, tokens: Tensor, positions: Tensor, mask: Tensor) -> Tensor:
        """Hidden states ``(rows, length, hidden)``; `positions` and `tokens` are ``(rows, length)``."""
        powers = torch.arange(0, self.head, 2, device=tokens.device) / self.head
        angles = positions[..., None] * self.theta**-powers
        angles = torch.cat((angles, angles), -1)[:, None]
        cos, sin = angles.cos().to(mask.dtype), angles.sin().to(mask.dtype)
        x = self.embedding(tokens).to(mask.dtype)
        for block in self.blocks:
            x = block(x, cos, sin, mask)
        return self.norm(x)


def llama_state(network: Network, config: LlamaConfig) -> dict[str, Tensor]:
    """The network's weights under the names and in the shapes of `LlamaForCausalLM`."""
    state: dict[str, Tensor] = {
        "model.embed_tokens.weight": network.embedding.weight,
        "model.norm.weight": network.norm.weight,
    }
    query, key = config.num_attention_heads * config.head_dim, config.num_key_value_heads * config.head_dim
    for index, block in enumerate(network.blocks):
        assert isinstance(block, Block)
        at = f"model.layers.{index}."
        parts = block.qkv.weight.split([query, key, key])
        for name, part in zip("qkv", parts, strict=True):
            state[f"{at}self_attn.{name}_proj.weight"] = part
        state[f"{at}self_attn.o_proj.weight"] = block.out.weight
        gate, up = block.gate_up.weight.chunk(2)
        state[f"{at}mlp.gate_proj.weight"], state[f"{at}mlp.up_proj.weight"] = gate, up
        state[f"{at}mlp.down_proj.weight"] = block.down.weight
        state[f"{at}input_layernorm.weight"] = block.attention_norm.weight
        state[f"{at}post_attention_layernorm.weight"] = block.feed_norm.weight
    return {name: tensor.detach().to(torch.bfloat16).contiguous() for name, tensor in state.items()}
