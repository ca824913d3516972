"""What a tool does to its arguments stays with it."""

from __future__ import annotations

from collections import ChainMap, Counter, OrderedDict, UserDict, UserList, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pytest
from pydantic import BaseModel, ConfigDict, PrivateAttr

from orchestrator import map_, tool, workflow
from orchestrator.errors import RunError
from orchestrator.runtime.values.by_value import by_value
from orchestrator.testing import fake


class Basket(BaseModel):
    owner: str
    items: list[str] = []
    _note: str = "private"


@dataclass
class Link:
    name: str
    others: list[Link] = field(default_factory=list)


@dataclass(slots=True)
class Slotted:
    names: set[str]


@tool
def put(items: list[str], name: str) -> list[str]:
    items.append(name)
    return items


@tool(effects="idempotent")
def fill(basket: Basket, name: str) -> Basket:
    basket.items.append(name)
    return basket


@tool(effects="pure")
def load(name: str) -> list[str]:
    return [name]


def test_equal_constants_and_merged_calls_stay_apart() -> None:
    empty: list[str] = []
    shared = Basket(owner="ü", items=["x"])

    @workflow
    def flow(name: str) -> list[Any]:
        loaded = load(name)
        changed = [put(loaded, "1"), put(load(name), "2"), put(empty, "3"), put(empty, "4")]
        return [loaded, *changed, fill(shared, "5").items, fill(shared, "6").items]

    empty_before = list(empty)
    with fake():
        found = flow("a")
        shared.items.append("later")
    assert found == [["a"], ["a", "1"], ["a", "2"], ["3"], ["4"], ["x", "5"], ["x", "6"]]
    assert (empty, shared.items) == (empty_before, ["x", "later"])


class Rows(list[Any]):
    """Has something to say beside its items, and counts what is put in."""

    def __init__(self, items: list[Any], title: str) -> None:
        super().__init__(items)
        self.title = title

    def append(self, item: Any) -> None:
        super().append(item)
        self.title += "+"


class Settings(dict[str, Any]):
    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key.lower(), value)


class Names(set[str]):
    pass


class Latest(deque[Any]):
    __slots__ = ("since",)


class Ordered(OrderedDict[str, Any]):
    pass


class Grouped(defaultdict[str, Any]):
    pass


class Raw(bytearray):
    pass


def test_containers_of_the_users_own_classes_are_copied_as_what_they_are() -> None:
    inner = [1]
    made: list[Any] = [Rows([inner, {"a": inner}], "t"), Settings(K=inner), Names("ab"), Latest([inner], maxlen=1)]
    made += [Ordered(b=1, a=[2]), Grouped(list, a=[1]), Raw(b"x")]
    dict.__setitem__(made[1], "AsIs", inner)
    made[3].since = "noon"
    copies = by_value(made)
    assert [type(each) for each in copies] == [Rows, Settings, Names, Latest, Ordered, Grouped, Raw]
    assert copies == made
    assert all(each is not copied for each, copied in zip(made, copies, strict=True))
    assert (copies[0].title, copies[3].maxlen, copies[3].since) == ("t", 1, "noon")
    assert list(copies[4].items()) == [("b", 1), ("a", [2])]
    assert copies[5]["new"] == []
    assert copies[0][0] is copies[0][1]["a"] is copies[1]["AsIs"] is copies[3][0] is not inner
    copies[0].append(2)
    copies[0][0].append(3)
    copies[2].add("c")
    assert (inner, len(made[0]), made[0].title, made[2]) == ([1], 2, "t", {"a", "b"})


class Shelf(list[Any]):
    """Beside its items it has a list in its attributes, and another one in a slot."""

    __slots__ = ("__dict__", "_hidden")

    def __init__(self, *items: Any) -> None:
        super().__init__(items)
        self.tags = list(items)
        self._hidden = self.tags


