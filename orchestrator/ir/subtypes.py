"""Which types fit where, by the rules of :func:`orchestrator.dsl.types.typing.assignable`, without the user's classes.

Here classes are names. What builtin ones have to do with each other is known; of the others, a module declares the
bases.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from orchestrator.ir.types import (
    ANNOTATED,
    ANY,
    BUILTINS,
    ELLIPSIS,
    GROUP,
    LITERAL,
    NEVER,
    NONE,
    STR,
    UNION,
    WORDS,
    Type,
    TypeSyntaxError,
    class_of_literal,
    parse_type,
    union_of,
)

OTHERS: Final = frozenset({"!op.kv", "!agent.token"})
"""Types of values that are no Python objects; each fits itself alone."""
_LOOSE: Final = frozenset({"Sequence", "Iterable", "Collection"})
"""What a string is no instance of here: passed as a list of strings it is a bug far more often than an intention."""
_ERROR: Final = {
    **dict.fromkeys(("code", "message", "kind"), STR),
    "bases": parse_type("tuple[str, ...]"),
}


@dataclass(frozen=True, slots=True)
class DeclaredType:
    """One ``agent.type``."""

    name: str
    kind: str
    path: str
    bases: tuple[str, ...]
    params: tuple[str, ...]
    """Names of the type variables of a generic class, which its fields mention."""
    fields: Mapping[str, str]
    schema: str

    @property
    def attributes(self) -> dict[str, object]:
        """As :meth:`orchestrator.ir.build.Builder.declare` takes it."""
        made: dict[str, object] = {"kind": self.kind, "path": self.path, "bases": self.bases, "params": self.params}
        return {**made, "fields": self.fields, "schema": self.schema}


class Subtypes:
    """The types of one module."""

    def __init__(self, declared: Mapping[str, DeclaredType]) -> None:
        self._declared = declared
        self._known: dict[tuple[Type, Type], bool] = {}
        self._bases: dict[str, frozenset[str]] = {}
        self._fields: dict[str, dict[str, Type]] = {}

    def problem(self, text: str) -> str | None:
        """Why ``text`` is no type of the module; None if it is one."""
        try:
            unknown = [name for name in parse_type(text).names() if not self.is_known(name)]
        except TypeSyntaxError as error:
            return f"`{text}` is no type: {error}"
        return f"the type `{text}` names `{unknown[0]}`, which is neither builtin nor declared" if unknown else None

    def parsed(self, text: str) -> Type:
        """The type of a text, or ``Any`` where it is none of the module's, which is reported elsewhere."""
        return ANY if self.problem(text) else parse_type(text)

    def is_known(self, name: str) -> bool:
        """Whether a name is a builtin or declared."""
        return name in self._declared or name in BUILTINS or name in WORDS

    def fits(self, source: Type, target: Type) -> bool:
        """Whether every value of the first type is one of the second."""
        if source is target or source == target:
            return True
        known = self._known.get((source, target))
        if known is None:
            self._known[source, target] = True  # of a type that mentions itself, until something else is found
            known = self._known[source, target] = self._fits(source, target)
        return known

    def _fits(self, source: Type, target: Type) -> bool:
        source, target = self.plain(source), self.plain(target)
        if source.name in OTHERS or target.name in OTHERS:
            return source == target
        if source == target or target.name in ("Any", "object") or source in (ANY, NEVER):
            return True
        if source.name == UNION:
            return all(self.fits(each, target) for each in source.args)
        if source.name == LITERAL:
            return self._literal_fits(source, target)
        if target.name == UNION:
            return any(self.fits(source, each) for each in target.args)
        return self._class_fits(source.name, target.name) and self._arguments_fit(source, target)

    def plain(self, tp: Type) -> Type:
        """Without what does not matter for what fits: metadata and aliases."""
        while True:
            declared = self._declared.get(tp.name)
            if tp.name == ANNOTATED:
                tp = tp.args[0]
            elif declared is not None and declared.kind == "alias" and not tp.args:
                tp = parse_type(declared.bases[0])
            else:
                return tp

    def is_endless(self, name: str) -> bool:
        """Whether an alias stands for nothing but itself."""
        met: set[str] = set()
        while name not in met:
            met.add(name)
            declared = self._declared.get(name)
            if declared is None or declared.kind != "alias":
                return False
            base = _parsed(declared.bases[0])
            while base.name == ANNOTATED:
                base = base.args[0]
            if base.args:
                return False
            name = base.name
        return True

    def _literal_fits(self, source: Type, target: Type) -> bool:
        if target.name == UNION:
            return all(
                any(self.fits(Type(LITERAL, (), (text,)), each) for each in target.args) for text in source.texts
            )
        if target.name == LITERAL:
            return set(source.texts) <= set(target.texts)
        return all(self.fits(Type(class_of_literal(text)), target) for text in source.texts)

    def _class_fits(self, source: str, target: str) -> bool:
        if self._kind(target) == "dict" or {source, target} & {LITERAL, GROUP, ELLIPSIS}:
            return False
        if source == "str" and target in _LOOSE:
            return False
        return self.is_a(source, target) or (target == "float" and self.is_a(source, "int"))

    def is_a(self, name: str, base: str) -> bool:
        """Whether one class is, or is derived from, another."""
        if name == base:
            return True
        if name in self._declared:
            return base in self.bases(name)
        known, wanted = BUILTINS.get(name), BUILTINS.get(base)
        return known is not None and wanted is not None and base not in self._declared and issubclass(known, wanted)

    def bases(self, name: str) -> frozenset[str]:
        """All that a declared class is derived from."""
        known = self._bases.get(name)
        if known is None:
            self._bases[name] = frozenset()  # of a class that is its own base
            found = {name}
            for base in self._declared[name].bases:
                builtin = BUILTINS.get(base) if base not in self._declared else None
                found.add(base)
                found |= self.bases(base) if base in self._declared else set()
                found |= {each for each, cls in BUILTINS.items() if builtin is not None and issubclass(builtin, cls)}
            known = self._bases[name] = frozenset(found)
        return known

    def _arguments_fit(self, source: Type, target: Type) -> bool:
        wanted = target.args
        if not wanted:
            return True
        if target.name == "tuple":
            return self._tuple_fits(source.args or (ANY, Type(ELLIPSIS)), wanted)
        if source.name == "tuple":
            item = self.element(source)
            return item is not None and self.fits(item, wanted[0])
        given = source.args or (ANY,) * len(wanted)
        return len(given) == len(wanted) and all(map(self.fits, given, wanted))

    def _tuple_fits(self, given: tuple[Type, ...], wanted: tuple[Type, ...]) -> bool:
        if wanted[-1].name == ELLIPSIS:
            return all(self.fits(item, wanted[0]) for item in given if item.name != ELLIPSIS)
        if given[-1].name == ELLIPSIS:
            return given[0] == ANY
        return len(given) == len(wanted) and all(map(self.fits, given, wanted))

    # What is in a value

    def element(self, tp: Type) -> Type | None:
        """What a list, tuple or set contains; None for anything else."""
        tp = self.plain(tp)
        if tp == ANY:
            return ANY
        if any(self.is_a(tp.name, name) for name in ("str", "bytes", "Mapping")) or not self.is_a(tp.name, "Iterable"):
            return None
        arguments = [each for each in tp.args if each.name != ELLIPSIS]
        return union_of(arguments) if arguments else None if self._kind(tp.name) == "record" else ANY

    def fields(self, tp: Type) -> Mapping[str, Type] | None:
        """The attributes of a record, by name; of a union those that all members have."""
        tp = self.plain(tp)
        if tp.name == UNION:
            each = [self.fields(member) for member in tp.args]
            known = [fields for fields in each if fields is not None]
            if len(known) < len(each):
                return None
            return {n: union_of([fields[n] for fields in known]) for n in known[0] if all(n in one for one in known)}
        if tp.name == "Error" and tp.name not in self._declared:
            return _ERROR
        return self._fields_of_record(tp) if self._kind(tp.name) == "record" else None

    def _fields_of_record(self, tp: Type) -> Mapping[str, Type]:
        """The fields of a class; those of a generic one with its arguments in the place of its variables."""
        found, declared = self._parsed_fields(tp.name), self._declared.get(tp.name)
        if declared is None or not declared.params:
            return found
        given = {**dict.fromkeys(declared.params, ANY), **dict(zip(declared.params, tp.args, strict=False))}
        return {name: _substituted(each, given) for name, each in found.items()}

    def item(self, tp: Type, key: int | str) -> Type | None:  # noqa: PLR0911 - a case each
        """The type of ``value[key]``; None if there is no such item."""
        tp = self.plain(tp)
        if tp == ANY:
            return ANY
        arguments = tp.args
        if isinstance(key, str) or self.is_a(tp.name, "Mapping"):
            if self._kind(tp.name) == "dict":
                return self._parsed_fields(tp.name).get(str(key)) if isinstance(key, str) else None
            if not self.is_a(tp.name, "Mapping"):
                return None
            wanted = STR if isinstance(key, str) else Type("int")
            if not arguments:
                return ANY if isinstance(key, str) else None
            return arguments[1] if self.fits(wanted, arguments[0]) else None
        if self.is_a(tp.name, "str"):
            return STR
        if tp.name == "tuple" and arguments and arguments[-1].name != ELLIPSIS:
            return arguments[key] if -len(arguments) <= key < len(arguments) else None
        return self.element(tp) if self.is_a(tp.name, "Sequence") else None

    def holds(self, tp: Type, value: object) -> bool:  # noqa: PLR0911 - a case each
        """Whether JSON may be a constant of the type, as far as that can be told without its class."""
        tp = self.plain(tp)
        if tp.name == UNION:
            return any(self.holds(each, value) for each in tp.args)
        if tp.name == LITERAL:
            members = [text for text in tp.texts if class_of_literal(text) in self._declared]
            return bool(members) or repr(value) in tp.texts
        test = _OF_JSON.get(tp.name) if tp.name not in self._declared else None
        if test is None:
            return True
        if not test(value):
            return False
        if isinstance(value, list) and tp.name != "tuple" and len(tp.args) == 1:
            return all(self.holds(tp.args[0], each) for each in value)
        if isinstance(value, dict) and len(tp.args) == 2:
            return all(self.holds(tp.args[1], each) for each in value.values())
        return True

    def _kind(self, name: str) -> str:
        declared = self._declared.get(name)
        return "class" if declared is None else declared.kind

    def _parsed_fields(self, name: str) -> dict[str, Type]:
        known = self._fields.get(name)
        if known is None:
            read = {field: _parsed(text) for field, text in self._declared[name].fields.items()}
            known = self._fields[name] = read
        return known


def _substituted(tp: Type, given: Mapping[str, Type]) -> Type:
    if not tp.args:
        return given.get(tp.name, tp)
    return replace(tp, args=tuple(_substituted(each, given) for each in tp.args))


def _parsed(text: str) -> Type:
    """Of a field, whose type is not checked until something takes it."""
    try:
        return parse_type(text)
    except TypeSyntaxError:
        return Type(text)


def _number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


_OF_JSON: Final[dict[str, Callable[[Any], bool]]] = {
    "str": lambda value: isinstance(value, str),
    "int": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "float": _number,
    "bool": lambda value: isinstance(value, bool),
    NONE.name: lambda value: value is None,
    **dict.fromkeys(("list", "tuple", "set", "frozenset", "Sequence"), lambda value: isinstance(value, list)),
    **dict.fromkeys(("dict", "Mapping"), lambda value: isinstance(value, dict)),
    "Never": lambda value: value is None,
    "Chat": lambda _: False,
}
