"""The device catalogue: ``planner/devices/*.toml``, one file a device type, each figure with its source.

A figure that is absent is unknown. A CPU's FLOP/s and bandwidth are per core; a GPU's figures are per GPU. Files of the
user's own have the same form and are named in the cluster file.

>>> load("l4").device("gpu0").memory_bytes_per_s
300000000000.0
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from orchestrator.errors import PlanError
from orchestrator.planner.cluster import Device, DeviceKind
from orchestrator.planner.datafile import parse_toml, read_text, validate
from orchestrator.planner.prices import DEFAULT_BASIS, PriceBasis, derived_annuity


class Figure(BaseModel):
    """A positive number and where it comes from."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    value: float = Field(gt=0, allow_inf_nan=False)
    source: str = Field(min_length=1)


class Count(BaseModel):
    """A positive whole number and where it comes from."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    value: int = Field(ge=1)
    source: str = Field(min_length=1)


class DeviceType(BaseModel):
    """One file of the catalogue, with the fields of :class:`~orchestrator.planner.cluster.Device`.

    Units: bytes, bytes/s (peak), FLOP/s (peak, dense), W, USD, USD per hour of one device.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    kind: DeviceKind
    nvidia_smi: tuple[str, ...]
    """Names under which ``nvidia-smi`` reports it."""
    memory_bytes: Figure | None = None
    memory_bytes_per_s: Figure
    memory_bytes_per_s_limit: Figure | None = None
    """What all cores of a CPU reach together."""
    link_bytes_per_s: Figure | None = None
    inter_node_bytes_per_s: Figure | None = None
    node_devices: Count | None = None
    pcie_bytes_per_s: Figure | None = None
    flops: dict[str, Figure] = Field(min_length=1)
    power_w: Figure | None = None
    capex_usd: Figure | None = None
    operating_usd_per_hour: Figure | None = None
    annuity_usd_per_hour: Figure | None = None
    """Absent: derived from ``capex_usd`` and ``power_w`` where both are known."""

    @property
    def annuity(self) -> Figure | None:
        """The annuity price, from the file or derived; ``None``: unknown."""
        if self.annuity_usd_per_hour:
            return self.annuity_usd_per_hour
        derived = derived_annuity(_value(self.capex_usd), _value(self.power_w))
        return Figure(value=derived[0], source=derived[1]) if derived else None

    def price(self, basis: PriceBasis) -> Figure | None:
        """One of the two prices; ``None``: unknown."""
        return self.annuity if basis == "annuity" else self.operating_usd_per_hour

    def device(self, name: str, *, count: int = 1, cores: int = 0, memory_bytes: float | None = None) -> Device:
        """A device of this type, at its default price.

        Raises :class:`PlanError` ORCH-P004 when a CPU lacks ``cores`` or ``memory_bytes``.
        """
        memory = memory_bytes or _value(self.memory_bytes)
        if memory is None or (self.kind == "cpu" and cores < 1):
            raise PlanError(
                "ORCH-P004",
                f"device {name!r} of type {self.name!r} needs `cores` and `memory_bytes`",
                why="the catalogue knows a CPU per core, not how many there are or how much memory they share",
                fix="set both in the cluster file",
            )
        scale = cores if self.kind == "cpu" else 1
        bandwidth = self.memory_bytes_per_s.value * scale
        if self.memory_bytes_per_s_limit:
            bandwidth = min(bandwidth, self.memory_bytes_per_s_limit.value)
        single = {**self._figures(), "usd_per_hour": self.price(DEFAULT_BASIS)}
        flops = {f"flops.{dtype}": figure for dtype, figure in self.flops.items()}
        known: dict[str, object] = {field: figure.value for field, figure in single.items() if figure}
        return Device.model_validate(
            {
                **known,
                "name": name,
                "type": self.name,
                "kind": self.kind,
                "count": count,
                "cores": cores,
                "flops": {dtype: figure.value * scale for dtype, figure in self.flops.items()},
                "memory_bytes": memory,
                "memory_bytes_per_s": bandwidth,
                "sources": {field: figure.source for field, figure in {**single, **flops}.items() if figure},
            }
        )

    def _figures(self) -> dict[str, Figure | Count | None]:
        """Every figure that a :class:`Device` has under the same name."""
        return {
            "memory_bytes": self.memory_bytes,
            "memory_bytes_per_s": self.memory_bytes_per_s,
            "link_bytes_per_s": self.link_bytes_per_s,
            "inter_node_bytes_per_s": self.inter_node_bytes_per_s,
            "node_devices": self.node_devices,
            "pcie_bytes_per_s": self.pcie_bytes_per_s,
            "power_w": self.power_w,
            "capex_usd": self.capex_usd,
            "operating_usd_per_hour": self.operating_usd_per_hour,
            "annuity_usd_per_hour": self.annuity,
        }


def _value(figure: Figure | None) -> float | None:
    return figure.value if figure else None


def read_device_type(path: Path) -> DeviceType:
    """Read one device file; raises :class:`PlanError` naming file and field (codes in ``datafile``)."""
    text = read_text(path)
    return validate(DeviceType, {"name": path.stem, **parse_toml(text, str(path))}, text, str(path))


@cache
def catalogue() -> dict[str, DeviceType]:
    """Every device type that ships with the planner, by name."""
    folder = Path(str(files("orchestrator.planner") / "devices"))
    return {path.stem: read_device_type(path) for path in sorted(folder.glob("*.toml"))}


def load(name: str) -> DeviceType:
    """The device type ``name``; raises :class:`PlanError` ORCH-P007 that lists the known ones."""
    known = catalogue()
    if name not in known:
        raise PlanError(
            "ORCH-P007",
            f"there is no device type {name!r}",
            fix=f"use one of {', '.join(known)}, or give every figure in the cluster file",
        )
    return known[name]
