"""The gallery: every workflow is short, is right for the checker, and does what its first line says."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest

from orchestrator.dsl.workflow import Workflow
from orchestrator.errors import RunError
from orchestrator.testing import fake

FOLDER = Path(__file__).parents[2] / "examples" / "gallery"
NAMES = sorted(each.stem for each in FOLDER.glob("*.py"))


def flow(name: str) -> Workflow[..., Any]:
    found: Workflow[..., Any] = getattr(importlib.import_module(f"examples.gallery.{name}"), name)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_it_is_short_and_traces(name: str) -> None:
    source = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
    assert len(source.splitlines()) <= 40
    assert f"examples/gallery/{name}.py" in source.partition('"""\n\n')[0]
    flow(name).trace()


def test_there_are_twenty() -> None:
    assert len(NAMES) == 20


TWO_PARTS = '[{"title": "Tea", "instructions": "x"}, {"title": "Tea", "instructions": "x"}]'
INVOICE = {"number": "7", "amounts": [3.0, 3.0], "total": 6.0}
THOUGHT = {"step": "8 / 8 = 1", "promise": 3, "solved": True}
RUNS: list[tuple[str, tuple[Any, ...], Any, Any]] = [
    ("routing", ("My invoice is wrong",), {"classify": "billing", "billing": "We mend it."}, "We mend it."),
    ("prompt_chain", ("tides",), {"outline": "one", "again": "a\nb\nc", "write": "long", "edit": "short"}, "short"),
    ("parallel_votes", ("Six?",), {"draft": ["6", " 6 ", "5", "6", "7"]}, "6"),
    ("orchestrator_workers", ("Compare",), {"split": TWO_PARTS, "work": ["t", "c"],
                                            "join": lambda messages: messages[-1].content[-11:]}, "t\n\n## Tea\nc"),
    ("evaluator_optimiser", ("a slogan",), {"first": "bad", "judge": [{"good": False, "advice": "shorter"},
                                            {"good": True, "advice": ""}], "improve": ["better"]}, "better"),
    ("plan_and_execute", ("bread",), {"plan": '["mix", "bake"]', "step": ["mixed", "baked"],
                                      "conclude": lambda messages: messages[-1].content.splitlines()[2]},
     "- bake: baked"),
    ("reflection", ("Why?",), ["Because.", "Nothing is wrong."], "Because."),
    ("map_reduce", (["text"] * 25,), {"map": ["s"] * 25, "group": ["g"] * 3,
                                      "reduce": lambda messages: messages[-1].content[-7:]}, "g\n\ng\n\ng"),
    ("extraction", ("2 pens",), {"read": [{**INVOICE, "total": 7.0}, INVOICE]}, INVOICE),
    ("sql_agent", ("How many?",), {"write": [{"sql": "SELECT x"}, {"sql": "SELECT COUNT(*) FROM planets"}],
                                   "answer": lambda messages: messages[-1].content.splitlines()[1]}, 'Rows: ["2"]'),
    ("test_and_fix", ("add",), {"write": "def add(a, b): return a", "mend": ["def add(a, b): return a + b"]},
     "def add(a, b): return a + b"),
    ("hand_offs", ("seat",), {"turn": [{"note": "a", "next": "seats"}, {"note": "b", "next": "done"}],
                              "answer": lambda messages: messages[-1].content[-9:]}, "seats: b\n"),
    ("translation", ("Hi",), {"draft_freely": "Salut", "draft_closely": "Bonjour",
                              "judge": {"better": 2, "mend": None}}, "Bonjour"),
    ("batch_classification", (["a", "b", "c"],), {"label": ["praise", "nonsense", "praise"]},
     {"praise": 2, "complaint": 0, "question": 0, "unreadable": 1}),
    ("tree_search", ("24",), {"think": [{**THOUGHT, "promise": 1, "solved": False}, THOUGHT, THOUGHT],
                              "conclude": "24"}, "24"),
    ("long_chat", (["Hi", "x" * 500, "What?"],), {"reply": ["a", "b", "c"], "*": "short"}, "c"),
    ("speculative_pair", ("tides",), {"draft": "moon", "check": "yes"}, "moon"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "inputs", "replies", "expected"), RUNS, ids=[each[0] for each in RUNS])
def test_it_does_what_it_says(name: str, inputs: tuple[Any, ...], replies: Any, expected: Any) -> None:
    with fake(replies):
        value = flow(name)(*inputs)
    assert (value.model_dump() if hasattr(value, "model_dump") else value) == expected


def test_a_citation_that_is_none_is_sent_back() -> None:
    answers = {"answer": {"text": "1932", "sources": ["p9"]}, "again": {"text": "1932", "sources": ["p1"]}}
    with fake(answers) as engine:
        assert flow("rag")("When was the bridge built?").sources == ["p1"]
    assert "There is no p9" in engine.requests[1].messages[-1].content


def test_an_invoice_that_never_fits_fails_the_run() -> None:
    with fake({"read": [{**INVOICE, "total": 7.0}] * 3}), pytest.raises(RunError) as caught:
        flow("extraction")("2 pens")
    assert "not 7" in str(caught.value)


def test_a_query_may_only_read(tmp_path: Path) -> None:
    written = tmp_path / "copy.db"
    with fake({"write": [{"sql": f"VACUUM INTO '{written}'"}] * 3}):
        assert flow("sql_agent")("Copy it").startswith("No query worked. This failed: ")
    assert not written.exists()


def test_two_hundred_documents_are_the_most() -> None:
    with fake({"map": ["s"] * 200, "group": ["g"] * 20, "reduce": "r"}) as engine:
        assert flow("map_reduce")(["text"] * 200) == "r"
    assert len(engine.requests) == 221
    with fake([]), pytest.raises(RunError) as caught:
        flow("map_reduce")(["text"] * 201)
    assert caught.value.code == "ORCH-R005"


def test_a_large_refund_waits_for_a_person() -> None:
    replies = {"read": {"wants_refund": True, "amount": 80.0}, "tell": "done", "refuse": "no"}
    with fake(replies, answers={"approve": "no"}):
        assert flow("triage")("I paid twice", "A-17") == "no"
    with fake(replies, answers={"approve": "yes"}):
        assert flow("triage")("I paid twice", "A-17") == "done"


def test_the_agent_calls_its_tools() -> None:
    steps = [{"thought": "t", "action": {"tool": "price", "args": {"article": "A-17"}}}]
    steps.append({"thought": "t", "action": {"tool": "finish", "answer": "40"}})
    with fake(steps) as engine:
        assert flow("react_agent")("What does A-17 cost?") == "40"
    assert "40" in engine.requests[1].messages[-1].content
