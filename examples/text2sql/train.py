"""Train the bundled text-to-SQL model from scratch, in one run: about an hour on two CPU cores.

One training row is one schema followed by several conversations about it. Each conversation attends to the schema and
to itself only, and its positions continue the schema's, so every conversation sees exactly what it would see alone,
while the schema, most of the tokens, is computed once::

    row        schema | conversation 1 | conversation 2 | ...
    positions  0 .. p | p+1 ..         | p+1 ..         | ...

The loss covers the assistant's right replies. Matrices are trained with Muon, embedding and norms with AdamW; the
learning rate follows a cosine over the tokens, so that the weights don't depend on how fast the machine is. Everything
is drawn from the seed; batches depend on nothing but their index. A stopped run goes on at its last checkpoint.

    python -m examples.text2sql.train --out FOLDER

The weights in `model/` are what this command gives; MODEL_CARD.md says how good they are and how long it took. The
network starts with two heads that copy (`network.py`); without them it first copied a name after 6 M tokens.
"""

import argparse
import json
import math
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional
from transformers import AutoTokenizer, LlamaConfig, PreTrainedTokenizerFast

from examples.text2sql import prompts
from examples.text2sql.corpus import Group, training_group
from examples.text2sql.network import Network, llama_state
from examples.text2sql.tokenizer import ASSISTANT, END, PAD, SYSTEM, USER, respelt, train_tokenizer

CACHE = Path.home() / ".cache" / "orchestrator-text2sql"
TOKENIZER_GROUPS = 4000
VALIDATION_SEED = 900_000_000


@dataclass(frozen=True)
class Plan:
    """What a run is made of: `tokens` in batches of `rows` rows of `length` tokens each."""

    tokens: int = 20_000_000
    seed: int = 0
    rows: int = 8
    length: int = 640
    hidden: int = 256
    layers: int = 8
    kv_heads: int = 2
    muon_rate: float = 0.007
    adam_rate: float = 3e-3
    warmup: float = 0.02
    decay: float = 0.05


@dataclass(frozen=True)
class Batch:
    """Rows ready for the network: `mask` is additive, `trained` marks the tokens that are predicted."""

    tokens: Tensor
    positions: Tensor
    mask: Tensor
    trained: Tensor


def model_config(plan: Plan, tokenizer: PreTrainedTokenizerFast) -> LlamaConfig:
    """The Llama configuration of a run."""
    return LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=plan.hidden,
        intermediate_size=plan.hidden * 11 // 4,
        num_hidden_layers=plan.layers,
        num_attention_heads=plan.hidden // 64,
        num_key_value_heads=plan.kv_heads,
        head_dim=64,
        max_position_embeddings=2048,
        rms_norm_eps=1e-6,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.convert_tokens_to_ids(END),
        pad_token_id=tokenizer.convert_tokens_to_ids(PAD),
        architectures=["LlamaForCausalLM"],
        dtype="bfloat16",
    )


def prefix_text(schema: str) -> str:
    """The text that every conversation over a schema starts with, up to the end of the schema."""
    return f"{SYSTEM}{prompts.SYSTEM}{END}{USER}Schema:\n{schema}\n"


def spellings(tokenizer: PreTrainedTokenizerFast) -> list[Tokenizer]:
    """The tokenizer itself, twice, and variants that break words into other pieces."""
    plain = tokenizer.backend_tokenizer
    dropped = (0.3, 0.5, 0.5, 0.7, 0.7, 0.9)
    return [plain, plain, *(respelt(tokenizer, seed, share) for seed, share in enumerate(dropped))]


def encode_row(group: Group, tokenizer: Tokenizer, length: int) -> tuple[list[int], list[int], list[int], list[bool]]:
    """Tokens, positions, conversation numbers (the schema is 0) and trained marks of one row of at most `length`."""
    prefix = prefix_text(group.schema)
    opening = prefix.removeprefix(f"{SYSTEM}{prompts.SYSTEM}{END}{USER}")
    tokens: list[int] = tokenizer.encode(prefix).ids
    shared = len(tokens)
    positions, owner, trained = list(range(shared)), [0] * shared, [False] * shared
    for number, turns in enumerate(group.dialogues, 1):
        texts = [turns[0].content.removeprefix(opening) + END]
        texts += [(ASSISTANT if turn.role == "assistant" else USER) + turn.content + END for turn in turns[1:]]
        pieces: list[list[int]] = [encoded.ids for encoded in tokenizer.encode_batch(texts)]
        size = sum(map(len, pieces))
        if len(tokens) + size > length:
            break
        positions += range(shared, shared + size)
        owner += [number] * size
        for turn, piece in zip(turns, pieces, strict=True):
            tokens += piece
            trained += [False] + [turn.trained] * (len(piece) - 1)
    return tokens, positions, owner, trained


