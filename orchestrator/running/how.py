"""What a run is given besides its inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Final

from orchestrator.dsl.source.location import user_location
from orchestrator.errors import Diagnostic, RunError
from orchestrator.runtime.observe import Subscription

if TYPE_CHECKING:
    from orchestrator.dsl.declared.policy import Budget
    from orchestrator.runtime.human import Human
    from orchestrator.runtime.program.specs import Limits

    BudgetOfRun = Limits | Budget | str | None
    AnswersLike = Mapping[str, object] | Human | None

_ASK: Final = 'give {"approve": "yes"}, or an object with `async def ask(id, question, type, choices)`'


@dataclass(frozen=True, slots=True, kw_only=True)
class How:
    """The options of one run."""

    run_id: str | None = None
    key: str | None = None
    """It names the run for whoever asks for it, who may ask again."""
    budget: BudgetOfRun = None
    """It takes the place of the workflow's own budget."""
    tenant: str | None = None
    """It says on whose behalf the run is: tenants get fair shares of the engines."""
    observers: Sequence[Subscription] = ()
    answers: AnswersLike = None
    """What people say: by the id of the ``ask``, or somebody who is asked."""
    beside: Mapping[str, bool] = field(default_factory=dict)
    """What the session was offered in the same call, and whether it was given."""

    @property
    def given(self) -> dict[str, bool]:
        """What the call takes besides inputs, and whether it was given."""
        own = (each.name for each in fields(self) if each.name != "beside")
        return {**self.beside, **{name: getattr(self, name) not in (None, ()) for name in own}}

    def check(self) -> None:
        """Raise ``RunError`` ORCH-R074 with every option that makes no sense."""
        where = user_location()
        checks = (
            ("run_id", self.run_id is None or (isinstance(self.run_id, str) and self.run_id), "give a text"),
            ("key", self.key is None or (isinstance(self.key, str) and self.key), "give a text"),
            ("tenant", self.tenant is None or isinstance(self.tenant, str), "give a text"),
            ("observers", _are_observers(self.observers), "give a list of `Subscription`s"),
            ("answers", isinstance(self.answers, (Mapping, type(None))) or hasattr(self.answers, "ask"), _ASK),
        )
        wrong = [
            Diagnostic("ORCH-R074", f"a run with {name}={getattr(self, name)!r}", where, fix=fix)
            for name, is_right, fix in checks
            if not is_right
        ]
        if wrong:
            raise RunError.collect(wrong)


def _are_observers(given: object) -> bool:
    return isinstance(given, Sequence) and all(isinstance(each, Subscription) for each in given)
