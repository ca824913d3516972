"""What a scheduler may expect of a stage before it runs: the mean of the same step so far, never the truth.

Of each step of each workflow a :class:`StepHistory` keeps the mean reply length and the mean time from the end of that
step to the end of the program (stages alone on an average replica, tools included). It learns from finished programs
only. :class:`NoisyTruth` is the same interface with a prediction as good as one likes, to measure what better ones
would be worth.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import NamedTuple, Protocol

from orchestrator.planner.simulate.program import Program, Stage, remaining_path_s

AloneSeconds = Callable[[Program, Stage, float], float]
"""(program, stage, output tokens) to seconds alone on an average replica of the stage's model."""


class Prediction(NamedTuple):
    """What is expected of one stage."""

    output_tokens: float
    remaining_s: float
    """It is the time from its end to the end of the program."""


class Predictor(Protocol):
    """Predicts, and learns from programs that are done."""

    def predict(self, program: Program, place: int, alone_s: AloneSeconds) -> Prediction:
        """What to expect of stage ``place``."""

    def learn(self, program: Program, alone_s: AloneSeconds) -> None:
        """Take note of a finished program."""


class _Mean:
    __slots__ = ("count", "output_tokens", "remaining_s")

    def __init__(self) -> None:
        self.count = 0
        self.output_tokens = 0.0
        self.remaining_s = 0.0


class StepHistory:
    """Means per (workflow, step). ``output_tokens`` is expected of a step never seen."""

    def __init__(self, output_tokens: float = 256.0) -> None:
        self._unseen = Prediction(output_tokens, 0.0)
        self._means: dict[tuple[str, str], _Mean] = {}

    def predict(self, program: Program, place: int, alone_s: AloneSeconds) -> Prediction:
        """The means of the step so far."""
        mean = self._means.get((program.workflow, program.stages[place].step))
        return self._unseen if mean is None else Prediction(mean.output_tokens, mean.remaining_s)

    def learn(self, program: Program, alone_s: AloneSeconds) -> None:
        """Update the means of all its steps."""
        stages = program.stages
        if len(stages) == 1:
            self._update((program.workflow, stages[0].step), stages[0].output_tokens, 0.0)
            return
        seconds = [alone_s(program, stage, stage.output_tokens) for stage in stages]
        for stage, remaining_s in zip(stages, remaining_path_s(stages, seconds), strict=True):
            self._update((program.workflow, stage.step), stage.output_tokens, remaining_s)

    def _update(self, key: tuple[str, str], output_tokens: float, remaining_s: float) -> None:
        mean = self._means.get(key)
        if mean is None:
            mean = self._means[key] = _Mean()
        mean.count += 1
        mean.output_tokens += (output_tokens - mean.output_tokens) / mean.count
        mean.remaining_s += (remaining_s - mean.remaining_s) / mean.count


class NoisyTruth:
    """The truth times a log-normal error of median 1 and spread ``sigma`` (0: an oracle)."""

    def __init__(self, sigma: float, seed: int) -> None:
        self._sigma = sigma
        self._random = Random(seed)

    def predict(self, program: Program, place: int, alone_s: AloneSeconds) -> Prediction:
        """The truth, disturbed."""
        stages = program.stages
        seconds = [alone_s(program, stage, stage.output_tokens) for stage in stages]
        error = self._random.lognormvariate(0.0, self._sigma) if self._sigma else 1.0
        return Prediction(stages[place].output_tokens * error, remaining_path_s(stages, seconds)[place] * error)

    def learn(self, program: Program, alone_s: AloneSeconds) -> None:
        """Nothing to learn."""
