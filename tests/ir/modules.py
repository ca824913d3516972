"""Random level-1 modules, built with the tracer's builder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from orchestrator.errors import SourceLoc
from orchestrator.ir.build import Builder
from orchestrator.ir.declarations import DeclaredTool

KINDS = ("const", "prompt", "pure", "once", "generate", "turn", "map", "branch", "loop")
TOOLS = {"pure": ("g", "str"), "once": ("f", "str"), "idempotent": ("h", "bool")}
"""Name and result by effects."""
Step = tuple[str, int, str]
steps = st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 50), st.text(max_size=8)), min_size=1, max_size=25)
"""What to build: a kind, which of the values in sight to use, and some text."""


@dataclass
class _Maker:
    builder: Builder
    prefix: str
    count: int = 0

    def op(self, kind: str, operands: list[Any], results: list[str], attrs: dict[str, object], **kw: Any) -> list[Any]:
        self.count += 1
        op_id, where = f"{self.prefix}{kind}_{self.count}", SourceLoc("flow.py", self.count)
        return self.builder.op(kind, operands, results, attrs, id=op_id, opts={}, where=where, **kw)

    def leaf(self, kind: str, value: Any, chat: Any, text: str) -> list[Any]:
        match kind:
            case "const":
                import json

                return self.op("const", [], ["str"], {"value": json.dumps(text)})
            case "prompt":
                return self.op("prompt", [value], ["str"], {"parts": [text, text]})
            case "generate" | "turn":
                given = [value] if kind == "generate" else [value, chat]
                attrs: dict[str, object] = {"model": "m", "returns": "str", "samples": 1}
                return self.op("generate", given, ["str", "Chat"], attrs)
        name, gives = TOOLS[kind]
        return self.op("tool", [value], [gives], {"callee": name, "params": ["x"], "effects": kind})

    def region(self, arguments: list[str], value: Any, text: str, gives: str = "once") -> Any:
        with self.builder.region(arguments) as region:
            self.builder.yield_(self.leaf(gives, region.arguments[0] if arguments else value, None, text)[:1])
        return region


def build(plan: list[Step], prefix: str = "") -> Any:
    """The module of these steps; ids start with ``prefix``."""
    builder = Builder()
    make = _Maker(builder, prefix)
    with builder.workflow("flow", ["str"], opts={"params": ["q"]}, where=SourceLoc("flow.py", 1)) as (question,):
        values, chats = [question], make.op("chat", [], ["Chat"], {})
        for kind, pick, text in plan:
            value = values[pick % len(values)]
            if kind == "map":
                attrs: dict[str, object] = {"callee": "builtin.list", "params": ["0"], "effects": "pure"}
                [items] = make.op("tool", [value], ["list[str]"], attrs)
                body = make.region(["str"], value, text)
                make.op("map", [items], ["list[str]"], {"limit": 3, "concurrency": 0}, regions=[body])
            elif kind == "branch":
                regions = [make.region([], value, text), make.region([], value, text, "pure")]
                condition = make.leaf("idempotent", value, None, text)
                values += make.op("branch", condition, ["str"], {}, regions=regions)
            elif kind == "loop":
                regions = [make.region(["str"], value, text, "idempotent"), make.region(["str"], value, text)]
                values += make.op("loop", [value], ["str"], {"max": 2}, regions=regions)
            else:
                made = make.leaf(kind, value, chats[pick % len(chats)], text)
                values.append(made[0])
                chats += made[1:]
        builder.yield_([values[-1]])
        for effects, (name, gives) in TOOLS.items():
            tool = DeclaredTool(name, "", "", effects, {"x": "str"}, ["x"], gives)
            builder.declare("declare_tool", name, tool.attributes)
    return builder.finish()