@dataclass
class Row(dict[str, Any]):
    name: str
    cells: list[int] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Stack(deque[Any]):
    tags: list[str]


class Point(tuple[Any, ...]):
    """A tuple that is more than that."""

    tags: list[str]


@dataclass
class Wrong(Exception):
    hints: list[str]


def test_what_containers_have_beside_their_items_is_copied_too() -> None:
    shelf = Shelf("a")
    (copied,) = by_value([shelf])
    copied.tags.append("b")
    assert copied == shelf == ["a"]
    assert copied._hidden is copied.tags
    assert shelf.tags == shelf._hidden == ["a"]


def test_containers_that_are_dataclasses_are_copied_as_both() -> None:
    row, stack = Row("ü", [1]), Stack(["x"])
    row["k"] = row.cells
    deque.append(stack, row)
    of_row, of_stack = by_value([row, stack])
    assert of_stack[0] is of_row is not row
    assert of_row["k"] is of_row.cells is not row.cells
    of_row.cells.append(2)
    of_stack.tags.append("y")
    of_row.clear()
    assert (row.name, row.cells, dict(row), stack.tags) == ("ü", [1], {"k": [1]}, ["x"])


def test_tuples_of_the_users_own_classes_are_copied_for_what_they_hold() -> None:
    point = Point([[1], "a"])
    point.tags = ["x"]
    copied = by_value(point)
    copied[0].append(2)
    copied.tags.append("y")
    assert type(copied) is Point
    assert (point, point.tags) == (([1], "a"), ["x"])


@pytest.mark.parametrize("make", [lambda inner: UserDict(a=inner), lambda inner: UserList([inner]), ChainMap])
def test_containers_that_wrap_others_are_copied_with_them(make: Any) -> None:
    inner = {"x": [1]}
    value = make(inner)
    copied = by_value(value)
    inner["x"].append(2)
    assert type(copied) is type(value)
    assert copied == make({"x": [1]})


def test_a_dataclass_that_only_another_class_can_make_is_handed_over() -> None:
    wrong = Wrong(["hint"])
    assert by_value([wrong])[0] is wrong


def test_tuples_that_share_tuples_are_gone_through_once() -> None:
    shared: Any = ("x",)
    for _ in range(100):
        shared = (shared, shared)
    assert by_value([shared])[0] is shared


@dataclass(frozen=True)
class Sealed:
    items: list[str]


def test_what_a_frozen_dataclass_holds_may_change_too() -> None:
    @tool(effects="idempotent")
    def stuff(box: Sealed, name: str) -> Sealed:
        box.items.append(name)
        return box

    @workflow
    def flow(box: Sealed) -> list[Sealed]:
        return [stuff(box, "1"), stuff(box, "2"), box]

    with fake():
        assert flow(Sealed([])) == [Sealed(["1"]), Sealed(["2"]), Sealed([])]


def test_each_item_and_the_caller_have_their_own() -> None:
    @workflow
    def flow(names: list[str], given: list[str]) -> list[list[str]]:
        return map_(lambda name: put(given, name), names, limit=5)

    given = ["g"]
    with fake():
        assert flow(["a", "b"], given) == [["g", "a"], ["g", "b"]]
    assert given == ["g"]


def test_each_attempt_has_its_own() -> None:
    seen: list[list[str]] = []

    @tool(effects="idempotent", retry=3)
    def flaky(items: list[str]) -> int:
        items.append("half done")
        seen.append(list(items))
        if len(seen) < 3:
            raise OSError
        return len(items)

    @workflow
    def flow(name: str) -> int:
        return flaky(load(name))

    with fake():
        assert flow("a") == 2
    assert seen == [["a", "half done"]] * 3


