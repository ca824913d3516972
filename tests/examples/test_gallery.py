"""The gallery: every workflow is short, is right for the checker, and does what its first line says."""

from __future__ import annotations

import importlib
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from orchestrator.dsl.workflow import Workflow
from orchestrator.errors import RunError
from orchestrator.testing import fake
from tests.dsl.recording import record

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


TWO_PARTS = '[{"title": "Tea", "instructions": "x"}, {"title": "Milk", "instructions": "y"}]'
INVOICE = {"number": "7", "amounts": [3.0, 3.0], "total": 6.0}
WRONG_INVOICE = {**INVOICE, "total": 7.0}
THOUGHT = {"step": "8 / 8 = 1", "promise": 3, "solved": True}
IDEAS = [
    [{"step": f"{level}{promise}", "promise": promise, "solved": False} for promise in (1, 3, 2)] for level in "abcd"
]
BAD, GOOD = {"good": False, "advice": "shorter"}, {"good": True, "advice": ""}
ADDS, DOES_NOT = "def add(a, b): return a + b", "def add(a, b): return a"


def told(messages: Sequence[Any]) -> str:
    """A reply that says what the model was asked."""
    return str(messages[-1].content)


RUNS: list[tuple[str, tuple[Any, ...], Any, Any, dict[str, int]]] = [
    ("routing", ("My invoice is wrong",), {"classify": "billing", "billing": "We mend it."}, "We mend it.",
     {"classify": 1, "billing": 1}),
    ("routing", ("It breaks",), {"classify": "bug", "bug": "Where?"}, "Where?", {"classify": 1, "bug": 1}),
    ("routing", ("Hello",), {"classify": "other", "other": "Hi."}, "Hi.", {"classify": 1, "other": 1}),
    ("prompt_chain", ("tides",), {"outline": "one", "again": "a\nb\nc", "write": told, "edit": told},
     "Make it plain and short:\nWrite the page.\na\nb\nc", {"outline": 1, "again": 1, "write": 1, "edit": 1}),
    ("prompt_chain", ("tides",), {"outline": "a\nb\nc", "write": "long", "edit": "short"}, "short",
     {"outline": 1, "write": 1, "edit": 1}),
    ("parallel_votes", ("Six?",), {"draft": ["5", "6", " 6 ", "6", "7"]}, "6", {"draft": 1}),
    ("orchestrator_workers", ("Compare",), {"split": TWO_PARTS, "work": told, "join": told},
     "Make one text of these:\n## Tea\nTea\nx\n\n## Milk\nMilk\ny", {"split": 1, "work": 2, "join": 1}),
    ("evaluator_optimiser", ("a slogan",), {"first": "bad", "judge": [BAD, GOOD], "improve": told},
     "Improve it: shorter\nbad", {"first": 1, "judge": 2, "improve": 1}),
    ("evaluator_optimiser", ("a slogan",), {"first": "bad", "judge": [BAD] * 4, "improve": ["a", "b", "c", "d"]}, "d",
     {"first": 1, "judge": 4, "improve": 4}),
    ("plan_and_execute", ("bread",), {"plan": '["mix", "bake"]', "step": ["mixed", "baked"], "conclude": told},
     "Goal: bread\n- mix: mixed\n- bake: baked\n\nWhat is the result?", {"plan": 1, "step": 2, "conclude": 1}),
    ("reflection", ("Why?",), {"answer": "Because.", "*": "Nothing is wrong."}, "Because.",
     {"answer": 1, "critique": 1}),
    ("reflection", ("Why?",), {"answer": "Because.", "critique": "No proof.",
                               "mended": lambda messages: " ".join(each.content for each in messages[1:4:2])},
     "Why? What is wrong or missing in that? Say 'nothing' if all is well.", {"answer": 1, "critique": 1, "mended": 1}),
    ("map_reduce", (["text"] * 25,), {"map": "s", "group": lambda messages: str(messages[-1].content.count("s\n")),
                                      "reduce": told},
     "Write a page of these:\n9\n\n9\n\n4", {"map": 25, "group": 3, "reduce": 1}),
    ("extraction", ("2 pens",), {"read": INVOICE}, INVOICE, {"read": 1}),
    ("extraction", ("2 pens",), {"read": [WRONG_INVOICE, INVOICE]}, INVOICE, {"read": 2}),
    ("sql_agent", ("How many?",), {"write": [{"sql": "SELECT x"}, {"sql": "SELECT COUNT(*) FROM planets"}],
                                   "answer": lambda messages: told(messages).splitlines()[1]}, 'Rows: ["2"]',
     {"write": 2, "answer": 1}),
    ("sql_agent", ("How many?",), {"write": [{"sql": "SELECT x"}] * 3},
     "No query worked. This failed: no such column: x\n", {"write": 3}),
    ("test_and_fix", ("add",), {"write": ADDS}, ADDS, {"write": 1}),
    ("test_and_fix", ("add",), {"write": DOES_NOT, "mend": [ADDS]}, ADDS, {"write": 1, "mend": 1}),
    ("test_and_fix", ("add",), {"write": DOES_NOT, "mend": DOES_NOT}, "not solved: AssertionError: ",
     {"write": 1, "mend": 3}),
    ("hand_offs", ("seat",), {"turn": [{"note": "a", "next": "seats"}, {"note": "b", "next": "done"}], "answer": told},
     "Tell the customer what was done:\nfront: a\nseats: b\n", {"turn": 2, "answer": 1}),
    ("hand_offs", ("seat",), {"turn": {"note": "?", "next": "bills"}, "answer": "Sorry."}, "Sorry.",
     {"turn": 6, "answer": 1}),
    ("translation", ("Hi",), {"draft_freely": "Salut", "draft_closely": "Bonjour",
                              "judge": {"better": 2, "mend": None}}, "Bonjour",
     {"draft_freely": 1, "draft_closely": 1, "judge": 1}),
    ("translation", ("Hi", "German"), {"draft_freely": "Hallo", "draft_closely": told,
                                       "judge": {"better": 1, "mend": "kinder"}, "mend": told},
     "Hallo\nMend this: kinder", {"draft_freely": 1, "draft_closely": 1, "judge": 1, "mend": 1}),
    ("batch_classification", (["a", "b", "c"],), {"label": ["praise", "nonsense", "praise"]},
     {"praise": 2, "complaint": 0, "question": 0, "unreadable": 1}, {"label": 3}),
    ("tree_search", ("24",), {"think": [{**THOUGHT, "promise": 1, "solved": False}, THOUGHT, THOUGHT],
                              "conclude": "24"}, "24", {"think": 1, "conclude": 1}),
    ("tree_search", ("24",), {"think": IDEAS, "conclude": told}, "24\na3\nb3\nc3\nd3\n\nSay the solution.",
     {"think": 4, "conclude": 1}),
    ("long_chat", (["Hi", "x" * 500, "What?"],), {"reply": ["a", "b", "c"], "*": "short"}, "c",
     {"reply": 3, "compact": 1, "begin": 1}),
    ("long_chat", (["Hi", "What?"],), {"reply": ["a", "b"]}, "b", {"reply": 2}),
    ("speculative_pair", ("tides",), {"draft": "moon", "check": "yes"}, "moon", {"draft": 1, "check": 1}),
    ("speculative_pair", ("tides",), {"draft": "sun", "check": "no", "rewrite": "moon"}, "moon",
     {"draft": 1, "check": 1, "rewrite": 1}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "inputs", "replies", "expected", "calls"), RUNS, ids=[f"{n}-{each[0]}" for n, each in enumerate(RUNS)]
)
def test_it_does_what_it_says(
    name: str, inputs: tuple[Any, ...], replies: Any, expected: Any, calls: dict[str, int]
) -> None:
    with fake(replies) as engine:
        value = flow(name)(*inputs)
    assert (value.model_dump() if hasattr(value, "model_dump") else value) == expected
    assert Counter(each.op for each in engine.requests) == calls