def make_batch(
    index: int,
    plan: Plan,
    tokenizers: Sequence[Tokenizer],
    device: torch.device,
    *,
    first_seed: int,
    unseen: bool = False,
) -> Batch:
    """The batch of that index, its rows spelt by the tokenizers in turn.

    Databases whose schema leaves no room for conversations are skipped.
    """
    shape = (plan.rows, plan.length)
    tokens = torch.full(shape, tokenizers[0].token_to_id(PAD))
    positions, owner = torch.zeros(shape, dtype=torch.long), torch.full(shape, -1)
    trained = torch.zeros(shape, dtype=torch.bool)
    for row in range(plan.rows):
        seed = first_seed + (index * plan.rows + row) * 4
        while True:
            try:
                group = training_group(seed, 10, unseen)
            except sqlite3.OperationalError as error:
                # A made-up word can be a keyword that SQLite rejects in some places only.
                print(f"database {seed} left out: {error}", flush=True)
                seed += 1
                continue
            made = encode_row(group, tokenizers[row % len(tokenizers)], plan.length)
            if any(made[3]):
                break
            seed += 1
        size = len(made[0])
        tokens[row, :size], positions[row, :size] = torch.tensor(made[0]), torch.tensor(made[1])
        owner[row, :size], trained[row, :size] = torch.tensor(made[2]), torch.tensor(made[3])
    seen = (owner[:, None, :] == 0) | (owner[:, None, :] == owner[:, :, None])
    seen &= torch.ones(plan.length, plan.length, dtype=torch.bool).tril()
    mask = torch.zeros(seen.shape, dtype=torch.bfloat16).masked_fill(~seen, -30000.0)[:, None]
    return Batch(tokens.to(device), positions.to(device), mask.to(device), trained.to(device))


def loss_and_right(network: torch.nn.Module, embedding: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """Mean cross-entropy over the trained tokens, and which of them the network ranks first."""
    with torch.autocast(batch.tokens.device.type, torch.bfloat16):
        hidden = network(batch.tokens, batch.positions, batch.mask)
        wanted = batch.trained[:, 1:]
        logits = functional.linear(hidden[:, :-1][wanted], embedding).float()
    targets = batch.tokens[:, 1:][wanted]
    return functional.cross_entropy(logits, targets), logits.argmax(-1) == targets


@torch.no_grad()  # type: ignore[untyped-decorator]
def validate(
    network: Network, plan: Plan, tokenizer: PreTrainedTokenizerFast, device: torch.device, batches: int
) -> tuple[float, float]:
    """Loss and share of whole replies ranked right on unseen names, over fixed batches."""
    losses, whole, replies = 0.0, 0, 0
    end = tokenizer.convert_tokens_to_ids(END)
    for index in range(batches):
        batch = make_batch(index, plan, [tokenizer.backend_tokenizer], device, first_seed=VALIDATION_SEED, unseen=True)
        loss, right = loss_and_right(network, network.embedding.weight, batch)
        losses += loss.item()
        ends = (batch.tokens[:, 1:][batch.trained[:, 1:]] == end).nonzero()[:, 0].tolist()
        for start, stop in zip([0, *(at + 1 for at in ends)], ends, strict=False):
            replies += 1
            whole += bool(right[start : stop + 1].all())
    return losses / batches, whole / replies


def build_tokenizer(out: Path) -> PreTrainedTokenizerFast:
    """Train the tokenizer on the first databases of the corpus and save it to `out`."""

    def texts() -> "list[str]":
        made: list[str] = []
        for seed in range(TOKENIZER_GROUPS):
            group = training_group(seed, 6)
            opening = f"Schema:\n{group.schema}\n"
            made.append(opening)
            made += [turn.content.removeprefix(opening) for turns in group.dialogues for turn in turns]
        return made

    tokenizer = train_tokenizer(texts())
    tokenizer.save_pretrained(out)
    return tokenizer


def export(network: Network, config: LlamaConfig, out: Path) -> None:
    """Write weights and configuration as `LlamaForCausalLM` loads them."""
    config.save_pretrained(out)
    save_file(llama_state(network, config), out / "model.safetensors", metadata={"format": "pt"})
    ends = {"eos_token_id": config.eos_token_id, "pad_token_id": config.pad_token_id, "do_sample": False}
    (out / "generation_config.json").write_text(json.dumps(ends, indent=2) + "\n")


def optimizers(network: Network, plan: Plan) -> list[torch.optim.Optimizer]:
    """Muon for the blocks' matrices, AdamW for the embedding and the norms."""
    matrices = [p for name, p in network.named_parameters() if p.ndim == 2 and "embedding" not in name]
    others = [p for name, p in network.named_parameters() if p.ndim != 2 or "embedding" in name]
    return [
        torch.optim.Muon(matrices, lr=plan.muon_rate, weight_decay=plan.decay, momentum=0.95),
        torch.optim.AdamW(others, lr=plan.adam_rate, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def rate_scale(progress: float, warmup: float) -> float:
    """Learning rate relative to its peak: linear warmup, then a cosine to 2 %."""
    if progress < warmup:
        return (progress + 0.02 * warmup) / warmup
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, (progress - warmup) / (1 - warmup))))


