"""Where a command keeps runs, and the command that goes on with one."""

from __future__ import annotations

import os
import shlex
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from orchestrator.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

Command = TypeVar("Command", bound=Callable[..., Any])

VARIABLE: Final = "ORCH_STORE"
OFF: Final = "off"
_DIGEST: Final = 40
"""Characters of what a key of several runs has behind it at most."""

store_option = click.option(
    "--store", metavar="URL", help=f"Where runs are kept: a file or a URL; default: .orch/runs.db ({VARIABLE})."
)


def keeping_options(command: Command) -> Command:
    """``--store``, ``--ephemeral``, ``--run-id`` and ``--key``."""
    for option in (
        click.option("--key", metavar="TEXT", help="What has this key is started once; again, it goes on."),
        click.option("--run-id", metavar="ID", help="A name of your own for the run."),
        click.option("--ephemeral", is_flag=True, help="Keep the run nowhere."),
        store_option,
    ):
        command = option(command)
    return command


@dataclass(frozen=True, slots=True)
class Keeping:
    """Where the runs of a command are kept, and how somebody goes on with one."""

    store: str
    """Its URL or path."""
    again: Sequence[str] = ()
    """The words behind the run's id."""
    run_id: str | None = None
    key: str | None = None
    named: str | None = None
    """What ``--store`` says."""
    has_several: bool = False
    """Each run has a key of its own then, made of ``key`` and its inputs."""

    def keys(self, inputs: Sequence[Mapping[str, object]]) -> list[str | None]:
        """The key of each run, by what it is given: other ones before and behind it change nothing."""
        if self.key is None or not self.has_several:
            return [self.key] * len(inputs)
        from orchestrator.runtime.journal.value_digest import value_digest

        seen: Counter[str] = Counter()
        keys: list[str | None] = []
        for each in inputs:
            digest = value_digest(dict(each))
            seen[digest] += 1
            keys.append(f"{self.key}/{digest}" + (f".{seen[digest]}" if seen[digest] > 1 else ""))
        return keys

    def go_on(self, run_id: str, *decision: str) -> str:
        """The command that goes on with a run."""
        return of_runs("resume", run_id, *self.again, *decision, store=self.named)

    def tell(self, what: str, run_id: str, *words: str) -> str:
        """The command that tells a run something, or asks about it; it needs no workflow."""
        return of_runs(what, run_id, *words, store=self.named)


def store_url(given: str | None) -> str:
    """What ``--store`` says, else the environment, else a file below the current folder."""
    from orchestrator.runtime.journal.stores.opened import DEFAULT_URL

    _require_words({"--store": given})
    return given or _of_environment() or DEFAULT_URL


def keeping_of(
    store: str | None, *, ephemeral: bool, run_id: str | None, key: str | None, many: bool, again: Sequence[str]
) -> Keeping | None:
    """Where runs are kept, of which there may be ``many``; None for nowhere.

    Raises ``UsageError`` ORCH-U002 for options that contradict each other, and ``RunError`` ORCH-R106 for names that a
    store does not take.
    """
    from orchestrator.runtime.run_ids import require_names

    _require_words({"--store": store, "--run-id": run_id, "--key": key})
    if many and run_id:
        message = "--run-id names one run, and there may be several"
        raise UsageError("ORCH-U002", message, fix="give --key, which all of them share")
    if ephemeral or (store is None and _is_off()):
        given = {"--store": store, "--key": key, "--run-id": run_id}
        contradicting = [name for name, value in given.items() if value is not None]
        if contradicting:
            reason = "--ephemeral" if ephemeral else f"{VARIABLE}={OFF}"
            message = f"{contradicting[0]} has no meaning with {reason}, which keeps no run"
            raise UsageError("ORCH-U002", message, fix="leave one of them out")
        return None
    require_names(run_id or "a", key=key if key is None or not many else f"{key}/{'0' * _DIGEST}")
    return Keeping(store_url(store), again, run_id, key, store, many)


def _require_words(given: Mapping[str, str | None]) -> None:
    for option, value in given.items():
        if value == "":  # of a variable that is not set, most likely
            raise UsageError("ORCH-U002", f"{option} is empty", fix="leave it out, or give it a value")


def engine_words(
    model: str | None, engine: str | None, base_url: str | None, cluster: Path | None, ray: str | None = None
) -> list[str]:
    """The options that say who answers, as words of a command."""
    from orchestrator.redaction import shown

    given = {
        "--model": model,
        "--engine": engine,
        "--base-url": base_url and shown(base_url),
        "--cluster": cluster and os.fspath(cluster),
        "--ray-address": ray,
    }
    return [word for name, value in given.items() if value for word in (name, value)]


def of_runs(*words: str, store: str | None) -> str:
    """A command of ``orch runs``, as a shell takes it."""
    return shlex.join(["orch", "runs", *words, *store_words(store)])


def store_words(store: str | None) -> list[str]:
    """What ``--store`` says, without a password, as words of a command."""
    from orchestrator.redaction import shown

    return [] if store is None else ["--store", shown(store)]


def _is_off() -> bool:
    return os.environ.get(VARIABLE, "").strip().lower() == OFF


def _of_environment() -> str | None:
    return None if _is_off() else os.environ.get(VARIABLE, "").strip() or None
