"""What comes with a model may refuse a request; the engine goes on."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.errors import EngineError
from orchestrator.runtime.engines.base import GenerateRequest, Message
from orchestrator.runtime.engines.errors import NO_SYSTEM, is_transient
from orchestrator.runtime.engines.vllm.local import LocalVllm

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
