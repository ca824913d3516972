"""Where the model calls of one run go whose op the plan spreads over several engines.

The first call of an op picks, by what the engines are owed of the calls of all runs
(:mod:`orchestrator.runtime.engines.shares`). The run's later calls of that op stay, as the KV that they may find is
there, and a call that continues a conversation goes where that is. An engine that does not answer leaves its calls to
the others.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from orchestrator.errors import EngineError
from orchestrator.runtime.kv.replicas import DEAD, FAILING, ReplicaSet
from orchestrator.runtime.program.program import Program
from orchestrator.runtime.program.specs import Generate, Prefetch
from orchestrator.runtime.services import Engines

_GONE: Final = DEAD | FAILING


class Spread:
    """See the module's docstring."""

    def __init__(self, program: Program, engines: Engines) -> None:
        self._program = program.hash
        self._engines = engines
        self._homes: dict[str, str] = {}
        """It has the engine of the first call of each op."""

    def pick(
        self, op: str, spec: Generate, model: str, conversation: str | None, tried: Collection[str] = ()
    ) -> tuple[str, ReplicaSet]:
        """The engine of a call of ``model`` that continues a conversation at an engine, if there is one; not one that
        was ``tried``, if there is another. Raises ORCH-R008."""
        if not spec.shares:
            return self._engines.pick(spec.engine, model)
        offered = self._offered(spec, tried)
        name = self._home(op, spec, conversation, offered)
        self._engines.deficits(self._program, op, spec.shares).took(name, offered)
        self._homes[op] = name
        return self._engines.pick(name, model)

    def ahead(self, spec: Prefetch, model: str, conversation: str | None) -> tuple[str, ReplicaSet]:
        """The engine of the call that a prefetch is for, which will go there."""
        if not spec.shares:
            return self._engines.pick(spec.engine, model)
        name = self._home(spec.call, spec, conversation, self._offered(spec))
        self._homes.setdefault(spec.call, name)
        return self._engines.pick(name, model)

    def may_move(self, spec: Generate, engine: str, error: EngineError, tried: Collection[str]) -> bool:
        """Whether a call that failed at an engine before anything of its reply came goes to another one."""
        if all(name in tried for name, _ in spec.shares):
            return False
        if self._engines.has_started(engine):
            return error.code in _GONE
        self._engines.by_name[engine].down()  # it did not start, and need not be tried at each call
        return True

    def _offered(self, spec: Generate | Prefetch, tried: Collection[str] = ()) -> list[str]:
        """Those of the op's engines that answer; all where none does."""
        known = [name for name, _ in spec.shares if name in self._engines.by_name] or [spec.shares[0][0]]
        left = [name for name in known if name not in tried] or known
        return [name for name in left if self._answers(name)] or left

    def _answers(self, name: str) -> bool:
        engine = self._engines.by_name.get(name)
        return engine is not None and engine.answers

    def _home(self, op: str, spec: Generate | Prefetch, conversation: str | None, offered: Collection[str]) -> str:
        for home in (conversation, self._homes.get(op)):
            if home is not None and home in offered:
                return home
        return self._engines.deficits(self._program, op, spec.shares).next(offered)
