"""A stage on its way through the cluster: what policies may see of it, and what the engine does with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.planner.simulate.program import Program, Stage

if TYPE_CHECKING:
    from orchestrator.planner.simulate.progress import ProgramRun


class Request:
    """One model call. The first group of attributes is its :class:`~orchestrator.planner.policies.view.RequestView`."""

    __slots__ = (
        "admitted_s",
        "computed",
        "context_at_join",
        "deadline_s",
        "finish_step",
        "first_token_s",
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
