"""``orch simulate``."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from orchestrator.cli.group import COMMANDS
from tests.cli.conftest import Ended, Orch

MOONCAKE = [
    {"timestamp": 1000 * i, "input_length": 1200 + 10 * i, "output_length": 20 + i, "hash_ids": [1, 2, 10 + i]}
    for i in range(12)
]
TEXT2SQL = {
    "Text2SQLRequest": [
        {"step": "link", "input_length": 900, "output_length": 30},
        {"step": "draft", "input_length": 1000, "output_length": 60},
        {"step": "draft", "input_length": 1000, "output_length": 50},
        {"step": "select", "input_length": 1200, "output_length": 10},
    ]
}
CLUSTER = """
[[device]]
name = "gpu"
type = "{device}"
count = {count}

[[engine]]
name = "main"
kind = "vllm"
model = "{model}"
device = "gpu"
"""
TWO_POLICIES = ("--policy", "round-robin+fcfs", "--policy", "critical-path+laxity")
SMALL = ("--requests", "30")


@pytest.fixture
def trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a good trace of each format."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mooncake.jsonl").write_text("\n".join(json.dumps(entry) for entry in MOONCAKE))
    (tmp_path / "text2sql.json").write_text(json.dumps([TEXT2SQL] * 3))
    return tmp_path


def code_of(ended: Ended) -> str:
    """The one error's code; nothing but the sentence was printed."""
    assert ended.code in {1, 2}
    assert "Traceback" not in ended.err
    return ended.err.partition("[")[2].partition("]")[0]


def test_by_itself_it_compares_all_policies_from_light_load_to_overload(orch: Orch) -> None:
    ended = orch("simulate", *SMALL)
    assert ended.code == 0
    assert ended.out.startswith("SIMULATED")
    assert ended.out.count("programs/s (simulated)") == 5
    for name in ("round-robin+fcfs", "workload-balanced+urgency", "freeness+migration", "critical-path+laxity"):
        assert ended.out.count(name) == 5
    assert max(map(len, ended.out.splitlines())) <= 100


def test_json_has_a_row_for_each_policy_cluster_and_rate(orch: Orch, trace: Path) -> None:
    for name, count in (("one", 1), ("two", 2)):
        (trace / f"{name}.toml").write_text(CLUSTER.format(device="h100-sxm", count=count, model="Qwen/Qwen3-8B"))
    rates = ("--rate", "1/s", "--rate", "120/min")
    ended = orch("simulate", "--trace", "text2sql.json", "--cluster", "one.toml", "--cluster", "two.toml",
                 *TWO_POLICIES, *rates, *SMALL, "--slo", "9s", "--json")  # fmt: skip
    data = json.loads(ended.out)
    assert (data["simulated"], data["slo_s"], data["slo_given"], data["skipped"]) == (True, 9.0, True, [])
    keys = [(run["cluster"], run["policy"], run["rate_per_s"]) for run in data["runs"]]
    assert len(set(keys)) == len(keys) == 8
    assert {rate for _, _, rate in keys} == {1.0, 2.0}
    assert all(run["simulated"] and run["programs"] == 30 for run in data["runs"])
    p95 = {(run["cluster"], run["policy"], run["rate_per_s"]): run["p95_s"] for run in data["runs"]}
    assert all(p95["two", policy, 2.0] < p95["one", policy, 2.0] for _, policy, _ in keys)


def test_a_trace_with_times_is_replayed_or_drawn_from_at_a_rate(orch: Orch, trace: Path) -> None:
    replayed = json.loads(orch("simulate", "--trace", "mooncake.jsonl", *TWO_POLICIES, "--json").out)
    assert {run["rate_per_s"] for run in replayed["runs"]} == {1.0}
    assert {run["programs"] for run in replayed["runs"]} == {12}
    drawn = json.loads(orch("simulate", "--trace", "mooncake.jsonl", "--rate", "3", *SMALL, "--json").out)
    assert {(run["rate_per_s"], run["programs"]) for run in drawn["runs"]} == {(3.0, 30)}