def resume(
    saved: Path, network: Network, training: list[torch.optim.Optimizer], device: torch.device
) -> tuple[int, float]:
    """Restore the checkpoint if there is one; the step and the seconds spent, zero where there is none."""
    if not saved.exists():
        return 0, 0.0
    state = torch.load(saved, map_location=device)
    network.load_state_dict(state["network"])
    for optimizer, kept in zip(training, state["optimizers"], strict=True):
        optimizer.load_state_dict(kept)
    return int(state["step"]), float(state["spent_s"])


def train(plan: Plan, out: Path, cache: Path, every_s: float = 300.0) -> None:
    """Run (or resume from `cache`) the plan and export the model to `out`, also at every checkpoint."""
    torch.manual_seed(plan.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    out.mkdir(parents=True, exist_ok=True)
    cache.mkdir(parents=True, exist_ok=True)
    tokenizer = AutoTokenizer.from_pretrained(out) if (out / "tokenizer.json").exists() else build_tokenizer(out)
    variants = spellings(tokenizer)
    config = model_config(plan, tokenizer)
    network = Network(config).to(device)
    compiled = torch.compile(network)
    training = optimizers(network, plan)
    peaks = [optimizer.param_groups[0]["lr"] for optimizer in training]
    saved = cache / "checkpoint.pt"
    step, spent_s = resume(saved, network, training, device)
    per_step, last, mean = plan.rows * plan.length, time.monotonic(), math.nan
    since_save = 0.0

    def report(batches: int) -> None:
        held_out, whole = validate(network, plan, tokenizer, device, batches)
        seen = {"step": step, "tokens": step * per_step, "s": round(spent_s), "loss": round(mean, 4)}
        line = json.dumps(seen | {"unseen_loss": round(held_out, 4), "unseen_whole": round(whole, 4)})
        print(line, flush=True)
        with (cache / "log.jsonl").open("a") as log:
            print(line, file=log)

    print(json.dumps({"parameters": sum(p.numel() for p in network.parameters()), "plan": asdict(plan)}), flush=True)
    while (progress := step * per_step / plan.tokens) < 1:
        scale = rate_scale(progress, plan.warmup)
        for optimizer, peak in zip(training, peaks, strict=True):
            optimizer.param_groups[0]["lr"] = peak * scale
        batch = make_batch(step, plan, variants, device, first_seed=TOKENIZER_GROUPS + plan.seed * 50_000_000)
        loss, _ = loss_and_right(compiled, network.embedding.weight, batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        for optimizer in training:
            optimizer.step()
            optimizer.zero_grad()
        step += 1
        mean = loss.item() if math.isnan(mean) else 0.95 * mean + 0.05 * loss.item()
        now = time.monotonic()
        spent_s, since_save, last = spent_s + now - last, since_save + now - last, now
        if step % 20 == 0:
            print(
                f"step {step} tokens {step * per_step} s {spent_s:.0f} loss {mean:.4f} progress {progress:.3f}",
                flush=True,
            )
        if since_save >= every_s:
            since_save = 0.0
            report(2)
            kept = [optimizer.state_dict() for optimizer in training]
            torch.save({"network": network.state_dict(), "optimizers": kept, "step": step, "spent_s": spent_s}, saved)
            export(network, config, out)
    report(6)
    export(network, config, out)
    saved.unlink(missing_ok=True)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="model folder to write")
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder for the checkpoint and the log")
    parser.add_argument("--tokens", type=int, default=Plan.tokens)
    parser.add_argument("--seed", type=int, default=Plan.seed)
    parser.add_argument("--checkpoint-s", type=float, default=300.0, help="seconds between checkpoints")
    given = parser.parse_args()
    train(Plan(given.tokens, given.seed), given.out, given.cache, given.checkpoint_s)


if __name__ == "__main__":
    main()
