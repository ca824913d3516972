"""A stage on its way through the cluster: what policies may see of it, and what the engine does with it."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from orchestrator.planner.simulate.program import Program, Stage

if TYPE_CHECKING:
    from orchestrator.planner.simulate.progress import ProgramRun


class Request:
    """One model call. The first group of attributes is its :class:`~orchestrator.planner.policies.view.RequestView`;
    with the properties it is a :class:`~orchestrator.planner.simulate.retention.TurnView` too."""

    __slots__ = (
        "admitted_s",
        "cached_tokens",
        "computed",
        "context_at_join",
        "deadline_s",
        "finish_step",
        "first_token_s",
        "gate",
        "generated",
        "hit_tokens",
        "home",
        "ids",
        "joined_step",
        "key",
        "model",
        "output_tokens",
        "place",
        "predicted_output_tokens",
        "predicted_s",
        "preemptions",
        "prefix_ids",
        "private_blocks",
        "program",
        "prompt_tokens",
        "quota",
        "ready_s",
        "remaining_s",
        "run",
        "sequence",
        "slot",
        "stage",
        "started_s",
        "step",
        "target",
        "unit_blocks",
        "unit_tokens",
        "units",
        "work_s",
    )

    def __init__(
        self, run: ProgramRun, place: int, *, sequence: int, ready_s: float, output_tokens: float, predicted_s: float,
        remaining_s: float,
    ) -> None:  # fmt: skip
        program: Program = run.program
        stage: Stage = program.stages[place]
        self.run = run
        self.stage = stage
        self.place = place
        self.sequence = sequence
        self.program: int = program.id
        self.step: str = stage.step
        self.model: str = stage.model
        self.prompt_tokens: int = stage.prompt_tokens
        self.predicted_output_tokens = output_tokens
        self.predicted_s = predicted_s
        self.remaining_s = remaining_s
        self.ready_s = ready_s
        self.started_s: float = program.arrival_s
        self.deadline_s: float = program.arrival_s + program.slo_s
        self.home: int | None = None
        self.prefix_ids = stage.prefix_ids[: stage.prompt_tokens // stage.unit_tokens]

        self.output_tokens: int = stage.output_tokens
        self.quota = stage.output_tokens
        """Tokens to write where it is: one on a prefill replica."""
        self.unit_tokens: int = stage.unit_tokens
        self.ids = stage.prefix_ids
        self.unit_blocks = 0
        self.key = 0.0
        self.work_s = 0.0
        self.target = stage.prompt_tokens
        """Tokens whose KV must exist before the next one can be generated: more than the prompt after a preemption."""
        self.computed = 0
        """Tokens of ``target`` whose KV exists."""
        self.generated = 0
        self.units = 0
        """Leading prefix units it holds."""
        self.private_blocks = 0
        self.joined_step = 0
        self.context_at_join = 0
        self.finish_step = -1
        self.slot = 0
        self.admitted_s = -1.0
        self.first_token_s = -1.0
        self.preemptions = 0
        self.hit_tokens = 0
        self.cached_tokens = -1
        """Prompt tokens found cached when it was first admitted, as its reply says; -1: not yet."""
        self.gate = -1
        """Index of the replica whose gate it passed or waits at; -1: none."""

    @property
    def session(self) -> str:
        """Which conversation it is a turn of."""
        return f"{self.run.number}/{self.stage.session}"

    @property
    def workflow(self) -> str:
        """The workflow of its program."""
        return self.run.program.workflow

    @property
    def turns_left(self) -> int:
        """Turns of the session after it."""
        return len(self._later)

    @property
    def next_tool(self) -> str:
        """The tool before the next turn."""
        return self._later[0].tool if self._later else ""

    @property
    def max_tokens(self) -> int:
        """Tokens its reply will have."""
        return self.output_tokens

    @property
    def pause_s(self) -> float:
        """What the tool before the next turn takes."""
        return self._later[0].tool_s if self._later else inf

    @property
    def _later(self) -> list[Stage]:
        stages = self.run.program.stages[self.place + 1 :]
        return [stage for stage in stages if stage.session == self.stage.session]
