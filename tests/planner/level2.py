"""Level-2 modules for the planner's tests, written as MLIR text so that they need neither the tracer nor the passes.

>>> body, (question,) = workflow(question="str")
>>> reply, _ = body.ask_model("llm_1", body.prompt("prompt_1", ["Q: ", ""], [question]))
>>> with parsed(body.closed([reply])) as module: ...                        # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def attribute(value: object) -> str:
    """A Python value as MLIR attribute text."""
    match value:
        case bool():
            return str(value).lower()
        case int():
            return f"{value} : i64"
        case float():
            return f"{value:.12e} : f64"
        case str():
            return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
        case list():
            return "[" + ", ".join(map(attribute, value)) + "]"
        case dict():
            return dictionary(value)
    raise TypeError(value)


def dictionary(values: dict[str, Any]) -> str:
    return "{" + ", ".join(f"{key} = {attribute(each)}" for key, each in values.items()) + "}"


def value_type(python: str) -> str:
    return "!op.kv" if python == "kv" else f"!agent.value<{attribute(python)}>"


class Builder:
    """Writes ops one after the other; values are SSA names with their Python types."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.types: dict[str, str] = {}
        self.count = 0
        self.arguments: list[str] = []

    def op(
        self,
        name: str,
        op_id: str,
        operands: list[str],
        results: list[str],
        regions: list[str] | None = None,
        opts: dict[str, Any] | None = None,
        **attrs: Any,
    ) -> list[str]:
        """Append one op and return the names of its results."""
        self.count += 1
        names = [f"%v{self.count}_{position}" for position in range(len(results))]
        self.types.update(zip(names, results, strict=True))
        attributes = dictionary({"id": op_id, **attrs, "opts": opts or {}})
        body = f" ({', '.join(regions)})" if regions else ""
        left = f"{', '.join(names)} = " if names else ""
        given = ", ".join(value_type(self.types[each]) for each in operands)
        made = ", ".join(value_type(each) for each in results)
        self.lines.append(
            f'{left}"{name}"({", ".join(operands)}){body} {attributes} : ({given}) -> ({made})'
            f' loc("{op_id}"("app.py":{self.count}:1))'
        )
        return names

    def call(self, op_id: str, kind: str, operands: list[str], returns: str, /, **attrs: Any) -> str:
        """An ``op.call``; ``opts`` and attributes by name."""
        defaults = {"callee": op_id, "params": [], "effects": "pure", "place": ""}
        [name] = self.op("op.call", op_id, operands, [returns], kind=kind, **{**defaults, **attrs})
        return name

    def prompt(self, op_id: str, parts: list[str], holes: list[str]) -> str:
        return self.call(op_id, "prompt", holes, "str", opts={"parts": parts}, place="inline")

    def ask_model(self, op_id: str, prompt: str, chat: str | None = None, /, **given: Any) -> tuple[str, str]:
        """A prefill and a decode; the reply and the conversation after it."""
        opts, samples = given.pop("opts", {}), given.pop("samples", 1)
        returns = given.pop("returns", "str")
        operands = [prompt] if chat is None else [prompt, chat]
        model = given.pop("model", "default")
        [kv] = self.op("op.prefill", f"{op_id}.prefill", operands, ["kv"], model=model, place="", **given)
        results = [returns, "Chat"] if samples == 1 else [f"list[{returns}]", "list[Chat]"]
        reply, after = self.op(
            "op.decode", op_id, [kv], results, model=model, samples=samples, returns=returns, opts=opts, place=""
        )
        return reply, after

    def block(self, arguments: list[tuple[str, str]]) -> tuple[Builder, list[str]]:
        """A builder for a region inside this one, and the names of its block arguments."""
        inner = Builder()
        inner.count = self.count + 1000
        inner.types = dict(self.types)
        names = [f"%{name}_{inner.count}" for name, _ in arguments]
        inner.types.update(zip(names, (python for _, python in arguments), strict=True))
        inner.arguments = [f"{n}: {value_type(inner.types[n])}" for n in names]
        return inner, names

    def closed(self, yields: list[str]) -> str:
        """This builder's ops as region text."""
        head = f"^bb0({', '.join(self.arguments)}):\n" if self.arguments else ""
        types = ", ".join(value_type(self.types[each]) for each in yields)
        return "{" + head + "\n".join([*self.lines, f'"agent.yield"({", ".join(yields)}) : ({types}) -> ()']) + "}"


@contextmanager
def parsed(region: str, name: str = "answer", **opts: Any) -> Iterator[Any]:
    """The module of a workflow whose body is ``region``."""
    from torch_mlir import ir

    with ir.Context() as context:
        context.allow_unregistered_dialects = True
        attributes = dictionary({"sym_name": name, "opts": opts})
        yield ir.Module.parse(f'"agent.workflow"() ({region}) {attributes} : () -> ()')


def workflow(**parameters: str) -> tuple[Builder, list[str]]:
    """A builder for the body of a workflow with these parameters."""
    return Builder().block(list(parameters.items()))
