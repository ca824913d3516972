"""Loading a model takes minutes and cannot be stopped: it has a thread of its own, and the event loop goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import TypeVar

T = TypeVar("T")


async def loaded(load: Callable[[], T], drop: Callable[[T], object]) -> T:
    """What ``load`` returns or raises. Where nobody waits for it any more, ``drop`` gets it as soon as it is there.

    The thread is a daemon: a process that ends does not wait for it.
    """
    made: list[T] = []
    """Apart from the future, which would keep it until a garbage collection."""
    over: Future[None] = Future()
    over.set_running_or_notify_cancel()

    def work() -> None:
        try:
            made.append(load())
            over.set_result(None)
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            over.set_exception(error)

    def give_up(_: Future[None]) -> None:
        if made:
            drop(made.pop())

    Thread(target=work, name="orch-vllm-load", daemon=True).start()
    try:
        await asyncio.wrap_future(over)
        return made.pop()
    except asyncio.CancelledError:
        over.add_done_callback(give_up)
        raise