def test_every_one_is_tried() -> None:
    assert {each[0] for each in RUNS} | {"rag", "react_agent", "triage"} == set(NAMES)


def test_the_table_says_what_the_files_say() -> None:
    table = (FOLDER / "README.md").read_text(encoding="utf-8")
    for name in NAMES:
        source = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
        first = source.removeprefix('"""').partition("\n")[0].removesuffix(".")
        assert f"| [{name}.py]({name}.py) | {first} | {len(source.splitlines())} |" in table


def test_a_votes_drafts_are_samples_of_one_call() -> None:
    with fake({"draft": ["a", "b", "b", "c", "d"]}) as engine:
        flow("parallel_votes")("Six?")
    assert engine.requests[0].sampling.samples == 5


def test_the_small_model_drafts_and_the_large_one_decides() -> None:
    calls = [each for each in record(flow("speculative_pair")).ops if each.kind == "generate"]
    assert [each.attrs["model"] for each in calls] == ["small", "large", "large"]


def test_a_new_agent_is_told_its_own_part_and_what_was_done() -> None:
    with fake({"turn": [{"note": "a", "next": "bills"}, {"note": "b", "next": "done"}], "answer": "x"}) as engine:
        flow("hand_offs")("a bill")
    prompts = [told(each.messages) for each in engine.requests]
    assert prompts[0] == "You decide who helps.\nRequest: a bill\nNotes:\n"
    assert prompts[1] == "You mend bills.\nRequest: a bill\nNotes:\nfront: a\n"


def test_a_long_talk_goes_on_with_its_summary_alone() -> None:
    with fake({"reply": ["a", "b", "c"], "compact": "tea", "begin": "well"}) as engine:
        flow("long_chat")(["Hi", "x" * 500, "What?"])
    compact = next(each for each in engine.requests if each.op == "compact")
    assert "x" * 500 in told(compact.messages)
    assert [each.content for each in engine.requests[-1].messages] == ["So far: tea", "well", "What?"]


def test_a_step_knows_what_came_before() -> None:
    with fake({"plan": '["mix", "bake"]', "step": ["mixed", "baked"], "conclude": "bread"}) as engine:
        flow("plan_and_execute")("bread")
    assert told(engine.requests[2].messages) == "Goal: bread\nDone so far:\n- mix: mixed\n\nNow do: bake"


