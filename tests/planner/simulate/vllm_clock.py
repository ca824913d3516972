"""vLLM's own scheduler with a clock: each step takes what a simulated replica's would, and no model runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from heapq import heappop, heappush
from random import Random

from vllm.v1.core.sched.scheduler import Scheduler
from vllm.v1.outputs import ModelRunnerOutput
from vllm.v1.request import Request

from orchestrator.planner.simulate.program import Program
from orchestrator.planner.simulate.speed import ReplicaSpeed
from tests.runtime.engines.vllm.schedulers import VOCABULARY, Shape, request_of

Arguments = Callable[[Program, int], Mapping[str, object]]
"""(program, place of the turn) to the request's extra arguments."""


class VllmClock:
    """Plays conversations against a scheduler, as a client would that starts at most ``cap`` at once."""

    def __init__(
        self, scheduler: Scheduler, shape: Shape, speed: ReplicaSpeed, *, shared_tokens: int = 0,
        cap: int | None = None, arguments: Arguments | None = None,
    ) -> None:  # fmt: skip
        self.scheduler = scheduler
        self.shape = shape
        self.speed = speed
        self.now = 0.0
        self.ends: dict[int, float] = {}
        self.steps = self.prefill_tokens = self.preemptions = 0
        self._shared = shared_tokens
        self._places = cap
        self._arguments = arguments
        self._line: list[Program] = []
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._made = 0
        self._turns: dict[str, tuple[Program, int, Request]] = {}
        self._decoding: set[str] = set()

    def play(self, programs: Sequence[Program]) -> None:
        """All of them, to their end."""
        for program in programs:
            self._at(program.arrival_s, lambda program=program: self._arrive(program))
        while self._events or self.scheduler.has_requests():
            if self.scheduler.get_num_unfinished_requests() == 0:
                self.now = max(self.now, self._events[0][0])
                heappop(self._events)[2]()
            while self._events and self._events[0][0] < self.now:
                heappop(self._events)[2]()
            self._step()

    def _at(self, time_s: float, what: Callable[[], None]) -> None:
        self._made += 1
        heappush(self._events, (time_s, self._made, what))

    def _arrive(self, program: Program) -> None:
        if self._places == 0:
            self._line.append(program)
            return
        if self._places is not None:
            self._places -= 1
        self._submit(program, 0, [])

    def _submit(self, program: Program, place: int, said: list[int]) -> None:
        stage = program.stages[place]
        common, own = Random("shared"), Random(f"{program.id} {place}")
        shared = 0 if place else min(self._shared, stage.prompt_tokens)
        said = said + [common.randrange(3, VOCABULARY) for _ in range(shared)]
        said += [own.randrange(3, VOCABULARY) for _ in range(stage.prompt_tokens - len(said))]
        args = None if self._arguments is None else self._arguments(program, place)
        name = f"{program.id}.{place}"
        request = request_of(self.shape, name, said, stage.output_tokens, args=args, arrival_s=self.now)
        self._turns[name] = (program, place, request)
        self.scheduler.add_request(request)

    def _step(self) -> None:
        output = self.scheduler.schedule()
        prefill = pairs = read = decodes = context = 0.0
        sampled = []
        self._decoding -= set(output.scheduled_cached_reqs.resumed_req_ids)
        for name, tokens in output.num_scheduled_tokens.items():
            request = self._turns[name][2]
            before = request.num_computed_tokens - tokens
            if name in self._decoding:
                decodes, context = decodes + 1, context + before
            else:
                prefill, pairs, read = prefill + tokens, pairs + tokens * (before + tokens / 2), read + before + tokens
            whole = request.num_computed_tokens == request.num_tokens
            if whole:
                self._decoding.add(name)
            sampled.append([Random(f"{name} {request.num_tokens}").randrange(3, VOCABULARY)] if whole else [])
        names = list(output.num_scheduled_tokens)
        if names:
            self.steps += 1
            self.prefill_tokens += int(prefill)
            self.now += self.speed.mixed_s(prefill, pairs, read, decodes, context)
        ran = ModelRunnerOutput(names, {name: at for at, name in enumerate(names)}, sampled)
        for outputs in self.scheduler.update_from_output(output, ran).values():
            for each in outputs.outputs:
                if each.finish_reason is not None:
                    self._ended(*self._turns.pop(each.request_id))

    def _ended(self, program: Program, place: int, request: Request) -> None:
        self.preemptions += request.num_preemptions
        end_s = self.now + self.speed.call_s
        if place + 1 < len(program.stages):
            said = list(request.all_token_ids)
            self._at(end_s + program.stages[place + 1].tool_s, lambda: self._submit(program, place + 1, said))
            return
        self.ends[program.id] = end_s
        self._at(end_s, self._leave)

    def _leave(self) -> None:
        if self._line:
            self._submit(self._line.pop(0), 0, [])
        elif self._places is not None:
            self._places += 1
