"""What comes with a model may refuse a request; the engine goes on."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.dsl.models.messages import Message
from orchestrator.errors import EngineError
from orchestrator.runtime.engines.base import GenerateRequest, Sampling
from orchestrator.runtime.engines.errors import NO_SYSTEM, is_transient
from orchestrator.runtime.engines.vllm.local import LocalVllm, _parameters

pytest.importorskip("vllm")


class Picky:
    """A tokenizer whose template takes user and assistant in turns, as those of many models do."""

    chat_template = "{{ raise_exception('System role not supported') }}"

    def apply_chat_template(self, turns: list[dict[str, str]], **options: Any) -> str:
        from jinja2.exceptions import TemplateError

        if [turn["role"] for turn in turns] != ["user", "assistant"] * (len(turns) // 2) + ["user"] * (len(turns) % 2):
            raise TemplateError("System role not supported")
        return turns[-1]["content"]

    def encode(self, text: str, **options: Any) -> list[int]:
        return list(text.encode())


@pytest.mark.parametrize(
    ("roles", "fix"), [(["system", "user"], NO_SYSTEM), (["user", "user"], None)], ids=["system", "order"]
)
def test_a_template_that_refuses_a_conversation_rejects_the_request(roles: list[Any], fix: str | None) -> None:
    engine = LocalVllm("main", "m")
    engine._tokenizer = Picky()
    with pytest.raises(EngineError) as caught:
        engine._tokens(GenerateRequest("1", "m", tuple(Message(role, "hi") for role in roles)))
    (problem,) = caught.value.diagnostics
    assert (problem.code, problem.fix) == ("ORCH-E014", fix)
    assert "System role not supported" in (problem.why or "")
    assert not is_transient(caught.value)
    assert engine._tokens(GenerateRequest("1", "m", (Message("user", "hi"),))) == [104, 105]


def test_options_reach_vllm_under_their_own_names_and_the_others_are_refused() -> None:
    passed = {"top_k": 5, "min_tokens": 2, "logit_bias": {"7": -1.0}, "stop_token_ids": [3], "ignore_eos": True}
    made = _parameters("main", Sampling(constraint=("regex", "a+"), passed=passed), 1, 100, seeds=True)
    assert {name: getattr(made, name) for name in passed} == {**passed, "logit_bias": {7: -1.0}}
    assert made.structured_outputs.regex == "a+"
    chosen = _parameters("main", Sampling(constraint=("choice", ("a", "b"))), 1, 100, seeds=True)
    assert chosen.structured_outputs.choice == ["a", "b"]
    with pytest.raises(EngineError) as caught:
        _parameters("main", Sampling(passed={"verbosity": "low"}, extra_body={"a": 1}), 1, 100, seeds=True)
    assert caught.value.code == "ORCH-E029"
    assert "`extra_body=`, `verbosity=`" in caught.value.message
