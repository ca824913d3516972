"""Workflows that were compiled to a text: checked in, compared and run without their source.

The text says where the tools and classes that it names are defined, and what they were then: a tool by the hash of what
it does, a class by what its JSON schema says of values. Reading it finds them again and refuses those that have
changed, since the workflow would be another one. What a model is told of them, in docstrings and descriptions, is part
of the ops that tell it.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from inspect import Parameter, Signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Never

from orchestrator.cli.stored_differences import of_op, of_tool, of_type
from orchestrator.dsl.builtins import TOOLS
from orchestrator.dsl.declare import path_of
from orchestrator.dsl.declared.boundary import Boundary
from orchestrator.dsl.declared.made import made_of
from orchestrator.dsl.declared.once import key_params
from orchestrator.dsl.models.offered import Offered, offered
from orchestrator.dsl.resolve import UnresolvedTypeError, resolve
from orchestrator.dsl.source.location import is_user_file
from orchestrator.dsl.tool import Tool, in_force, tool
from orchestrator.dsl.trace import Bindings, Traced
from orchestrator.dsl.tracing.constants import LossyConstantError, constant_json
from orchestrator.dsl.types.typing import decodable
from orchestrator.dsl.workflow import Workflow
from orchestrator.errors import Diagnostic, SourceLoc, TraceError, UnrepresentableError, UsageError

if TYPE_CHECKING:
    from orchestrator.dsl.types.typing import TypeForm
    from orchestrator.ir.declarations import Declarations, DeclaredTool
    from orchestrator.ir.subtypes import DeclaredType
    from orchestrator.ir.walk import Node

SUFFIX: Final = ".mlir"
Find = Callable[[str, str], Any]
"""What a path names, given the file or module and the name in it; raises ``LookupError`` for what is not there."""


class StoredWorkflow(Workflow[..., Any]):
    """A workflow out of a text; to its callers it is as one that is traced."""

    def __init__(self, traced: Traced, where: SourceLoc, defaults: Mapping[str, object]) -> None:
        def stored(**_: object) -> Never:
            message = f"workflow `{traced.name}` is a text, and cannot be called in another workflow"
            raise UsageError("ORCH-U017", message, where=where, fix="call the one that it was compiled from")

        super().__init__(stored, name=traced.name)
        params = [Parameter(n, Parameter.KEYWORD_ONLY, default=defaults.get(n, Parameter.empty)) for n in traced.params]
        self.signature = Signature(params)
        self.where = where
        required = frozenset(name for name in traced.params if name not in defaults)
        self.__dict__["boundary"] = Boundary(traced.params, required, 0, traced.returns, ())
        self._traced = traced

    def trace(self) -> Traced:
        """The graph as it was read, with the tools that are in force."""
        bindings = self._traced.bindings
        tools = {name: in_force(each) for name, each in bindings.tools.items()}
        return replace(self._traced, bindings=Bindings(tools, bindings.types))


# Writing


def stored_text(traced: Traced, defaults: Mapping[str, object], file: Path, *, locations: bool = False) -> str:
    """The text of a traced workflow for ``file``: it names the user's own files relative to that.

    Raises ``UsageError`` ORCH-U017 with every tool and type that a text cannot name.
    """
    from orchestrator.ir.attributes import to_attribute
    from orchestrator.ir.declarations import WORKFLOW, declarations, top_level
    from orchestrator.ir.text import to_text

    declared = declarations(traced.module)
    paths = [*(each.path for each in declared.tools.values()), *(each.path for each in declared.types.values())]
    if any(path.partition(":")[0].endswith(".py") for path in paths):
        fix = "copy that file, or compile the workflow from its source"
        raise UsageError("ORCH-U017", f"workflow `{traced.name}` is a text already", fix=fix)
    problems = [*_unnamed(declared), *_unreadable(traced, declared)]
    values: dict[str, str] = {}
    for name, value in defaults.items():
        if name in traced.params:
            try:
                values[name] = constant_json(value, traced.params[name])
                with traced.context:
                    to_attribute(values[name])
            except (LossyConstantError, UnrepresentableError) as error:
                problems.append(Diagnostic("ORCH-U017", f"the default of `{name}` cannot be written: {error}"))
    if problems:
        raise UsageError.collect(problems)
    made = traced.module.operation.clone()
    with made.context:
        for op in top_level(made):
            if op.name == WORKFLOW:
                op.attributes["defaults"] = to_attribute(values)
            else:
                op.attributes["path"] = to_attribute(_relative(op.attributes["path"].value, file))
    return to_text(made, locations=locations)


def _unnamed(declared: Declarations) -> Iterator[Diagnostic]:
    """Tools and types that are at no place where they can be found again."""
    why = "a text names tools and types by where they are defined: at the top of a module or file"
    for name, each in declared.tools.items():
        if not each.path or each.path.startswith("__main__:"):
            fix = "define its function there; what it holds on to, or is bound to, can be its argument"
            yield Diagnostic("ORCH-U017", f"tool `{name}` cannot be written to a text", None, why, fix)
        if (check := each.opts.get("check")) is not None and (not check or check.startswith("__main__:")):
            yield Diagnostic("ORCH-U017", f"the check of tool `{name}` cannot be written", None, why, "define it there")
    for name, cls in declared.types.items():
        if cls.kind != "alias" and (not cls.path or cls.path.startswith("__main__:")):
            yield Diagnostic("ORCH-U017", f"type `{name}` cannot be written to a text", None, why, "define it there")


def _unreadable(traced: Traced, declared: Declarations) -> Iterator[Diagnostic]:
    """Types whose names do not say all of them."""
    made = {name: made_of(tool.fn) for name, tool in traced.bindings.tools.items()}
    classes = {}
    for name, cls in declared.types.items():
        by = made.get(cls.path.partition(":")[0])
        if cls.path:
            classes[name] = decodable(_at(cls.path)) if by is None else by.types[name]
    for text in traced.bindings.types:
        try:
            resolve(text, classes)
        except (UnresolvedTypeError, LookupError, TypeError) as error:
            fix = "give it a name of its own: a model or a dataclass"
            yield Diagnostic("ORCH-U017", f"type `{text}` cannot be written to a text", None, str(error), fix)


def _at(path: str) -> Any:
    module, _, name = path.partition(":")
    return _named(sys.modules[module], name)


def _named(module: Any, name: str) -> Any:
    found = module
    for part in name.split("."):
        if not hasattr(found, part):
            raise LookupError(f"it has no `{name}`")
        found = getattr(found, part)
    return found


def _relative(path: str, file: Path) -> str:
    """A path with the user's own file, seen from the folder of ``file``, in the place of its module."""
    module, _, name = path.partition(":")
    source = getattr(sys.modules.get(module), "__file__", None)
    if source is None or not is_user_file(source) or not Path(source).is_file():
        return path
    return f"{Path(os.path.relpath(source, file.resolve().parent)).as_posix()}:{name}"


