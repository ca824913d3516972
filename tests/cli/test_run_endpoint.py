"""``orch run --base-url``: what a user of an endpoint sees."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Orch
from tests.runtime.engines.answering import JSON, chunk, said, serving, usage

TELLS = """
from orchestrator import llm, workflow

@workflow
def tell(about: str) -> str:
    return llm(f"Tell me about {about}")
"""


@pytest.fixture
def flow(folder: Path) -> str:
    (folder / "tell.py").write_text(TELLS)
    return "tell.py"


def test_what_the_endpoint_does_not_say_is_a_question_mark(orch: Orch, flow: str) -> None:
    with serving([chunk("It is old", "length"), usage()]) as endpoint:
        ended = orch("run", flow, "it", "--base-url", endpoint.url, "--model", "m")
    assert (ended.code, ended.out.strip()) == (0, "It is old")
    assert "(? cached)" in ended.err
    assert "--enable-prompt-tokens-details" in ended.err
    assert "warning: the reply to `llm_1` was cut off" in ended.err


def test_what_it_says_is_shown(orch: Orch, flow: str) -> None:
    counts = {"prompt_tokens": 12, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 0}}
    with serving([chunk("It is old", "stop"), usage(counts)]) as endpoint:
        ended = orch("run", flow, "it", "--base-url", endpoint.url, "--model", "m")
    assert "(0 cached)" in ended.err
    assert "--enable-prompt-tokens-details" not in ended.err


def test_no_secret_is_shown(orch: Orch, flow: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret\n")
    with serving((401, JSON, said("wrong key: sk-secret"))) as endpoint:
        url = endpoint.url.replace("//", "//me:hush-hush@")
        ended = orch("run", flow, "it", "--base-url", url, "--model", "m")
    assert ended.code == 1
    assert "wrong key: ***" in ended.err
    assert "secret" not in ended.err + ended.out
    assert "hush" not in ended.err + ended.out


@pytest.mark.parametrize(("url", "words"), [("", "it is empty"), ("localhost:8000/v1", "http://localhost:8000/v1")])
def test_a_url_that_is_none_is_wrong_use(orch: Orch, flow: str, url: str, words: str) -> None:
    ended = orch("run", flow, "it", "--base-url", url, "--model", "m")
    assert ended.code == 2
    assert "ORCH-U021" in ended.err
    assert words in ended.err


@pytest.mark.parametrize("option", [[], ["--json"]])
@pytest.mark.parametrize("command", ["plan", "explain"])
def test_no_plan_has_a_password(orch: Orch, flow: str, folder: Path, command: str, option: list[str]) -> None:
    url = "http://me:hush@h:8000/v1?sig=hush"
    ended = orch(command, flow, "--base-url", url, "--model", "m", *option)
    assert ended.code == 0, ended.err
    assert "hush" not in ended.out + ended.err
    (folder / "c.toml").write_text(
        '[[engine]]\nname = "e"\nkind = "openai"\nmodel = "m"\n'
        f'options = {{ endpoints = ["{url}"], extra_body = {{ api_key = "hush" }} }}\n'
    )
    ended = orch("plan", flow, "--cluster", "c.toml", "--out", "plan.json")
    assert ended.code == 0, ended.err
    saved = (folder / "plan.json").read_text()
    assert "hush" not in saved + ended.err
    assert "***@h:8000/v1?sig=***" in saved
    assert orch("plan", "--check", "plan.json").code == 0


def test_no_record_and_no_summary_has_a_password(orch: Orch, flow: str, folder: Path) -> None:
    with serving([chunk("fine", "stop"), usage()]) as endpoint:
        url = endpoint.url.replace("//", "//me:hush@")
        toml = f'[[engine]]\nname = "e"\nkind = "openai"\nmodel = "m"\noptions = {{ endpoints = ["{url}"] }}\n'
        (folder / "c.toml").write_text(toml)
        ended = orch("run", flow, "it", "--cluster", "c.toml", "--record", "record.json")
    assert ended.code == 0, ended.err
    assert "m on http://***@127.0.0.1" in ended.err
    assert "hush" not in ended.err + ended.out + (folder / "record.json").read_text()


@pytest.mark.parametrize(("cached", "usd"), [(800, 600.0), (0, 1200.0), (None, 1200.0), (5000, 450.0)])
def test_cached_input_costs_its_own_price(orch: Orch, flow: str, folder: Path, cached: int | None, usd: float) -> None:
    prices = {"input": 1e6, "output": 2e6, "cached_input": 0.25e6}
    counts: dict[str, object] = {"prompt_tokens": 1000, "completion_tokens": 100}
    if cached is not None:
        counts["prompt_tokens_details"] = {"cached_tokens": cached}
    with serving([chunk("fine", "stop"), usage(counts)]) as endpoint:
        toml = f'[[engine]]\nname = "e"\nkind = "openai"\nmodel = "m"\noptions = {{ base_url = "{endpoint.url}" }}\n'
        toml += "".join(f"usd_per_million_{name}_tokens = {price}\n" for name, price in prices.items())
        (folder / "c.toml").write_text(toml)
        ended = orch("run", flow, "it", "--cluster", "c.toml", "--json")
    data = json.loads(ended.out)
    assert data["cost_usd"] == data["spent"]["cost_usd"] == data["ops"][-1]["cost_usd"] == pytest.approx(usd)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("usd_per_million_input_tokens = 1\nusd_per_million_cached_input_tokens = 2", "other input costs less"),
        ("usd_per_million_cached_input_tokens = 2", "there is no usd_per_million_input_tokens"),
        ("usd_per_million_cached_input_tokens = -1", "greater than or equal to 0"),
        ("usd_per_million_cached_tokens = 1", "did you mean `usd_per_million_cached_input_tokens`"),
    ],
)
def test_a_price_of_cached_input_that_makes_no_sense(
    orch: Orch, flow: str, folder: Path, lines: str, said: str
) -> None:
    (folder / "c.toml").write_text(f'[[engine]]\nname = "e"\nkind = "openai"\nmodel = "m"\n{lines}\n')
    ended = orch("explain", flow, "--cluster", "c.toml")
    assert ended.code == 1
    assert said in ended.err
    assert "c.toml:" in ended.err
