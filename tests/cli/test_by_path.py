"""What is inside an op is found by its path, whatever else is under way."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.cli.by_path import ByPath
from orchestrator.runtime.journal.events import is_within

steps = st.sampled_from(["a", "a_1", "a_10", "é"])
frames = st.lists(st.tuples(steps, st.sampled_from(["[0]", "[1]", ".b", "#2[0]", "#2.b"])), max_size=3)
paths = st.builds(lambda outer, op: "".join(f"{name}{index}/" for name, index in outer) + op, frames, steps)


@given(st.sets(paths), st.sets(paths), paths)
def test_it_finds_what_a_look_at_everything_finds(begun: set[str], ended: set[str], op: str) -> None:
    under_way: ByPath[tuple[str]] = ByPath()
    for path in begun:
        under_way.add(path, (path,))
    for path in ended:
        under_way.remove(path, (path,))
    left = begun - ended
    assert set(under_way) == {(path,) for path in left}
    assert set(under_way.within(op)) == {(path,) for path in left if is_within(path, op)}
