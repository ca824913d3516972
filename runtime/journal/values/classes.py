"""How instances of the user's classes are written: pydantic's models, dataclasses, enumerations, and classes derived
from Python's containers, texts and numbers, named tuples among them.

They are taken apart into what they hold. They are put together again without ``__init__``, ``__new__``, validators or
``model_post_init``, which have run when the value was made, may not give the same twice, and may take any time. So what
an older version of a class has stored is held against the class as it is now: a field that has been added gets its
default, and one that has none, or is not there any more, is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum, Flag
from types import MemberDescriptorType
from typing import Any, Final, Literal

from pydantic import BaseModel
from pydantic.networks import AnyUrl, PostgresDsn
from pydantic_core import PydanticUndefined

from orchestrator.errors import qualified
from orchestrator.runtime.journal.lines.secrets import SECRETS
from orchestrator.runtime.journal.values.tree import NotKeptError, NotReadError, Read, Reader, Write, Writer

Kind = Literal["model", "dataclass", "enum", "url", "named tuple", "derived"]
_HEAP: Final = 1 << 9
"""The flag of classes that are written in Python and not in C."""
_OF_PYDANTIC: Final = frozenset({"__pydantic_fields_set__", "__pydantic_extra__", "__pydantic_private__"})
_URLS: Final = tuple(
    each
    for cls in (AnyUrl, PostgresDsn)
    for each in getattr(cls, "__mro__", ())  # before pydantic 2.10 they were other names for the parsed one
    if each.__module__ == "pydantic.networks"
)
"""Classes around a parsed URL."""
_NOT_STATE: Final = frozenset({"__orig_class__"})
"""The alias by which an instance of a generic class was made, which is no part of what the instance is."""
_BARE: Final[dict[type, Callable[[Any], Any]]] = {
    str: str.__str__,
    int: int.__int__,
    float: float.__float__,
    bytes: lambda value: bytes(memoryview(value)),
    list: lambda value: [*list.__iter__(value)],
    tuple: lambda value: [*tuple.__iter__(value)],
    dict: lambda value: dict(dict.items(value)),
    set: lambda value: [*set.__iter__(value)],
    frozenset: lambda value: [*frozenset.__iter__(value)],
}
"""What may be derived from, and what it holds, without what the derived class says of it."""
_FILLED: Final[dict[type, Callable[[Any, Any], object]]] = {list: list.extend, dict: dict.update, set: set.update}
"""Those of them that are made empty first."""


def kind_of(cls: type) -> Kind | None:  # noqa: PLR0911 - a case each
    """How instances of a class are taken apart; None where nobody here can."""
    if issubclass(cls, SECRETS):
        return None
    if issubclass(cls, Enum):
        return "enum"
    base = _base(cls)
    if base is BaseModel:
        return "model" if _slots(cls) <= _OF_PYDANTIC else None
    if is_dataclass(cls):
        return "dataclass" if base is object else None
    if _URLS and issubclass(cls, _URLS):
        return "url"
    if base is tuple and hasattr(cls, "_field_defaults"):
        return "named tuple"
    return "derived" if base in _BARE else None


def _base(cls: type) -> type | None:
    """The class that says how instances are laid out in memory, where all behind it is written in Python."""
    while cls is not object and cls is not BaseModel and cls not in _BARE:
        if not cls.__flags__ & _HEAP or cls.__base__ is None:
            return None
        cls = cls.__base__
    return cls


def _slots(cls: type) -> frozenset[str]:
    return frozenset(
        name for each in cls.__mro__ for name, held in vars(each).items() if type(held) is MemberDescriptorType
    )


def form_of(cls: type, tag: str, *, is_lean: bool = False) -> tuple[Write, Read]:
    """How instances of a class are written and read. ``is_lean`` leaves out what is as by default, and is for classes
    whose defaults never change. Raises :class:`NotKeptError` where there is no way."""
    kind = kind_of(cls)
    if kind is None:
        raise NotKeptError(f"a value of class `{qualified(cls)}`, which is no data")
    return _dataclass(cls, tag, is_lean=is_lean) if kind == "dataclass" else _FORMS[kind](cls, tag)


# Models


def _model(cls: Any, tag: str) -> tuple[Write, Read]:
    """The fields by name; a list of these, the names that were set, the extra and the private ones, where one of the
    latter is not as usual."""
    names: dict[str, Any] = cls.model_fields
    in_order, usual, has_extra = tuple(names), frozenset(names), cls.model_config.get("extra") == "allow"
    private: dict[str, Any] = cls.__private_attributes__

    def write(w: Writer, value: Any, depth: int) -> Any:
        held = value.__dict__
        if tuple(held) != in_order:  # a cached property, which is computed again; or a field is not there
            if missing := names.keys() - held.keys():
                raise NotKeptError(f"a `{qualified(cls)}` without {_listed(missing)}")
            held = {name: held[name] for name in names}
        tree = w.fields(held, depth)
        given, extra, own = value.__pydantic_fields_set__, value.__pydantic_extra__, value.__pydantic_private__
        if given == usual and not extra and not own:
            return {tag: tree}
        return {tag: [tree, *w.items((sorted(given), extra, own), depth)]}

    def read(r: Reader, held: Any) -> Any:
        is_usual = type(held) is dict
        data = r.fields(held if is_usual else held[0])
        given, extra, own = (set(data), None, None) if is_usual else r.items(held[1:])
        if data.keys() != names.keys():
            data = _as_now(cls, data, names, lambda name: _default(names[name], data))
        made = object.__new__(cls)
        put = object.__setattr__
        put(made, "__dict__", data)
        put(made, "__pydantic_fields_set__", set(given))
        put(made, "__pydantic_extra__", (extra or {}) if has_extra else None)
        put(made, "__pydantic_private__", _private(private, own or {}) if private else None)
        return made

    return write, read


def _default(field: Any, data: Mapping[str, Any]) -> Any:
    if field.is_required():
        raise _NoDefaultError
    if getattr(field, "default_factory_takes_validated_data", False):
        return field.get_default(call_default_factory=True, validated_data=dict(data))
    return field.get_default(call_default_factory=True)


def _private(attributes: Mapping[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    if own.keys() >= attributes.keys():
        return own
    added = {name: each.get_default() for name, each in attributes.items() if name not in own}
    return own | {name: value for name, value in added.items() if value is not PydanticUndefined}


# Dataclasses


def _dataclass(cls: Any, tag: str, *, is_lean: bool) -> tuple[Write, Read]:
    """The fields by name; a list of these and of further attributes, where there are any."""
    known = {each.name: each for each in fields(cls)}
    slots, in_order = _slots(cls), tuple(known)
    usual = {name: made for name, each in known.items() if (made := _usual(each)) is not MISSING} if is_lean else {}
    skipped = _NOT_STATE | {
        name for each in cls.__mro__ for name, held in vars(each).items() if type(held).__name__ == "cached_property"
    }

    def write(w: Writer, value: Any, depth: int) -> Any:
        state = _attributes(value)
        if tuple(state) == in_order and not is_lean:
            return {tag: w.fields(state, depth)}
        own: dict[str, Any] = {}
        for name, field in known.items():
            each = state.pop(name, MISSING)
            if each is MISSING:
                if field.default is MISSING:
                    raise NotKeptError(f"a `{qualified(cls)}` without `{name}`")
            elif name not in usual or type(each) is not type(usual[name]) or each != usual[name]:
                own[name] = each
        more = {name: each for name, each in state.items() if name not in skipped} if state else None
        tree = w.fields(own, depth)
        return {tag: [tree, w.fields(more, depth)]} if more else {tag: tree}

    return write, _reading_dataclass(cls, known, slots)


def _reading_dataclass(cls: type, known: Mapping[str, Any], slots: frozenset[str]) -> Read:
    def read(r: Reader, held: Any) -> Any:
        more: dict[str, Any] = {}
        if type(held) is list:
            held, more = held[0], r.fields(held[1])
        data = r.fields(held)
        if data.keys() != known.keys():
            data = _as_now(cls, data, known, lambda name: _added(known[name], name in slots))
        made: Any = object.__new__(cls)
        _put(made, data | more if more else data, slots)
        return made

    return read


def _attributes(value: Any) -> dict[str, Any]:
    """What is in the ``__dict__`` and the slots of an instance."""
    state: Any = object.__getstate__(value)
    if type(state) is tuple:
        return {**(state[0] or {}), **(state[1] or {})}
    return dict(state or {})


def _put(made: Any, attributes: Mapping[str, Any], slots: frozenset[str]) -> None:
    """Give an instance its attributes, whatever its class does when one is set."""
    if not slots:
        vars(made).update(attributes)
        return
    for name, each in attributes.items():
        object.__setattr__(made, name, each)


def _usual(field: Any) -> Any:
    return field.default_factory() if field.default_factory is not MISSING else field.default


def _added(field: Any, is_slot: bool) -> Any:
    """The default of a field that has been added; ``MISSING`` where its class has it."""
    if field.default is not MISSING and not is_slot:
        return MISSING
    made = _usual(field)
    if made is MISSING:
        raise _NoDefaultError
    return made


class _NoDefaultError(Exception):
    """A field without a default."""


def _as_now(cls: type, data: dict[str, Any], known: Iterable[str], default: Callable[[str], Any]) -> dict[str, Any]:
    """What is stored, with the defaults of fields that have been added to the class since."""
    names = set(known)
    if gone := data.keys() - names:
        raise NotReadError(f"`{qualified(cls)}` had {_listed(gone)} when it was stored, and has not any more")
    complete = {}
    for name in known:
        try:
            each = data[name] if name in data else default(name)
        except _NoDefaultError:
            why = f"`{qualified(cls)}` had no `{name}` when it was stored, and there is no default for it"
            raise NotReadError(why) from None
        if each is not MISSING:
            complete[name] = each
    return complete


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names))


# Others


def _enum(cls: Any, tag: str) -> tuple[Write, Read]:
    """The name of the member; of flags, of which several may be set, the value."""
    if issubclass(cls, Flag):
        return (lambda w, value, depth: {tag: w.tree(value.value, depth)}), lambda r, held: cls(r.value(held))
    members = cls.__members__

    def read(_r: Reader, held: str) -> Any:
        if held not in members:
            raise NotReadError(f"`{qualified(cls)}` has no member `{held:.100}` any more")
        return members[held]

    return (lambda _w, value, _depth: {tag: value.name}), read


def _url(cls: Any, tag: str) -> tuple[Write, Read]:
    def read(r: Reader, held: Any) -> Any:
        made = object.__new__(cls)
        made._url = r.value(held)
        return made

    return (lambda w, value, depth: {tag: w.tree(value._url, depth)}), read


def _named_tuple(cls: Any, tag: str) -> tuple[Write, Read]:
    """The fields by name."""
    names, defaults = cls._fields, cls._field_defaults

    def default(name: str) -> Any:
        if name not in defaults:
            raise _NoDefaultError
        return defaults[name]

    def write(w: Writer, value: Any, depth: int) -> Any:
        return {tag: w.fields(dict(zip(names, tuple.__iter__(value), strict=True)), depth)}

    def read(r: Reader, held: dict[str, Any]) -> Any:
        data = r.fields(held)
        if tuple(data) != names:
            data = _as_now(cls, data, names, default)
        return tuple.__new__(cls, data.values())

    return write, read


def _derived(cls: type, tag: str) -> tuple[Write, Read]:
    """What it holds, and a dict of its attributes where it has any."""
    base = _base(cls)
    assert base is not None
    bare, slots = _BARE[base], _slots(cls)

    def write(w: Writer, value: Any, depth: int) -> Any:
        attributes = _attributes(value)
        held = bare(value)
        tree = w.items(held, depth) if type(held) is list else w.tree(held, depth)
        return {tag: [tree, w.fields(attributes, depth)] if attributes else [tree]}

    def read(r: Reader, held: list[Any]) -> Any:
        data = r.items(held[0]) if base in _LISTED else r.value(held[0])
        new: Any = base.__new__
        if base in _FILLED:
            made = new(cls)
            _FILLED[base](made, data)
        else:
            made = new(cls, data)
        if len(held) > 1:
            _put(made, r.fields(held[1]), slots)
        return made

    return write, read


_LISTED: Final = frozenset({list, tuple, set, frozenset})
_FORMS: Final[dict[Kind, Callable[[Any, str], tuple[Write, Read]]]] = {
    "model": _model,
    "enum": _enum,
    "url": _url,
    "named tuple": _named_tuple,
    "derived": _derived,
}
