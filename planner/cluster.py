"""The hardware and the serving engines a plan may use.

A :class:`Device` carries the figures of one device, all its cores included; :class:`EngineSpec` says which model is
served where and is everything a worker needs to start the engine, so it pickles. Figures come from the catalogue
(:mod:`orchestrator.planner.catalogue`), this machine (:mod:`orchestrator.planner.machine`), or a cluster file::

    [[device]]
    name = "gpu"
    type = "h100-sxm"        # a file of planner/devices; without it, give every figure here
    count = 2
    usd_per_hour = 2.49      # a figure given here overrides the catalogue's

    [[device]]
    name = "mine"
    type = "devices/mine.toml"   # a device file of your own, from the cluster file's folder
    price = "operating"          # plan with its operating price instead of its annuity

    [[engine]]
    name = "main"
    kind = "vllm"
    model = "Qwen/Qwen3-8B"
    device = "gpu"
    config = "qwen3-8b/config.json"
    options = { tensor_parallel_size = 2 }
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    SerializationInfo,
    field_serializer,
    model_validator,
)

from orchestrator.planner.token_price import TokenPrice
from orchestrator.redaction import WITH_CREDENTIALS, redacted

DeviceKind = Literal["cpu", "gpu"]
"""``gpu`` is every accelerator that serves a model from memory of its own: TPUs and Gaudis too."""
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
MOST: Final = 100_000
"""There may be so many devices alike, cores in one, and devices in a node: more is a slip of the keyboard."""
EngineKind = Literal["vllm", "openai", "sim", "scripted"]


class Device(BaseModel):
    """``count`` identical devices. Figures are of one device, and peaks: the cost model expects less."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1)
    type: str
    """Name in the catalogue, for example ``h100-sxm``."""
    kind: DeviceKind
    count: int = Field(default=1, ge=1, le=MOST)
    cores: int = Field(default=0, ge=0, le=MOST)
    """CPU cores in one device; 0 where that means nothing."""
    flops: dict[str, Positive] = Field(min_length=1)
    """Dense FLOP/s per dtype: ``bf16``, ``fp16``, ``fp32``, ``fp8``, ``fp4``, ``int8``."""
    memory_bytes: Positive
    memory_bytes_per_s: Positive
    link_bytes_per_s: Positive | None = None
    """To the peers of its node, one direction; ``None``: unknown or no peers."""
    inter_node_bytes_per_s: Positive | None = None
    """Out of the node, one direction, of one device; ``None``: unknown."""
    node_devices: int = Field(default=8, ge=1, le=MOST)
    """How many devices reach each other at ``link_bytes_per_s``: 8 on an HGX board, 72 in an NVL72 rack."""
    pcie_bytes_per_s: Positive | None = None
    """To the host's memory, one direction; ``None``: unknown."""
    power_w: Positive | None = None
    """Thermal design power; ``None``: unknown."""
    capex_usd: Positive | None = None
    operating_usd_per_hour: Positive | None = None
    annuity_usd_per_hour: Positive | None = None
    usd_per_hour: Positive | None = None
    """What plans pay: one of the two prices above (:mod:`orchestrator.planner.prices`) or a price of the user's own.
    ``None``: unknown. A free device does not exist."""
    sources: dict[str, str] = Field(default_factory=dict)
    """Where each figure comes from."""


class EngineSpec(BaseModel):
    """A serving engine: enough to start it (``runtime/engines/registry.py``) and to price it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1)
    kind: EngineKind
    model: str
    """What a workflow asks for by name; ``model="default"`` fits any engine."""
    device: str | None = None
    """Name of the cluster's device it runs on; ``None``: a remote service whose hardware is unknown."""
    options: dict[str, JsonValue] = Field(default_factory=dict)
    """Passed to the engine. The planner reads ``tensor_parallel_size`` and, of a simulated engine, its speeds."""
    config: str | None = None
    """Path of the model's Hugging Face ``config.json``; ``None``: look beside the model and in the local cache."""
    usd_per_million_input_tokens: Positive | None = None
    """Price of a service that charges by the token; ``None``: unknown."""
    usd_per_million_output_tokens: Positive | None = None
    usd_per_million_cached_input_tokens: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """Price of input that the service finds in its cache; ``None``: the full price."""

    @field_serializer("options", when_used="json")
    def _without_credentials(self, options: dict[str, JsonValue], info: SerializationInfo) -> Any:
        """Nothing that is printed or saved has them; who must tell two clusters apart asks for them."""
        return options if info.context == WITH_CREDENTIALS else redacted(options)

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        for name, value in super().__repr_args__():
            yield name, redacted(value) if name == "options" else value

    def option(self, name: str) -> JsonValue:
        """An option, whether it stands among the options or among vLLM's own arguments in ``extra``; or None."""
        extra = self.options.get("extra")
        return self.options.get(name, extra.get(name) if isinstance(extra, dict) else None)

    @property
    def token_price(self) -> TokenPrice | None:
        """What the service charges; ``None``: unknown."""
        into, out = self.usd_per_million_input_tokens, self.usd_per_million_output_tokens
        if into is None or out is None:
            return None
        cached = self.usd_per_million_cached_input_tokens
        return TokenPrice(into / 1e6, out / 1e6, (into if cached is None else cached) / 1e6)

    @model_validator(mode="after")
    def _cached_input_is_cheaper(self) -> Self:
        cached, into = self.usd_per_million_cached_input_tokens, self.usd_per_million_input_tokens
        if cached is not None and (into is None or cached > into):
            what = "there is no usd_per_million_input_tokens" if into is None else "other input costs less"
            raise ValueError(f"usd_per_million_cached_input_tokens is {cached:g}, and {what}")
        return self

    @property
    def takes_hints(self) -> bool | None:
        """Whether the engine is told which KV caches come back; None: its server is asked when it is first used."""
        if self.kind == "openai":
            told = self.options.get("kv_hints")
            return told if isinstance(told, bool) else None
        return self.kind != "vllm" or self.options.get("kv") is not False


class Cluster(BaseModel):
    """What there is to run on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    devices: tuple[Device, ...] = ()
    engines: tuple[EngineSpec, ...] = ()
    ray: bool = False
    """Whether Ray runs tools, as it does for ``orch run``; a runtime has it by ``Runner(ray=...)`` only."""
    warnings: tuple[str, ...] = ()
    """What could not be found out about the hardware; repeated in every plan."""

    @model_validator(mode="after")
    def _names_resolve(self) -> Self:
        for what, names in (
            ("devices", [device.name for device in self.devices]),
            ("engines", [engine.name for engine in self.engines]),
        ):
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"two {what} have the same name: {', '.join(twice)}")
        known = {device.name for device in self.devices}
        for engine in self.engines:
            if engine.device is not None and engine.device not in known:
                raise ValueError(f"engine {engine.name!r} runs on {engine.device!r}, which is not one of the devices")
        return self

    def device(self, name: str) -> Device:
        """The device called ``name``; ``KeyError`` when there is none."""
        for each in self.devices:
            if each.name == name:
                return each
        raise KeyError(name)

    def engine(self, name: str) -> EngineSpec:
        """The engine called ``name``; ``KeyError`` when there is none."""
        for each in self.engines:
            if each.name == name:
                return each
        raise KeyError(name)
