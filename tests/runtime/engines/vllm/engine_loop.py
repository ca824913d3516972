"""``EngineCore`` 's busy loop around a scheduler and a worker without a model, with a clock that the test turns.

The synchronous loop schedules, executes and updates; the overlapped one keeps two batches in flight, as
``EngineCore.step_with_batch_queue`` does. Every step is checked: see :mod:`tests.runtime.engines.vllm.pool_checks`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final

from vllm.v1.core.sched.output import SchedulerOutput
from vllm.v1.core.sched.scheduler import Scheduler
from vllm.v1.outputs import ModelRunnerOutput
from vllm.v1.request import Request, RequestStatus

from tests.runtime.engines.vllm.fake_worker import FakeWorker, greedy
from tests.runtime.engines.vllm.pool_checks import check_content, check_pins, check_pool, pins_are_kept
from tests.runtime.engines.vllm.schedulers import Shape

IN_FLIGHT: Final = 2
FOREVER_S: Final = 1e10


class Stuck(AssertionError):
    """Requests wait, and the engine makes no progress."""


class Clock:
    """Seconds, turned by hand."""

    def __init__(self, now_s: float = 1000.0) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s


class EngineLoop:
    """One engine. ``step_s`` passes with every step, or what it says of a step's output; ``checked`` says how many
    steps pass between checks."""

    def __init__(
        self,
        scheduler: Scheduler,
        shape: Shape,
        *,
        step_s: float | Callable[[SchedulerOutput], float] = 0.01,
        checked: int = 1,
    ) -> None:
        self.scheduler = scheduler
        self.shape = shape
        self.clock = Clock()
        if pins_are_kept(scheduler):
            scheduler.clock = self.clock
        self._step_s = step_s if callable(step_s) else lambda output: step_s
        self.checked = checked
        self.worker = FakeWorker(shape)
        self.steps = 0
        self.answers: dict[str, list[int]] = {}
        self.finished: dict[str, Request] = {}
        self.on_schedule: Callable[[SchedulerOutput], None] = lambda output: None
        self._known: dict[str, Request] = {}
        self._in_flight: deque[tuple[SchedulerOutput, ModelRunnerOutput]] = deque()
        self._prefixes: dict[bytes, int] = {}
        self._named: dict[str, int] = {}
        self._scheduled_s = self.clock.now_s

    def submit(self, request: Request) -> None:
        """A request arrives."""
        self._known[request.request_id] = request
        self.answers[request.request_id] = []
        self.scheduler.add_request(request)

    def abort(self, names: str | Iterable[str], status: RequestStatus = RequestStatus.FINISHED_ABORTED) -> None:
        """A client is gone, or the engine gives the request up."""
        for name in [names] if isinstance(names, str) else list(names):
            self._known.pop(name, None)
            self.scheduler.finish_requests(name, status)

    @property
    def busy(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.scheduler.has_requests() or self._in_flight)

    @property
    def live(self) -> list[str]:
        """Requests that have neither ended nor been aborted."""
        return list(self._known)

    def step(self) -> list[str]:
        """One turn of the loop; returns the requests that ended in it."""
        before = set(self.finished)
        if self.scheduler.has_requests():
            output = self._schedule()
            self._in_flight.appendleft((output, self.worker.execute(output)))
            if self.shape.overlapped and len(self._in_flight) < IN_FLIGHT and output.total_num_scheduled_tokens:
                self._checks()
                return []
        if self._in_flight:
            output, ran = self._in_flight.pop()
            self.clock.now_s += self._step_s(output)
            self._update(output, ran)
        self._checks()
        return [name for name in self.finished if name not in before]

    def drain(self, most_steps: int | None = None) -> None:
        """Step until everything has ended; raises :class:`Stuck`."""
        limit = most_steps or 200 + 8 * sum(self._steps_alone(request) for request in self._known.values())
        while self.busy:
            self.step()
            limit -= 1
            if limit < 0:
                raise Stuck(f"{self.live} after {self.steps} steps: {self._state()}")
        assert not self._known, f"the engine is idle, and {self.live} never ended"

    def settle(self) -> None:
        """Let all TTLs pass, and the engine notice."""
        self.clock.now_s += FOREVER_S
        self._schedule()
        self._checks()

    def _schedule(self) -> SchedulerOutput:
        self._scheduled_s = self.clock.now_s
        output = self.scheduler.schedule()
        self.on_schedule(output)
        return output

    def _steps_alone(self, request: Request) -> int:
        return request.max_tokens + -(-request.num_prompt_tokens // self.shape.block_tokens) + 2

    def _update(self, output: SchedulerOutput, ran: ModelRunnerOutput) -> None:
        for outputs in self.scheduler.update_from_output(output, ran).values():
            for each in outputs.outputs:
                request = self._known.get(each.request_id)
                if request is None:
                    continue
                self.answers[each.request_id] += each.new_token_ids
                if each.finish_reason is not None:
                    self._end(request)

    def _end(self, request: Request) -> None:
        name = request.request_id
        del self._known[name]
        self.finished[name] = request
        sampling = request.sampling_params
        assert sampling is not None
        expected = greedy(self.shape, request.prompt_token_ids or [], request.max_tokens, sampling.stop_token_ids or ())
        assert self.answers[name] == expected == list(request.output_token_ids), f"{name} has a wrong answer"

    def _checks(self) -> None:
        self.steps += 1
        self._name_prefixes()
        if self.steps % self.checked:
            return
        check_pool(self.scheduler)
        check_pins(self.scheduler, self._scheduled_s)
        check_content(self.scheduler, self.worker, self._prefixes)

    def _name_prefixes(self) -> None:
        """Learn which prefix each block hash stands for."""
        for name, row in self.worker.rows.items():
            request = self._known.get(name) or self.finished.get(name) or self.scheduler.requests.get(name)
            if request is None:
                continue
            for at in range(self._named.get(name, 0), len(request.block_hashes)):
                self._prefixes[request.block_hashes[at]] = int(row.prefixes[(at + 1) * self.shape.block_tokens - 1])
            self._named[name] = len(request.block_hashes)

    def _state(self) -> dict[str, Any]:
        scheduler = self.scheduler
        return {
            "running": [request.request_id for request in scheduler.running],
            "waiting": [request.request_id for request in scheduler.waiting],
            "free": scheduler.kv_cache_manager.block_pool.get_num_free_blocks(),
        }