def test_a_reader_is_told_what_did_not_fit() -> None:
    with fake({"read": [WRONG_INVOICE, INVOICE]}) as engine:
        flow("extraction")("2 pens")
    first, second = [told(each.messages) for each in engine.requests]
    assert first == "Read the invoice.\n2 pens"
    assert second == "Read the invoice. Careful: the amounts add up to 6, not 7.\n2 pens"


def test_code_is_mended_by_what_the_test_said() -> None:
    with fake({"write": "1 +", "mend": ADDS}) as engine:
        flow("test_and_fix")("add")
    assert told(engine.requests[1].messages).startswith("Mend it.\n1 +\nThe test says: SyntaxError: ")


def test_a_citation_that_is_none_is_sent_back_once() -> None:
    answers = {"answer": {"text": "1932", "sources": ["p9"]}, "again": {"text": "1932", "sources": ["p1"]}}
    with fake(answers) as engine:
        assert flow("rag")("When was the bridge built?").sources == ["p1"]
    assert [each.op for each in engine.requests] == ["answer", "again"]
    assert told(engine.requests[0].messages).startswith("[p1] The bridge was built in 1932.")
    assert "There is no p9" in told(engine.requests[1].messages)


def test_an_answer_with_good_citations_is_not_asked_for_again() -> None:
    with fake({"answer": {"text": "1932", "sources": ["p1", "p2"]}}) as engine:
        assert flow("rag")("When was the bridge built?").text == "1932"
    assert len(engine.requests) == 1


def test_an_invoice_that_never_fits_fails_the_run() -> None:
    with fake({"read": [WRONG_INVOICE] * 3}) as engine, pytest.raises(RunError) as caught:
        flow("extraction")("2 pens")
    assert "not 7" in str(caught.value)
    assert len(engine.requests) == 3


def test_a_query_may_only_read(tmp_path: Path) -> None:
    written = tmp_path / "copy.db"
    with fake({"write": [{"sql": f"VACUUM INTO '{written}'"}] * 3}):
        assert flow("sql_agent")("Copy it").startswith("No query worked. This failed: ")
    assert not written.exists()


def test_two_hundred_documents_are_the_most() -> None:
    documents = [f"document {number}" for number in range(200)]
    replies = {"map": lambda messages: told(messages).partition("\n")[2], "group": told, "reduce": told}
    with fake(replies) as engine:
        page = flow("map_reduce")(documents)
    assert re.findall(r"^document .*$", page, re.M) == documents
    assert Counter(each.op for each in engine.requests) == {"map": 200, "group": 20, "reduce": 1}
    with fake([]) as engine, pytest.raises(RunError) as caught:
        flow("map_reduce")(["text"] * 201)
    assert caught.value.code == "ORCH-R005"
    assert not engine.requests


@pytest.mark.parametrize(
    ("wants", "amount", "says", "refunded", "calls"),
    [
        (False, 80.0, None, [], {"read": 1, "answer": 1}),
        (True, 50.0, None, [("A-17", 50.0)], {"read": 1, "tell": 1}),
        (True, 50.5, "no", [], {"read": 1, "refuse": 1}),
        (True, 50.5, "yes", [("A-17", 50.5)], {"read": 1, "tell": 1}),
    ],
)
def test_a_large_refund_waits_for_a_person(
    wants: bool, amount: float, says: str | None, refunded: list[Any], calls: dict[str, int]
) -> None:
    paid: list[Any] = []

    def refund(order: str, amount: float) -> str:
        paid.append((order, amount))
        return "done"

    replies = {"read": {"wants_refund": wants, "amount": amount}, "*": "ok"}
    answers = {} if says is None else {"approve": says}
    with fake(replies, tools={"refund": refund}, answers=answers) as engine:
        assert flow("triage")("I paid twice", "A-17") == "ok"
    assert paid == refunded
    assert Counter(each.op for each in engine.requests) == calls


def step(tool: str, **args: Any) -> dict[str, Any]:
    return {
        "thought": "t",
        "action": {"tool": tool, **({"answer": args["answer"]} if "answer" in args else {"args": args})},
    }


def test_the_agent_calls_its_tools_and_is_told_what_came_of_them() -> None:
    steps = [
        step("price", article="A-17"),
        step("percent", of=40.0, rate=17.0),
        step("stock", article="A-17"),
        step("remember", note="6.8"),
        step("price", article="A-99"),
        step("finish", answer="6.8"),
    ]
    with fake(steps) as engine:
        assert flow("react_agent")("What is 17 % of the price of A-17?") == "6.8"
    results = [told(each.messages) for each in engine.requests[1:]]
    for result, part in zip(results, ["40", "6.8", "10", "noted: 6.8", "A-99"], strict=True):
        assert part in result


def test_the_agent_concludes_after_six_steps() -> None:
    with fake([step("price", article="A-17")] * 6 + ["about 40"]) as engine:
        assert flow("react_agent")("What does A-17 cost?") == "about 40"
    assert len(engine.requests) == 7
