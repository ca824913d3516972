"""A chat model of LangChain's that answers by a script; a user's program has `init_chat_model("…")` in its place."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import RunnableLambda
from pydantic import BaseModel

from benchmarks.gallery_cases import Reply


class Scripted(BaseChatModel):
    """It asks `script` for each reply, and keeps the prompts."""

    script: Callable[[str], Reply] = repr
    prompts: list[str] = []  # noqa: RUF012 - a pydantic field

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        prompt = messages[-1].text
        self.prompts.append(prompt)
        reply = self.script(prompt)
        text = reply if isinstance(reply, str) else json.dumps(reply)
        return ChatResult(generations=[ChatGeneration(message=AIMessage(text))])

    def with_structured_output(self, schema: Any, **_: Any) -> Any:
        """Read replies as `schema`; a plain text is the one field that the schema has."""

        def read(message: AIMessage) -> BaseModel:
            text = message.text
            if not text.startswith("{"):
                (field,) = schema.model_fields
                return schema.model_validate({field: text})
            return schema.model_validate_json(text)

        return self | RunnableLambda(read)


model = Scripted()