def test_the_seed_and_the_burstiness_decide_what_arrives(orch: Orch, trace: Path) -> None:
    def p95(*more: str) -> list[float]:
        ended = orch("simulate", "--trace", "text2sql.json", "--rate", "4", *SMALL, *TWO_POLICIES, "--json", *more)
        return [run["p95_s"] for run in json.loads(ended.out)["runs"]]

    plain = p95()
    assert plain == p95("--seed", "0") != p95("--seed", "1")
    assert p95("--burstiness", "0") != plain != p95("--burstiness", "4")


def test_out_gets_the_table_and_plots_that_say_they_are_simulated(orch: Orch, trace: Path) -> None:
    ended = orch("simulate", "--trace", "text2sql.json", "--rate", "1", "--rate", "4", *SMALL, "--out", "a/b")
    assert ended.code == 0
    folder = trace / "a" / "b"
    names = ["latency_cdf.png", "latency_cdf.svg", "load.png", "load.svg", "simulation.csv", "simulation.json"]
    assert sorted(path.name for path in folder.iterdir()) == names
    with (folder / "simulation.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 8
    assert {row["simulated"] for row in rows} == {"True"}
    assert json.loads((folder / "simulation.json").read_text())["simulated"] is True
    for name in ("latency_cdf", "load"):
        assert "SIMULATED" in (folder / f"{name}.svg").read_text()
        assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_malformed_lines_are_named_by_number_and_skipped_on_request(orch: Orch, trace: Path) -> None:
    lines = [json.dumps(entry) for entry in MOONCAKE]
    lines[3] = lines[3][:20]
    lines[7] = lines[7].replace('"output_length": 27', '"output_length": -1')
    (trace / "bad.jsonl").write_text("\n".join(lines))
    refused = orch("simulate", "--trace", "bad.jsonl")
    assert refused.code == 1
    assert "ORCH-P073" in refused.err and "bad.jsonl, line 4" in refused.err
    assert "ORCH-P074" in refused.err and "bad.jsonl, line 8" in refused.err and "output_length is -1" in refused.err
    kept = orch("simulate", "--trace", "bad.jsonl", "--skip-bad", *TWO_POLICIES)
    assert kept.code == 0
    assert "skipped    2 lines" in kept.out and "line 4" in kept.out and "line 8" in kept.out
    data = json.loads(orch("simulate", "--trace", "bad.jsonl", "--skip-bad", *TWO_POLICIES, "--json").out)
    assert [each["where"]["line"] for each in data["skipped"]] == [4, 8]
    assert {run["programs"] for run in data["runs"]} == {10}


@pytest.mark.parametrize(("text", "code"), [("", "ORCH-P075"), ("{]\n", "ORCH-P075"), ("[1, 2]", "ORCH-P075")])
def test_a_trace_without_a_good_line(orch: Orch, trace: Path, text: str, code: str) -> None:
    (trace / "empty.jsonl").write_text(text)
    assert code_of(orch("simulate", "--trace", "empty.jsonl", "--skip-bad")) == code


def test_files_that_cannot_be_read(orch: Orch, trace: Path) -> None:
    assert code_of(orch("simulate", "--trace", "none.jsonl")) == "ORCH-P001"
    assert code_of(orch("simulate", "--trace", ".")) == "ORCH-P001"
    assert code_of(orch("simulate", "--cluster", "none.toml")) == "ORCH-P001"
    ended = orch("simulate", "--trace", "none.jsonl", "--json")
    assert json.loads(ended.out)["errors"][0]["code"] == "ORCH-P001"


def test_a_folder_that_cannot_be_written(orch: Orch, trace: Path) -> None:
    (trace / "file").write_text("")
    ended = orch("simulate", "--out", "file/inside", *SMALL)
    assert code_of(ended) == "ORCH-P079"
    assert "file/inside" in ended.err
    assert not ended.out
    assert code_of(orch("simulate", "--out", "file", *SMALL)) == "ORCH-P079"


@pytest.mark.parametrize(
    ("device", "count", "model", "said"),
    [("rtx-a6000", 1, "meta-llama/Llama-3.1-70B", "leave no room for KV"), ("", 1, "Qwen/Qwen3-8B", "device")],
)
def test_clusters_that_cannot_be_simulated(
    orch: Orch, trace: Path, device: str, count: int, model: str, said: str
) -> None:
    (trace / "c.toml").write_text(CLUSTER.format(device=device or "no-such", count=count, model=model))
    ended = orch("simulate", "--cluster", "c.toml")
    assert code_of(ended) == ("ORCH-P076" if device else "ORCH-P007")
    assert said in ended.err and "c.toml" in ended.err


def test_an_engine_without_a_device_and_a_cluster_without_an_engine(orch: Orch, trace: Path) -> None:
    (trace / "remote.toml").write_text('[[engine]]\nname = "api"\nkind = "openai"\nmodel = "m"\n')
    ended = orch("simulate", "--cluster", "remote.toml")
    assert code_of(ended) == "ORCH-P076"
    assert "whose hardware is unknown" in ended.err
    (trace / "bare.toml").write_text('[[device]]\nname = "gpu"\ntype = "l4"\n')
    assert code_of(orch("simulate", "--cluster", "bare.toml")) == "ORCH-P077"


@pytest.mark.parametrize(
    "words",
    [
        ("--policy", "round-robin"),
        ("--rate", "fast"),
        ("--rate", "0"),
        ("--requests", "0"),
        ("--burstiness", "-1"),
        ("--slo", "soon"),
        ("extra",),
    ],
)
def test_mistakes_on_the_command_line(orch: Orch, words: tuple[str, ...]) -> None:
    ended = orch("simulate", *words)
    assert ended.code == 2
    assert code_of(ended) == "ORCH-U002"


def test_a_policy_nearly_named_is_suggested(orch: Orch) -> None:
    assert "did you mean `round-robin+fcfs`?" in orch("simulate", "--policy", "round-robin").err


def test_it_is_listed() -> None:
    assert "simulate" in COMMANDS


def test_the_cluster_file_of_a_plan_is_simulated_on_all_that_it_offers(orch: Orch) -> None:
    shopping = Path(__file__).parents[2] / "examples" / "shopping.toml"
    ended = orch("simulate", "--cluster", str(shopping), "--rate", "50/s", *SMALL, *TWO_POLICIES, "--json")
    assert ended.code == 0, ended.err
    data = json.loads(ended.out)
    assert data["clusters"] == {"shopping": {"main on h100": 8, "main on a100": 8, "main on a40": 8}}


def test_files_of_the_same_name_are_told_apart(orch: Orch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for folder, count in (("now", 1), ("then", 2)):
        (tmp_path / folder).mkdir()
        text = CLUSTER.format(device="h100-sxm", count=count, model="meta-llama/Llama-3.1-8B-Instruct")
        (tmp_path / folder / "c.toml").write_text(text)
    ended = orch(
        "simulate", "--cluster", "now/c.toml", "--cluster", "then/c.toml", "--rate", "1/s", *SMALL, *TWO_POLICIES
    )
    assert "now/c.toml, 1 programs/s" in ended.out
    assert "then/c.toml: 2 x main" in ended.out


def test_nothing_is_wider_than_a_narrow_terminal(orch: Orch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    ended = orch("simulate", "--rate", "1/s", *SMALL, *TWO_POLICIES)
    assert max(map(len, ended.out.splitlines())) <= 40
    assert "critical-path+laxity" in ended.out


def test_programs_without_end_are_refused(orch: Orch) -> None:
    ended = orch("simulate", "--requests", "9" * 30)
    assert ended.code == 2
    assert "is not in the range 1<=x<=1000000" in ended.err
