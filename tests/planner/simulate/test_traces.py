"""Trace files are read as they are, and a bad line is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orchestrator.errors import PlanError
from orchestrator.planner.simulate.arrivals import fit_arrivals
from orchestrator.planner.simulate.program import Stage
from orchestrator.planner.simulate.traces import read_mooncake, read_text2sql, read_trace

MOONCAKE = Path(__file__).resolve().parents[4] / "shared" / "data" / "traces" / "mooncake_conversation.jsonl"
GOOD = {"timestamp": 1500, "input_length": 1100, "output_length": 7, "hash_ids": [4, 5, 6]}


def step(name: object, prompt: object = 30, output: object = 4) -> dict[str, object]:
    """One entry of a Text2SQL request."""
    return {"step": name, "input_length": prompt, "output_length": output}


def write(path: Path, *lines: object) -> Path:
    """A file of one JSON value, or one text as it is, a line."""
    path.write_text("\n".join(x if isinstance(x, str) else json.dumps(x) for x in lines), encoding="utf-8")
    return path


def test_a_mooncake_line(tmp_path: Path) -> None:
    """Milliseconds become seconds, and the third block of 1,100 tokens is partial."""
    (program,) = read_mooncake(write(tmp_path / "t.jsonl", GOOD, "")).programs
    assert program.arrival_s == 1.5
    assert program.stages == (Stage(1100, 7, prefix_ids=(4, 5), unit_tokens=512),)


def test_mooncake_programs_come_in_order_of_arrival(tmp_path: Path) -> None:
    trace = read_mooncake(write(tmp_path / "t.jsonl", GOOD, {**GOOD, "timestamp": 0}))
    assert [(p.id, p.arrival_s) for p in trace.programs] == [(1, 0.0), (0, 1.5)]


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("{oops", "ORCH-P073", "not valid JSON"),
        ("[" * 200_000, "ORCH-P073", "not valid JSON"),
        ('{"timestamp": 1' + "0" * 5000 + "}", "ORCH-P073", "not valid JSON"),
        ("[1, 2]", "ORCH-P074", "an object is expected"),
        ({**GOOD, "timestamp": -1}, "ORCH-P074", "timestamp is -1"),
        ({**GOOD, "timestamp": 10**400}, "ORCH-P074", "timestamp is 1000"),
        ({**GOOD, "input_length": 10**400}, "ORCH-P074", "input_length is 1000"),
        ({**GOOD, "timestamp": True}, "ORCH-P074", "timestamp is true"),
        ('{"timestamp": NaN, "input_length": 1, "output_length": 1}', "ORCH-P074", "timestamp is NaN"),
        ({"timestamp": 0, "output_length": 1}, "ORCH-P074", "input_length is missing"),
        ({**GOOD, "output_length": 0}, "ORCH-P074", "output_length is 0"),
        ({**GOOD, "input_length": 3.5}, "ORCH-P074", "input_length is 3.5"),
        ({**GOOD, "hash_ids": ["a"]}, "ORCH-P074", "hash_ids is"),
        ({**GOOD, "hash_ids": [-1]}, "ORCH-P074", "hash_ids is"),
    ],
)
def test_a_malformed_line_is_named_and_can_be_skipped(tmp_path: Path, line: object, code: str, words: str) -> None:
    path = write(tmp_path / "t.jsonl", GOOD, line, GOOD)
    with pytest.raises(PlanError, match="line 2") as caught:
        read_mooncake(path)
    assert caught.value.code == code
    assert words in caught.value.message
    where = caught.value.diagnostics[0].where
    assert where is not None
    assert (where.file, where.line) == (str(path), 2)
    trace = read_mooncake(path, skip_bad=True)
    assert [each.where.line for each in trace.skipped if each.where] == [2]
    assert [program.id for program in trace.programs] == [0, 2]


def test_all_malformed_lines_are_reported_together(tmp_path: Path) -> None:
    with pytest.raises(PlanError) as caught:
        read_mooncake(write(tmp_path / "t.jsonl", "{", GOOD, "{}"))
    assert [d.where.line for d in caught.value.diagnostics if d.where] == [1, 3]


@pytest.mark.parametrize("lines", [(), ("{",)])
def test_a_file_without_a_good_line_is_an_error_even_when_skipping(tmp_path: Path, lines: tuple[str, ...]) -> None:
    with pytest.raises(PlanError) as caught:
        read_mooncake(write(tmp_path / "t.jsonl", *lines), skip_bad=True)
    assert caught.value.code == "ORCH-P075"


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    for reader in (read_mooncake, read_text2sql, read_trace):
        with pytest.raises(PlanError) as caught:
            reader(tmp_path / "none.jsonl")
        assert caught.value.code == "ORCH-P001"


ONE = {"Text2SQLRequest": [step("link", 10, 2), step("draft"), step("draft"), step(3)]}
TWO = {"Text2SQLRequest": [step("link")]}


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(ONE) + "\n" + json.dumps(TWO),
        json.dumps([ONE, TWO]),
        json.dumps([ONE, TWO], indent=2),
        json.dumps(ONE, indent=2) + "\n" + json.dumps(TWO, indent=1),
    ],
)
def test_text2sql_objects_in_a_list_or_one_after_the_other(tmp_path: Path, text: str) -> None:
    first, second = read_text2sql(write(tmp_path / "t.json", text)).programs
    assert [stage.step for stage in first.stages] == ["link", "draft", "draft", "3"]
    assert first.stages[0] == Stage(10, 2, step="link")
    assert [stage.after for stage in first.stages] == [(), (0,), (0,), (1, 2)]
    assert len(second.stages) == 1
    assert (first.id, second.id) == (0, 1)


def test_neighbours_of_one_step_may_be_run_one_after_the_other(tmp_path: Path) -> None:
    path = write(tmp_path / "t.json", ONE)
    (program,) = read_text2sql(path, same_step="sequence").programs
    assert [stage.after for stage in program.stages] == [(), (0,), (1,), (2,)]


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ({"Text2SQLRequest": []}, "not a list of steps"),
        ({"Text2SQL": [step(1)]}, "Text2SQLRequest is missing"),
        ({"Text2SQLRequest": [step(1), step(2, prompt="x")]}, 'input_length is "x", not a number of tokens'),
        ({"Text2SQLRequest": [step(1), {"input_length": 3, "output_length": 3}]}, "in entry 2"),
        ({"Text2SQLRequest": [step(None)]}, "step is null"),
        ('{"Text2SQLRequest": [{]}', "not valid JSON"),
        ('{"Text2SQLRequest": ' + "[" * 200_000, "not valid JSON"),
    ],
)
def test_a_malformed_text2sql_request_is_named_and_can_be_skipped(tmp_path: Path, bad: object, words: str) -> None:
    path = write(tmp_path / "t.jsonl", ONE, "", bad, TWO)
    with pytest.raises(PlanError, match="line 3") as caught:
        read_text2sql(path)
    assert words in caught.value.message
    trace = read_text2sql(path, skip_bad=True)
    assert [each.where.line for each in trace.skipped if each.where] == [3]
    assert [len(program.stages) for program in trace.programs] == [4, 1]


def test_the_format_is_found_out(tmp_path: Path) -> None:
    assert read_trace(write(tmp_path / "a", GOOD)).programs[0].workflow == "mooncake"
    assert read_trace(write(tmp_path / "b", [ONE])).programs[0].workflow == "text2sql"


@pytest.mark.skipif(not MOONCAKE.exists(), reason="the public Mooncake trace is not part of the checkout")
def test_the_public_mooncake_trace() -> None:
    trace = read_trace(MOONCAKE)
    assert len(trace.programs) == 12_031
    assert trace.skipped == ()
    fit = fit_arrivals([program.arrival_s for program in trace.programs])
    assert fit.coarse
    assert 3.3 < fit.rate_per_s < 3.5
    assert 1.2 < fit.cv < 2.0
