from __future__ import annotations

from math import inf

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.runtime.kv.hints import SESSION_ARGUMENT, KvHint
from orchestrator.runtime.kv.wire import request_arguments, ttl_asked_s

times = st.lists(st.floats(0, 1e6) | st.just(inf), max_size=33).map(lambda each: tuple(sorted(each)))


def test_a_request_without_session_and_hint_carries_nothing() -> None:
    assert request_arguments(None, None) == {}


@given(pause_s=times, session=st.none() | st.text(min_size=1, max_size=20))
def test_arguments_can_be_read_back(pause_s: tuple[float, ...], session: str | None) -> None:
    hint = KvHint(program="run-7", features=("table=big",), pause_s=pause_s, prefetch=True)
    arguments = request_arguments(session, hint)
    assert KvHint.from_args(arguments) == hint
    assert arguments.get(SESSION_ARGUMENT) == session
    assert all(isinstance(each, str | int | float | list) for each in arguments.values())  # vLLM takes no others


@given(pause_s=times, pin_ttl_s=st.none() | st.floats(0, 1e3))
def test_a_message_never_asks_for_more_than_the_compiler_allows_or_for_ever(
    pause_s: tuple[float, ...], pin_ttl_s: float | None
) -> None:
    ttl_s = ttl_asked_s(KvHint(pause_s=pause_s, pin_ttl_s=pin_ttl_s))
    if not pause_s:
        assert ttl_s == pin_ttl_s
        return
    assert ttl_s is not None
    assert 0 <= ttl_s < inf
    assert pin_ttl_s is None or ttl_s <= pin_ttl_s


def test_a_pause_that_will_hardly_end_is_not_waited_for() -> None:
    assert ttl_asked_s(KvHint(pause_s=(1.0, 2.0, inf, inf))) == 2.0
    assert ttl_asked_s(KvHint(pause_s=(1.0, inf, inf, inf))) == 0.0
    assert ttl_asked_s(KvHint(pause_s=tuple(float(each) for each in range(1, 11)))) == 9.0
