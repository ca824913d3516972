# ruff: noqa: B015, B018 - programs as people write them
"""What code that is not compiled changes within a region is refused, for where the region does not run it is not so."""

from __future__ import annotations

import io
from collections import Counter, OrderedDict, defaultdict, deque
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from typing import Any

import pytest

from orchestrator import workflow
from orchestrator.errors import TraceError
from tests.dsl.rewrite.both import noting, same, say


class Stack:
    """An object whose methods are not compiled."""

    def __init__(self) -> None:
        self.items: list[Any] = []

    def push(self, item: Any) -> None:
        self.items.append(item)

    def __call__(self, item: Any) -> None:
        self.items.append(item)

    def __enter__(self) -> Stack:
        return self

    def __exit__(self, *raised: object) -> None:
        self.items.clear()


@dataclass
class Point:
    x: int


def _even(text: str) -> bool:
    return len(text) % 2 == 0


def _words(text: str) -> list[str]:
    return text.split()


even, words = noting(_even, effects="pure"), noting(_words, effects="pure")


def a_stream(text: str) -> str:
    made = io.StringIO()
    if even(text):
        made.write("x")
    return made.getvalue()


def a_stream_by_print(text: str) -> str:
    made = io.StringIO()
    if even(text):
        print("x", file=made)
    return made.getvalue()


def an_object_that_is_called(text: str) -> int:
    stack = Stack()
    if even(text):
        stack("x")
    return len(stack.items)


def a_context(text: str) -> int:
    stack = Stack()
    stack.push(1)
    if even(text):
        with stack:
            pass
    return len(stack.items)


def the_order_of_keys(text: str) -> list[str]:
    table = OrderedDict(a=1, b=2)
    if even(text):
        table.move_to_end("a")
    return list(table)


def a_counter(text: str) -> int:
    counts = Counter(a=1)
    if even(text):
        counts.subtract(["a"])
    return counts["a"]


def a_dict_that_makes_what_it_lacks(text: str) -> int:
    table: defaultdict[str, list[int]] = defaultdict(list)
    if even(text):
        table["a"]
    return len(table)


def a_queue_that_turns(text: str) -> int:
    queue = deque([1, 2, 3])
    if even(text):
        queue.rotate(1)
    return queue[0]


def a_partial(text: str) -> list[int]:
    xs = [3]
    add = partial(list.append, xs)
    if even(text):
        add(2)
    return xs


def a_partial_of_a_method(text: str) -> int:
    stack = Stack()
    push = partial(stack.push, 1)
    if even(text):
        push()
    return len(stack.items)


def an_attribute_by_another_way(text: str) -> int:
    point = Point(1)
    if even(text):
        object.__setattr__(point, "x", 4)
    return point.x


def an_iterator_by_a_sum(text: str) -> int:
    numbers = iter([1, 2, 3])
    if even(text):
        return sum(numbers)
    return len(list(numbers))


def an_iterator_by_join(text: str) -> list[str]:
    parts = iter(["a", "b"])
    if even(text):
        ",".join(parts)
    return list(parts)


def an_iterator_by_in(text: str) -> list[str]:
    parts = iter(["a", "b"])
    if even(text):
        "b" in parts
    return list(parts)


def an_iterator_by_extend(text: str) -> list[str]:
    xs: list[str] = []
    parts = iter(["a", "b"])
    if even(text):
        xs.extend(parts)
    return [*xs, *parts]


def an_iterator_by_names(text: str) -> list[str]:
    parts = iter(["a", "b"])
    if even(text):
        _a, _b = parts
    return list(parts)


def an_iterator_by_a_display(text: str) -> list[str]:
    parts = iter(["a", "b"])
    if even(text):
        [*parts]
    return list(parts)


def an_iterator_by_a_comprehension(text: str) -> list[str]:
    parts = iter(["a", "b"])
    made = {part: len(part) for part in parts} if even(text) else {}
    return [*made, *parts]


def an_iterator_by_any(text: str) -> list[int]:
    numbers = iter([3, 1, 2])
    if even(text):
        any(number > 2 for number in numbers)
    return list(numbers)


def an_iterator_by_a_slice(text: str) -> list[int]:
    numbers, xs = iter([1, 2]), [0]
    if even(text):
        xs[:] = numbers
    return [*xs, *numbers]


