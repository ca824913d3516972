"""The bound on active programs follows what is evicted."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from math import inf

from orchestrator.runtime.kv.admission import AdmissionControl, AdmissionOptions, CapOptions
from orchestrator.runtime.kv.cap import AdaptiveCap


def turn(control: AdmissionControl, program: str, *, cached: int, tokens: int = 1000, now_s: float = 0.0) -> None:
    control.used(program, "s" + program, input_tokens=tokens, cached_tokens=cached, output_tokens=10)
    control.end(program, now_s)


def test_nothing_is_decided_until_a_decrease_has_taken_effect() -> None:
    cap = AdaptiveCap(CapOptions(decrease=0.5))

    def lossy_round(held: float) -> bool:
        cap.observe(1000, 0)
        return [cap.turn_over(4, held, 0) for _ in range(4)][-1]

    cap.turn_over(4, 4000.0, 0)
    assert lossy_round(4000.0)
    assert cap.tokens == 2000.0
    assert not lossy_round(4000.0)  # more is held than the bound allows
    assert not lossy_round(2000.0)
    assert cap.tokens == 2000.0
    assert lossy_round(2000.0)


def test_loss_lowers_the_bound_and_the_youngest_give_way() -> None:
    control = AdmissionControl(AdmissionOptions(CapOptions(programs=8, decrease=0.5)))
    names = [f"p{i}" for i in range(8)]
    for i, name in enumerate(names):
        assert control.request(name, 0.0, arrival_s=float(i))
    for name in names:
        turn(control, name, cached=0)
    for _ in range(2):
        for name in names:
            if control.holds(name):
                assert control.request(name, 1.0)
                turn(control, name, cached=100)
    state = control.state
    assert state.cap_tokens < 8 * 1010
    assert state.held_tokens <= state.cap_tokens
    assert [control.holds(name) for name in names] == [True] * state.active + [False] * (8 - state.active)
    assert 1 <= state.active < 8


def test_without_loss_or_waiting_nothing_changes() -> None:
    control = AdmissionControl()
    for _ in range(100):
        assert control.request("a", 0.0)
        turn(control, "a", cached=990)
    assert (control.state.cap_programs, control.state.cap_tokens) == (8.0, inf)


def test_the_bound_doubles_while_programs_wait_and_nothing_is_lost() -> None:
    control = AdmissionControl(AdmissionOptions(CapOptions(programs=2)))
    names = [f"p{i}" for i in range(64)]
    running = [name for name in names if control.request(name, 0.0)]
    assert len(running) == 2
    for _ in range(8):
        for name in running:
            turn(control, name, cached=990)
        running += control.admitted()
        for name in running:
            if control.holds(name):
                control.request(name, 1.0)
    assert control.active == 64


def test_an_engine_that_reports_no_cached_tokens_is_not_limited_in_the_end() -> None:
    control = AdmissionControl()
    ready = _agents(control, 20)
    assert _hits_in(control, ready, room=0, turns=120) == 0
    assert control.cap.open
    assert control.active == 20
    _hits_in(control, ready, room=100, turns=600)
    assert not control.cap.open  # tried again after a while, and now there is a cache
    assert control.active == 20


def test_losses_that_fewer_programs_do_not_cure_are_not_held_against_them() -> None:
    """A balancer sends every second turn to a server that does not know the session."""
    control = AdmissionControl()
    limited = 0
    turns = 4000
    for _ in _turns(control, _agents(control, 20), turns, lambda _, i: i % 2 == 0):
        limited += control.active < 20
    assert limited < 0.2 * turns


def test_an_engine_that_evicts_everything_is_not_taken_for_one_that_reports_nothing() -> None:
    """Twelve programs under LRU with room for four: each finds nothing, until fewer run at once."""
    control = AdmissionControl(AdmissionOptions(CapOptions(programs=16)))
    assert _hits_in(control, _agents(control, 12), room=4, turns=400) > 200
    assert not control.cap.open
    assert control.active <= 5


def _agents(control: AdmissionControl, count: int) -> list[str]:
    """Agents that always have a next turn; those that may run."""
    return [name for i in range(count) if control.request(name := f"p{i}", 0.0, arrival_s=float(i))]


def _turns(control: AdmissionControl, ready: list[str], turns: int, hits: Callable[[str, int], bool]) -> Iterator[bool]:
    """Serve agents of 1,000 tokens round robin; whether each turn found its KV."""
    for i in range(turns):
        name = ready.pop(0)
        hit = hits(name, i)
        turn(control, name, cached=960 if hit else 0, now_s=float(i))
        ready += control.admitted()
        if control.request(name, float(i), arrival_s=float(name[1:])):
            ready.append(name)
        ready += control.admitted()
        yield hit


def _hits_in(control: AdmissionControl, ready: list[str], *, room: int, turns: int) -> int:
    """How many of the turns are hits in an LRU cache for ``room`` agents."""
    cache: OrderedDict[str, None] = OrderedDict()

    def hits(name: str, _: int) -> bool:
        hit = name in cache
        cache[name] = None
        cache.move_to_end(name)
        if len(cache) > room:
            cache.popitem(last=False)
        return hit

    return sum(_turns(control, ready, turns, hits))


def test_room_that_an_engine_tells_is_used_from_the_start() -> None:
    control = AdmissionControl()
    control.cap.room(40_000)
    admitted = [control.request(f"p{i}", 0.0, tokens=1000) for i in range(30)]
    assert admitted == [True] * 20 + [False] * 10  # twice their prompts, more than slow start begins with
    for i in range(20):
        turn(control, f"p{i}", cached=0, tokens=3000, now_s=1.0)
    assert control.active == 20  # they grew, and nothing was lost so far
    control.finish("p0", 2.0)
    assert control.admitted() == ()
