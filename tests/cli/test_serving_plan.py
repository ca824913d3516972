"""``orch plan serve``: a model and devices in, workers out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Orch
from tests.planner.clusters import LLAMA_8B

ASKED = ("--isl", "2000", "--osl", "200")


@pytest.fixture
def cluster(tmp_path: Path) -> str:
    path = tmp_path / "c.toml"
    path.write_text('[[device]]\nname = "gpu"\ntype = "h100-sxm"\ncount = 4\n')
    return str(path)


def test_the_plan_for_people(orch: Orch, cluster: str) -> None:
    ended = orch("plan", "serve", "llama-3.1-8b", "--cluster", cluster, *ASKED)
    assert ended.code == 0, ended.err
    lines = ended.out.splitlines()
    assert lines[0] == (
        "Plan to serve llama-3.1-8b (bf16) on 4 x h100-sxm, made for throughput: 2,000 tokens in, 200 out."
    )
    for word in ("workers", "throughput", "latency", "price", "proof", "only aggregated", "only disaggregated"):
        assert word in ended.out


def test_the_plan_as_json(orch: Orch, cluster: str) -> None:
    limits = ("--ttft", "2s", "--tpot", "30ms", "--weights", "fp8")
    ended = orch("plan", "serve", "llama-3.1-70b", "--cluster", cluster, *ASKED, *limits, "--json")
    assert ended.code == 0, ended.err
    data = json.loads(ended.out)
    assert (data["ok"], data["weights"], data["objective"]) == (True, "fp8", "throughput")
    assert sum(each["count"] * each["tensor_parallel"] for each in data["workers"]) == data["devices_used"] <= 4
    assert data["ttft_s"] <= 2
    assert data["tpot_s"] <= 0.03
    assert data["proof"]["gap"] <= 1e-4
    assert set(data["alternatives"]) == {"aggregated", "disaggregated"}
    for each in data["workers"]:
        for name in {"ttft_s", "tpot_s"} & each.keys():
            assert 0 < each[name]["lo"] <= each[name]["mid"] <= each[name]["hi"]


def test_what_of_a_config_was_not_understood_is_said(orch: Orch, cluster: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({**LLAMA_8B, "model_type": "brand_new"}))
    asked = ("plan", "serve", str(tmp_path / "config.json"), "--cluster", cluster, *ASKED)
    assert "an architecture that is not known, `brand_new`" in orch(*asked).out
    assert "`brand_new`" in json.loads(orch(*asked, "--json").out)["note"]


def test_the_cheapest_for_a_rate(orch: Orch, cluster: str) -> None:
    asked = ("--cluster", cluster, *ASKED, "--objective", "cost")
    data = json.loads(orch("plan", "serve", "llama-3.1-8b", *asked, "--rate", "60/min", "--json").out)
    assert data["devices_used"] == 1
    ended = orch("plan", "serve", "llama-3.1-8b", *asked)
    assert (ended.code, "ORCH-P103" in ended.err) == (1, True)


@pytest.mark.parametrize(
    ("words", "exit_code", "code"),
    [
        (("llama-9", *ASKED), 1, "ORCH-P100"),
        (("llama-3.1-8b", "--isl", "2000"), 2, "ORCH-U002"),
        (("llama-3.1-8b", *ASKED, "--ttft", "soon"), 2, "ORCH-U002"),
        (("llama-3.1-8b", *ASKED, "--rate", "often"), 2, "ORCH-U002"),
        (("llama-3.1-8b", "--isl", "0", "--osl", "1"), 2, "ORCH-U002"),
    ],
)
def test_mistakes(orch: Orch, cluster: str, words: tuple[str, ...], exit_code: int, code: str) -> None:
    ended = orch("plan", "serve", *words, "--cluster", cluster)
    assert (ended.code, code in ended.err) == (exit_code, True), ended.err
    assert "Traceback" not in ended.err


def test_a_cluster_file_that_is_not_there(orch: Orch, tmp_path: Path) -> None:
    ended = orch("plan", "serve", "llama-3.1-8b", "--cluster", str(tmp_path / "none.toml"), *ASKED)
    assert (ended.code, "ORCH-P001" in ended.err) == (1, True)
