"""A program under way: which stages are done, and where they ran."""

from __future__ import annotations

from orchestrator.errors import PlanError
from orchestrator.planner.simulate.program import Program


class ProgramRun:
    """Mutable state of one program, dropped when the program ends."""

    __slots__ = ("failed", "left", "number", "places", "program", "waits")

    def __init__(self, program: Program, number: int) -> None:
        """``number`` orders programs that are ready at the same time. Raises :class:`PlanError` ORCH-P065."""
        self.program = program
        self.number = number
        self.waits = [len(stage.after) for stage in program.stages]
        """Stages each stage still waits for."""
        self.places = [-1] * len(program.stages)
        """Index of the replica that ran, or runs, each stage; -1: not dispatched."""
        self.left = len(program.stages)
        self.failed = False
        for place, stage in enumerate(program.stages):
            whole = stage.prompt_tokens >= 1 and stage.output_tokens >= 1 and stage.unit_tokens >= 1
            if not whole or any(before >= place for before in stage.after):
                raise PlanError(
                    "ORCH-P065",
                    f"program {program.id}, stage {place}: {stage}",
                    why="token counts are 1 or more, and a stage waits for earlier stages only",
                    fix="correct the stage",
                )
        if not program.stages:
            raise PlanError("ORCH-P065", f"program {program.id} has no stages", fix="leave the program out")

    def unlocked(self, done: int) -> list[int]:
        """Stages that wait for nothing more now that ``done`` is."""
        ready = []
        for i in range(done + 1, len(self.waits)):
            if done in self.program.stages[i].after:
                self.waits[i] -= 1
                if not self.waits[i]:
                    ready.append(i)
        return ready