# Reading


def load_stored(file: Path, find: Find) -> StoredWorkflow:
    """The workflow that a file holds, with its tools and types as ``find(place, name)`` gives them.

    Raises :class:`IRError` for what is wrong with the text, and ``UsageError`` with everything that is not there
    (ORCH-U015) or has changed (ORCH-U016), or ORCH-U018 where the text is of the wrong level.
    """
    from orchestrator.ir.declarations import declarations
    from orchestrator.ir.text import parse_file
    from orchestrator.ir.walk import attr, nodes, op_id, opts, tree, type_string

    module = parse_file(file)
    root = tree(module)
    if any(node.name.startswith("op.") for node in nodes(root.bodies[0])):
        why = "what hardware does is made of what you said, for the machines that are there when it runs"
        fix = f"write that: orch compile --level agent -o {file} …"
        raise UsageError("ORCH-U018", f"`{file}` holds the level `op`", where=SourceLoc(str(file), 1), why=why, fix=fix)
    given = opts(root.op)
    names = given.get("params", [])
    if "returns" not in given or len(names) != len(root.bodies[0].arguments):
        message = f"`{file}` does not say the parameters and the result of its workflow"
        fix = "write it with `orch compile -o`"
        raise UsageError("ORCH-U018", message, where=SourceLoc(str(file), 1), fix=fix)
    found = _Found(file, find)
    declared = declarations(module)
    tools = found.tools(declared.tools)
    classes = {name: found.type(cls) for name, cls in declared.types.items() if cls.path}
    found.compare(declared.types, classes)
    if not found.problems:
        found.compare_ops(nodes(root.bodies[0]), tools, classes)
    if found.problems:
        raise UsageError.collect(found.problems)
    texts = {type_string(value): None for value in _values(root) if str(value.type).startswith("!agent.value<")}
    types = {text: resolve(text, classes) for text in (*texts, given["returns"])}
    params = {name: types[type_string(each)] for name, each in zip(names, root.bodies[0].arguments, strict=True)}
    bindings = Bindings({**TOOLS, **tools}, types)
    traced = Traced(module, module.context, op_id(root.op), params, types[given["returns"]], bindings)
    defaults = {name: json.loads(text) for name, text in attr(root.op, "defaults", {}).items()}
    return StoredWorkflow(traced, SourceLoc(str(file), 1), defaults)


