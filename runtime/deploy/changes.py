"""What another layout would change: which replicas start, which stop, and which serve on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from orchestrator.runtime.deploy.layout import EngineGroup, Layout


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of one group: replicas that are ``kept`` serve on without a break."""

    group: str
    before: EngineGroup | None
    after: EngineGroup | None

    @property
    def kept(self) -> int:
        """Replicas that stay as they are."""
        if self.before is None or self.after is None or self.before.fingerprint != self.after.fingerprint:
            return 0
        return min(self.before.replicas, self.after.replicas)

    @property
    def started(self) -> int:
        """Replicas that are started."""
        return (self.after.replicas if self.after else 0) - self.kept

    @property
    def stopped(self) -> int:
        """Replicas that are drained and stopped."""
        return (self.before.replicas if self.before else 0) - self.kept

    @property
    def why(self) -> str:
        """What differs, in words; empty for nothing."""
        if self.before is None:
            return "new"
        if self.after is None:
            return "no longer planned"
        if self.before.fingerprint != self.after.fingerprint:
            return ", ".join(_differences(self.before, self.after))
        if self.before.replicas != self.after.replicas:
            return f"replicas {self.before.replicas} -> {self.after.replicas}"
        return ""

    def as_dict(self) -> dict[str, object]:
        """A JSON-ready form."""
        counts = {"kept": self.kept, "started": self.started, "stopped": self.stopped}
        return {"engine": self.group, **counts, "why": self.why}


def changes(before: Layout | None, after: Layout) -> list[Change]:
    """What becomes of each group, unchanged ones included; ``before`` is None where nothing runs."""
    old: Mapping[str, EngineGroup] = {} if before is None else before.by_name
    new = after.by_name
    return [Change(name, old.get(name), new.get(name)) for name in {**new, **old}]


def _differences(before: EngineGroup, after: EngineGroup) -> Iterator[str]:
    one, other = (_flat(each.model_dump(mode="json", exclude={"replicas"})) for each in (before, after))
    for name in {**one, **other}:
        if one.get(name) != other.get(name):
            yield f"{name} {_shown(one.get(name))} -> {_shown(other.get(name))}"


def _flat(data: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in data.items():
        if isinstance(value, dict):
            found |= _flat(value, "" if name in ("engine", "options", "extra", "reserved") else f"{name}.")
        else:
            found[f"{prefix}{name}"] = value
    return found


def _shown(value: object) -> str:
    return "none" if value is None else str(value)
