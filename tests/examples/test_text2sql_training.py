"""How the bundled model is made: a start that copies, an export that Llama loads, runs that go on after a stop."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from examples.text2sql import train as training
from examples.text2sql.network import Network, llama_state
from examples.text2sql.train import Plan, export, make_batch, model_config, train

MODEL = Path(__file__).parents[2] / "examples" / "text2sql" / "model"
SMALL = Plan(tokens=3 * 640, rows=1, layers=2)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Threads of two test processes that wait for each other on two cores take twice the time."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def config() -> LlamaConfig:
    return model_config(SMALL, AutoTokenizer.from_pretrained(MODEL))


def _logits(network: Network, tokens: torch.Tensor) -> torch.Tensor:
    rows, length = tokens.shape
    mask = torch.full((length, length), -30000.0).triu(1).expand(rows, 1, -1, -1)
    with torch.no_grad():
        hidden: torch.Tensor = network(tokens, torch.arange(length).expand(rows, -1), mask)
        return hidden @ network.embedding.weight.T


@pytest.mark.parametrize("gap", [0, 300])
def test_an_untrained_network_continues_what_it_has_seen(config: LlamaConfig, gap: int) -> None:
    torch.manual_seed(3)
    once = torch.randint(6, config.vocab_size, (4, 60))
    tokens = torch.cat((once, torch.randint(6, config.vocab_size, (4, gap)), once), 1)
    logits = _logits(Network(config), tokens)[:, -59:-1]
    # A token that is repeated by the embedding's own tie is no copy of the context.
    logits.scatter_(2, tokens[:, -59:-1, None], -torch.inf)
    right = (logits.argmax(-1) == tokens[:, -58:]).float().mean().item()
    assert right > 0.2, "chance is 0.001"


def test_llama_computes_what_the_network_computes(config: LlamaConfig, tmp_path: Path) -> None:
    torch.manual_seed(4)
    network = Network(config)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
            # The export is in bfloat16; what is compared is the layout.
            parameter.copy_(parameter.bfloat16())
    export(network, config, tmp_path)
    llama = LlamaForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    tokens = torch.randint(6, config.vocab_size, (2, 50))
    with torch.no_grad():
        assert torch.allclose(llama(tokens).logits, _logits(network, tokens), atol=2e-3)


def test_a_stopped_run_ends_with_the_weights_of_one_that_was_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "compile", lambda network: network)
    for name in ("whole", "stopped"):
        shutil.copytree(MODEL, tmp_path / name, ignore=shutil.ignore_patterns("*.safetensors"))

    def weights(name: str) -> dict[str, torch.Tensor]:
        train(SMALL, tmp_path / name, tmp_path / f"{name}-cache", every_s=0)
        made: dict[str, torch.Tensor] = load_file(tmp_path / name / "model.safetensors")
        return made

    whole = weights("whole")
    untrained = Network(model_config(SMALL, AutoTokenizer.from_pretrained(MODEL)))
    assert set(whole) == set(llama_state(untrained, model_config(SMALL, AutoTokenizer.from_pretrained(MODEL))))

    def stopping(index: int, *arguments: Any, **named: Any) -> Any:
        if index == 1 and not named.get("unseen"):
            raise KeyboardInterrupt
        return make_batch(index, *arguments, **named)

    with monkeypatch.context() as stopped:
        stopped.setattr(training, "make_batch", stopping)
        with pytest.raises(KeyboardInterrupt):
            weights("stopped")
    resumed = weights("stopped")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
