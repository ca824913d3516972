"""Tools and workflows that the tests of pickles find by name."""

from __future__ import annotations

from pydantic import BaseModel

from orchestrator import tool, workflow


class Note(BaseModel):
    text: str


def plain(x: int) -> int:
    return x + 1


@tool(effects="pure", cheap=True)
def double(x: int) -> int:
    return 2 * x


class Kit:
    @tool(effects="idempotent")
    @staticmethod
    def halve(x: int) -> int:
        return x // 2

    @workflow
    def doubled(self, x: int) -> int:
        return double(x)


patient = double.options(retry=3)
of_plain = tool(plain, effects="idempotent", timeout=5)
of_a_model = tool(Note)


@workflow
def twice(x: int) -> int:
    return double(double(x))


replaced = double.options()


@tool
def hidden(x: int) -> int:
    return x


found = hidden
hidden = None  # type: ignore[assignment]