def _values(root: Any) -> Iterator[Any]:
    from orchestrator.ir.walk import bodies

    for body in bodies(root):
        yield from body.arguments
        for node in body.nodes:
            yield from node.op.results


@dataclass
class _Found:
    """What a text names, looked up; and what is wrong with it."""

    file: Path
    find: Find
    problems: list[Diagnostic] = field(default_factory=list)
    _made: dict[str, Mapping[str, type] | None] = field(default_factory=dict)
    """Types that tools were made with, by the tool; None for what could not be made, or is another one now."""
    _offers: list[Offered] = field(default_factory=list)
    """What models are offered that call the tools by one that was made of them."""

    def type(self, declared: DeclaredType) -> TypeForm:
        """A class, where it was."""
        name, path = declared.name, declared.path
        by, _, of_tool = path.partition(":")
        if by not in self._made:
            cls: Any = decodable(self._find(f"type `{name}`", path))
        elif (types := self._made[by]) is None:
            return None
        elif (cls := types.get(of_tool)) is None:
            self._missing(f"type `{name}`", path, f"`{by}` makes no such type")
        return cls

    def compare(self, types: Mapping[str, DeclaredType], classes: Mapping[str, Any]) -> None:
        """Note the classes that are not as they were."""
        for name, cls in classes.items():
            if cls is not None and (found := of_type(types[name], cls, classes)) is not None:
                what, then, now = found
                self._changed(f"{what} of type `{name}`", types[name].path, _short(then), _short(now))

    def compare_ops(self, ops: Iterator[Node], tools: Mapping[str, Tool[..., Any]], classes: Mapping[str, Any]) -> None:
        """Note the ops that say otherwise than what they name."""
        from orchestrator.ir.walk import op_id, source

        for node in ops:
            found = of_op(node, tools, classes, self._offers)
            if found is not None:
                what, then, now = found
                message = f"`{op_id(node.op)}` of `{self.file}`: {what} is {_short(then)}, and must be {_short(now)}"
                fix = f"compile it again: orch compile … -o {self.file}"
                self.problems.append(Diagnostic("ORCH-U016", message, source(node.op), None, fix))

    def tools(self, declared: Mapping[str, DeclaredTool]) -> dict[str, Tool[..., Any]]:
        """The tools; those that are made of others once these are there."""
        made = [each for each in declared.values() if "of" in each.opts]
        self._made = dict.fromkeys(each.name for each in made)
        found = {name: self._tool(each) for name, each in declared.items() if "of" not in each.opts}
        if not self.problems:
            found |= {each.name: self._made_tool(each, found) for each in made}
        return found

    def _made_tool(self, declared: DeclaredTool, tools: Mapping[str, Tool[..., Any]]) -> Tool[..., Any]:
        """A tool that a library makes of others."""
        from orchestrator.agents.steps import call_reader

        what, names = f"tool `{declared.name}`", declared.opts["of"]
        made = TOOLS["builtin.not"]
        if declared.path != path_of(call_reader):
            self._missing(what, declared.path, "nothing there makes tools of others")
        elif unknown := [name for name in names if name not in tools]:
            self._missing(what, declared.path, f"it is made of `{unknown[0]}`, which is none of the other tools")
        else:
            try:
                of_names = [tools[name] for name in names]
                self._offers.append(offered("react", of_names, declared.opts.get("hidden", ())))
                made = call_reader(of_names, declared.opts.get("hidden", ()))
            except TraceError as error:
                self._missing(what, declared.path, error.message)
                return made
            if (made.name, made.code) == (declared.name, declared.code) and (of := made_of(made.fn)) is not None:
                self._made[declared.name] = of.types
            else:
                was, now = f"{declared.name} {declared.code}", f"{made.name} {made.code}"
                self._changed(what, declared.path, was, now)
        return made

    def _tool(self, declared: DeclaredTool) -> Tool[..., Any]:
        """A tool, if it is as it was."""
        what, options = f"tool `{declared.name}`", dict(declared.opts)
        function = self._find(what, declared.path)
        check = options.pop("check", None)
        if check is not None:
            options["check"] = self._find(f"the check of {what}", check)
        if key := options.get("key"):
            options["key"] = key[0] if len(key) == 1 else tuple(key)
        if not callable(function):
            if function is not None:
                self._missing(what, declared.path, "what is there cannot be called")
            return TOOLS["builtin.not"]
        plain = {"key": None, "check": None, "cheap": False, "isolation": None, "memory": None}
        made = tool(function)
        made = replace(made, name=declared.name, effects=declared.effects, **{**plain, **options})  # type: ignore[arg-type]
        if not self._is_defined_at(made.fn, declared.path):
            self._missing(what, declared.path, "what is there is defined elsewhere")
        elif made.code != declared.code:
            self._changed(what, declared.path, declared.code, made.code)
        elif (other := of_tool(declared, made)) is not None:
            self._changed(f"{other[0]} of {what}", declared.path, _short(other[1]), _short(other[2]))
        elif isinstance(function, Tool) and function.name == declared.name and _declares(function) != _declares(made):
            self._changed(what, declared.path, _declares(made), _declares(function))
        return made

    def _is_defined_at(self, function: Any, path: str) -> bool:
        """Whether a function is what a text would say is there, and not one that was imported to that place."""
        place, _, name = path.rpartition(":")
        module, _, own = path_of(function).partition(":")
        source = getattr(sys.modules.get(module), "__file__", None)
        is_file = source is not None and Path(source).resolve() == (self.file.parent / place).resolve()
        return own == name and (is_file or module == place)

    def _find(self, what: str, path: str) -> Any:
        place, _, name = path.rpartition(":")
        if not place:
            self._missing(what, path, "the text does not say where it is defined")
            return None
        try:
            return self.find(str(self.file.parent / place) if place.endswith(".py") else place, name)
        except LookupError as error:
            self._missing(what, path, str(error.args[0]))
            return None

    def _missing(self, what: str, path: str, why: str) -> None:
        fix = "put it back, or compile the workflow again where it is now: orch compile -o"
        message = f"{what} of `{self.file}` is not at `{path}`"
        self.problems.append(Diagnostic("ORCH-U015", message, SourceLoc(str(self.file), 1), why, fix))

    def _changed(self, what: str, path: str, then: str, now: str) -> None:
        why = "it would be another workflow than the one that was compiled"
        fix = f"compile it again, and look at the difference: orch compile … -o {self.file}"
        message = f"{what} at `{path}` has changed since `{self.file}` was compiled: it was {then}, and is {now}"
        self.problems.append(Diagnostic("ORCH-U016", message, SourceLoc(str(self.file), 1), why, fix))


def _short(value: object) -> str:
    """What fits into a message; of a long text its hash."""
    if value in ("", None):
        return "nothing"
    text = value if isinstance(value, str) and value.isprintable() else repr(value)
    return text if len(text) <= 100 else blake2b(text.encode(), digest_size=8).hexdigest()


def _declares(tool: Tool[..., Any]) -> str:
    """What a tool declares of how often it may run."""
    declared = [f"`{tool.effects}`", *(f"key={name}" for name in (() if tool.key is None else key_params(tool)))]
    return " ".join([*declared, *([] if tool.check is None else [f"check={path_of(tool.check)}"])])
