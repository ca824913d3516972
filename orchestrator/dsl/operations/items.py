"""Items of containers: reading one, and the container that an assignment, a deletion or an append would leave."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, Any

from orchestrator.dsl.operations.applying import wrong_operand, wrong_operands
from orchestrator.dsl.operations.expressions import index
from orchestrator.dsl.operations.operands import as_value, tracer_of
from orchestrator.dsl.tracing.lifting import lift
from orchestrator.dsl.tracing.tracer import Value
from orchestrator.dsl.types.arithmetic import comparable
from orchestrator.dsl.types.bounds import Length
from orchestrator.dsl.types.kinds import class_of, is_text, items_of, key_and_value
from orchestrator.dsl.types.typing import TypeForm, assignable, join, list_of, typed_items, union

if TYPE_CHECKING:
    from collections.abc import Sequence


def item(container: object, key: object) -> Value[Any]:
    """``container[key]``, also of a list, dict or text that tracing knows, at a key that it does not."""
    return index(as_value(container, tracer_of(container, key)), key)


def appended(items: object, added: Sequence[object]) -> Value[Any]:
    """The list ``[*items, *added]``."""
    tracer = tracer_of(items, *added)
    return concat([as_value(items, tracer), lift(tracer, list(added))])


def concat(lists: Sequence[object] | Value[Any]) -> Value[Any]:
    """One list of the items of several, or of a list of lists."""
    tracer = tracer_of(*lists) if not isinstance(lists, Value) else lists._tracer
    if isinstance(lists, Value):
        inner = items_of(lists._type)
        item = None if inner is None else items_of(inner)
        if item is None:
            return wrong_operands(tracer, "joining lists", [lists])
        return tracer.builtin("concat", {"lists": lists}, list_of(item))
    return reduce(_joined, [as_value(each, tracer) for each in lists])


def _joined(first: Value[Any], second: Value[Any]) -> Value[Any]:
    tracer, tps = first._tracer, [items_of(each._type) for each in (first, second)]
    if None in tps:
        return wrong_operands(tracer, "joining lists", [first, second])
    first, second = _as_list(first), _as_list(second)
    lengths = first._length, second._length
    known = lengths[0] is not None and lengths[1] is not None
    length = Length(lengths[0].most + lengths[1].most, lengths[0].least + lengths[1].least) if known else None  # type: ignore[union-attr]
    return tracer.builtin("add", {"left": first, "right": second}, list_of(_either(tps[0], tps[1])), length)


def _as_list(value: Value[Any]) -> Value[Any]:
    """A tuple as a list, which alone can be added to one."""
    if class_of(value._type) is not tuple:
        return value
    return value._tracer.builtin("list_of", {"items": value}, list_of(items_of(value._type)), value._length)


def with_item(container: object, key: object, value: object) -> Value[Any]:
    """The list or dict after ``container[key] = value``."""
    tracer = tracer_of(container, key, value)
    whole, at, item = (as_value(each, tracer) for each in (container, key, value))
    tp = _with(whole._type, key, at._type, item._type)
    if tp is None:
        return wrong_operands(tracer, "assigning an item", [whole, at, item])
    length = whole._length if class_of(whole._type) is list else None
    return tracer.builtin("with_item", {"items": whole, "key": at, "value": item}, tp, length)


def _with(tp: TypeForm, key: object, key_type: TypeForm, value: TypeForm) -> TypeForm | None:
    """The type of a container after an assignment; None if nothing can be assigned to such a key."""
    if tp is Any:
        return Any
    if (typed := typed_items(tp)) is not None:
        return tp if isinstance(key, str) and key in typed and assignable(value, typed[key]) else None
    if class_of(tp) is list:
        item = items_of(tp)
        return list_of(_either(item, value)) if assignable(key_type, int) else None
    pair = key_and_value(tp)
    if pair is None:
        return None
    return dict[_either(pair[0], key_type), _either(pair[1], value)]  # type: ignore[misc]


def _either(first: TypeForm, second: TypeForm) -> TypeForm:
    return join(first, second) or union(first, second)


def without_item(container: object, key: object) -> Value[Any]:
    """The list or dict after ``del container[key]``, the set after ``container.remove(key)``."""
    tracer = tracer_of(container, key)
    whole, at = as_value(container, tracer), as_value(key, tracer)
    pair = key_and_value(whole._type)
    kind = class_of(whole._type)
    looked_up = pair[0] if pair is not None else items_of(whole._type) if kind is set else None
    fits = assignable(at._type, int) if looked_up is None else comparable(looked_up, at._type)
    if is_text(whole._type) or not fits or kind not in (list, dict, set, None):
        return wrong_operands(tracer, "deleting an item", [whole, at])
    if typed_items(whole._type) is not None:
        return wrong_operand(tracer, "deleting an item", whole, dict[str, Any])
    length = None if whole._length is None else Length(max(whole._length.most - 1, 0), max(whole._length.least - 1, 0))
    return tracer.builtin("without_item", {"items": whole, "key": at}, whole._type, length)
