"""Properties that are computed once, also in a process that is forked meanwhile."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass

from orchestrator.cached import cached_property


@dataclass(frozen=True)
class Square:
    side: int

    @cached_property
    def area(self) -> int:
        """What it covers."""
        counted.append(self.side)
        if self.side < 0:
            started.set()
            go_on.wait()
        return self.side**2


counted: list[int] = []
started, go_on = threading.Event(), threading.Event()


def test_it_is_computed_once_for_each_instance() -> None:
    counted.clear()
    squares = [Square(2), Square(3)]
    assert [each.area for each in squares * 2] == [4, 9, 4, 9]
    assert counted == [2, 3]
    assert Square.area.__doc__ == "What it covers."


def test_a_child_does_not_wait_for_a_thread_of_its_parent() -> None:
    computing = threading.Thread(target=lambda: Square(-1).area)
    computing.start()
    started.wait()
    child = os.fork()
    if child == 0:
        os._exit(0 if Square(5).area == 25 else 1)
    go_on.set()
    computing.join()
    assert os.waitpid(child, 0)[1] == 0