def an_iterator_by_arguments(text: str) -> int:
    numbers = iter([1, 2])

    def count(*given: int) -> int:
        return len(given)

    found = count(*numbers) if even(text) else 0
    return found + len(list(numbers))


def an_iterator_by_a_library(text: str) -> list[int]:
    numbers = iter([1, 2])
    if even(text):
        sum(islice(numbers, 1))
    return list(numbers)


def drained(items: Any) -> list[Any]:
    return list(items)


def an_iterator_by_a_function(text: str) -> list[int]:
    numbers = iter([1, 2])
    if even(text):
        drained(numbers)
    return list(numbers)


CHANGED = [
    an_iterator_by_a_comprehension, an_iterator_by_any, an_iterator_by_a_slice, an_iterator_by_arguments,
    an_iterator_by_a_library, an_iterator_by_a_function,
    a_stream, a_stream_by_print, an_object_that_is_called, a_context, the_order_of_keys, a_counter,
    a_dict_that_makes_what_it_lacks, a_queue_that_turns, a_partial, a_partial_of_a_method, an_attribute_by_another_way,
    an_iterator_by_a_sum, an_iterator_by_join, an_iterator_by_in, an_iterator_by_extend, an_iterator_by_names,
    an_iterator_by_a_display,
]  # fmt: skip


@pytest.mark.parametrize("program", CHANGED, ids=lambda program: program.__name__)
def test_a_change_of_what_is_outside_of_the_region_is_refused(program: Any) -> None:
    with pytest.raises(TraceError, match="ORCH-D052") as raised:
        workflow(program).trace()
    where = raised.value.diagnostics[0].where
    assert where is not None
    assert where.line > program.__code__.co_firstlineno
    assert raised.value.diagnostics[0].fix is not None


def a_generator_that_two_arms_share(text: str) -> int:
    numbers = (x for x in range(3))
    if even(text):
        return sum(numbers)
    return len(list(numbers))


def test_a_generator_that_two_arms_share_is_refused() -> None:
    with pytest.raises(TraceError, match="ORCH-D050"):
        workflow(a_generator_that_two_arms_share).trace()


def counted_by_values(text: str) -> dict[str, int]:
    counts: defaultdict[str, int] = defaultdict(int)
    for word in words(text):
        counts[word] += 1
    return dict(counts)


def test_a_dict_that_makes_what_it_lacks_is_no_value() -> None:
    with pytest.raises(TraceError, match="a defaultdict cannot be a value of a workflow") as raised:
        workflow(counted_by_values).trace()
    assert raised.value.diagnostics[0].code == "ORCH-D013"


def made_within(text: str) -> str:
    if even(text):
        made = io.StringIO()
        made.write("x")
        print("y", file=made)
        queue = deque([1, 2])
        queue.rotate(1)
        table: defaultdict[str, list[int]] = defaultdict(list)
        table["a"].append(1)
        counts = Counter("abca")
        counts.subtract("a")
        parts = iter(["a", "b"])
        numbers = chain([1], map(int, ["2", "3"]))
        doubled = [number * 2 for number in islice(numbers, 2)]
        doubled += [*numbers, *drained(iter([4]))]
        found = f"{len(doubled)} {sum(doubled)}"
        return f"{found} {made.getvalue()} {queue[0]} {len(table)} {counts['a']} {next(parts)} {','.join(parts)}"
    return "none"


def outside_of_any_region(text: str) -> str:
    made = io.StringIO()
    made.write(f"About {text}")
    stack = Stack()
    stack(1)
    with stack:
        stack.push(2)
    counts = Counter("abca")
    counts.subtract("a")
    numbers = iter([1, 2, 3])
    return say(f"{made.getvalue()} {len(stack.items)} {counts['a']} {next(numbers)} {sum(numbers)}")


def only_looked_at(text: str) -> int:
    counts, queue, made = Counter("abca"), deque([1, 2]), io.StringIO("text")
    if even(text):
        return counts["a"] + counts["none"] + queue.count(1) + len(made.getvalue()) + len(counts.most_common(1))
    return 0


@pytest.mark.parametrize("program", [made_within, outside_of_any_region, only_looked_at])
@pytest.mark.parametrize("text", ["", "a", "a b c"])
def test_what_nobody_could_tell_means_what_it_means_in_python(program: Any, text: str) -> None:
    same(program, text)
