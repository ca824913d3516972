"""The training-time network: a Llama with fused projections, exported to the layout `LlamaForCausalLM` loads.

Fusing query, key and value, and the two halves of the gated feed-forward, makes a small model on CPU noticeably
faster than the reference implementation; the exported weights are the very same ones, split.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import LlamaConfig

CHUNK = 160


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


class Network(nn.Module):  # type: ignore[misc]
    """Embedding, blocks and final norm; the output projection is the embedding."""

    def __init__(self, config: LlamaConfig, theta: float = 10000.0) -> None:
        super().__init__()
        self.head, self.theta = config.head_dim, theta
        self.embedding = nn.Embedding(config.vocab_size, config.hidden_size)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.num_hidden_layers))
        self.norm = nn.RMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                depth = (2 * config.num_hidden_layers) ** -0.5 if name.endswith(("out.weight", "down.weight")) else 1.0
                nn.init.normal_(
                    parameter, std=0.02 * depth if "embedding" in name else depth * parameter.shape[1] ** -0.5
                )

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


def load_llama(network: Network, state: dict[str, Tensor]) -> None:
    """Fill the network from weights named as `LlamaForCausalLM` names them; the inverse of `llama_state`."""
    filled = {"embedding.weight": state["model.embed_tokens.weight"], "norm.weight": state["model.norm.weight"]}
    for index in range(len(network.blocks)):
        source, block = f"model.layers.{index}.", f"blocks.{index}."
        filled[f"{block}qkv.weight"] = torch.cat([state[f"{source}self_attn.{n}_proj.weight"] for n in "qkv"])
        filled[f"{block}out.weight"] = state[f"{source}self_attn.o_proj.weight"]
        filled[f"{block}gate_up.weight"] = torch.cat([state[f"{source}mlp.{n}_proj.weight"] for n in ("gate", "up")])
        filled[f"{block}down.weight"] = state[f"{source}mlp.down_proj.weight"]
        filled[f"{block}attention_norm.weight"] = state[f"{source}input_layernorm.weight"]
        filled[f"{block}feed_norm.weight"] = state[f"{source}post_attention_layernorm.weight"]
    network.load_state_dict({name: tensor.float() for name, tensor in filled.items()})


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