def test_structure_is_kept() -> None:
    link = Link("a")
    link.others.append(link)
    twice = ["t"]
    value = [link, twice, twice, (twice, 1), {"k": Slotted({"s"})}]
    copy = by_value(value)
    assert copy[0].others[0] is copy[0]
    assert copy[0] is not link
    assert copy[1] is copy[2] is copy[3][0]
    assert copy[1] is not twice
    copy[4]["k"].names.add("new")
    assert value[4]["k"].names == {"s"}  # type: ignore[index]
    assert by_value(Basket(owner="o"))._note == "private"


@pytest.mark.parametrize("value", [object(), open, RunError("ORCH-R001", "x"), frozenset({1}), range(3), "text", None])
def test_what_nobody_can_copy_is_handed_over(value: object) -> None:
    assert by_value(value) is value
    assert by_value([value])[0] is value


class Pair(NamedTuple):
    name: str
    items: list[str]


@pytest.mark.parametrize(
    "make",
    [
        lambda inner: Pair("a", inner),
        lambda inner: deque([inner], maxlen=3),
        lambda inner: defaultdict(list, a=inner),
        lambda inner: OrderedDict(a=inner),
        lambda inner: (Pair("a", inner),),
    ],
)
def test_the_containers_of_the_standard_library_are_copied_with_what_they_hold(make: Any) -> None:
    inner = ["x"]
    value = make(inner)
    copied = by_value(value)
    inner.append("y")
    assert copied == make(["x"])
    assert type(copied) is type(value)
    assert getattr(copied, "maxlen", None) == getattr(value, "maxlen", None)


@pytest.mark.parametrize("value", [bytearray(b"x"), Counter("aab")])
def test_flat_containers_are_copied(value: Any) -> None:
    copied = by_value(value)
    assert copied == value
    assert copied is not value


@dataclass(frozen=True)
class Crate:
    items: list[str]
    inner: Crate | None = None


@dataclass(frozen=True)
class Price:
    cents: int


@dataclass(frozen=True, eq=False)
class Handle:
    open_files: list[str]


def test_a_frozen_dataclass_that_cannot_change_or_is_told_by_identity_is_handed_over() -> None:
    for shared in (Price(3), Handle([])):
        assert by_value([shared])[0] is shared


def test_a_frozen_dataclass_that_holds_itself_is_copied_once() -> None:
    basket = Crate([])
    basket.items.append(basket)  # type: ignore[arg-type]
    mine = by_value(basket)
    assert mine is not basket
    assert mine.items[0] is mine


@pytest.mark.parametrize("wrap", [lambda x: [x], lambda x: {"next": x}, lambda x: Crate([], x), lambda x: (1, [x])])
def test_depth_does_not_matter(wrap: Callable[[Any], Any]) -> None:
    value: Any = None
    for _ in range(50_000):
        value = wrap(value)
    mine = by_value(value)
    assert mine is not value
    assert type(mine) is type(value)
    unwound = 0
    while mine is not None and value is not None:
        unwound += 1
        mine, value = (_inside(each) for each in (mine, value))
    assert mine is value is None
    assert unwound >= 50_000


def _inside(value: Any) -> Any:
    if isinstance(value, Crate):
        return value.inner
    return value["next"] if isinstance(value, dict) else value[-1]


def test_tuples_within_tuples_have_a_code_where_they_are_too_deep() -> None:
    value: Any = ()
    for _ in range(50_000):
        value = (value,)
    with pytest.raises(RunError) as caught:
        by_value(value)
    assert caught.value.code == "ORCH-R049"
    while value:  # which would be freed by recursion
        (value,) = value


class Roomy(BaseModel):
    model_config = ConfigDict(extra="allow")
    name: str
    _seen: list[str] = PrivateAttr(default_factory=list)


def test_what_a_model_has_besides_its_fields_is_its_own_too() -> None:
    given = Roomy.model_validate({"name": "a", "tags": ["x"]})
    given._seen.append("y")
    copied: Any = by_value(given)
    copied.tags.append("z")
    copied._seen.append("z")
    assert (given.model_extra, given._seen) == ({"tags": ["x"]}, ["y"])
