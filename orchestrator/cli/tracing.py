"""OpenTelemetry traces of ``orch run``, by the standard environment variables; they never fail a run.

==================================  ===================================================================================
``OTEL_TRACES_EXPORTER``            ``otlp``, ``console`` (to stderr), ``none``, the name of any exporter that is
                                    installed, or several with commas
``OTEL_EXPORTER_OTLP_ENDPOINT``     where ``otlp`` sends to; alone it is enough to switch tracing on, and so is
                                    ``OTEL_EXPORTER_OTLP_TRACES_ENDPOINT``
``OTEL_EXPORTER_OTLP_PROTOCOL``     ``http/protobuf`` (default) or ``grpc``; ``…_TRACES_PROTOCOL`` comes first
``OTEL_SDK_DISABLED``               ``true``: no traces
``OTEL_SERVICE_NAME``               default: ``orchestrator``
``ORCH_TELEMETRY_CONTENT``          ``1``: prompts, replies, arguments and results too
==================================  ===================================================================================

``OTEL_RESOURCE_ATTRIBUTES``, ``OTEL_TRACES_SAMPLER``, ``OTEL_BSP_*`` and the other ``OTEL_EXPORTER_OTLP_*`` variables
are read by OpenTelemetry itself. Where the user's own code, or ``opentelemetry-instrument``, has configured a tracer
provider, that one is used.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from orchestrator.cli.screen import say
from orchestrator.errors import described
from orchestrator.redaction import Redaction, secrets_of

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

FLUSH_S: Final = 5.0
"""How long the end of a command waits for its last spans to be sent."""
_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_HEADERS: Final = ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS")
_PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_OTLP: Final = {"http/protobuf": "otlp_proto_http", "grpc": "otlp_proto_grpc"}
_PACKAGES: Final = {
    "otlp_proto_http": "opentelemetry-exporter-otlp-proto-http",
    "otlp_proto_grpc": "opentelemetry-exporter-otlp-proto-grpc",
    "zipkin": "opentelemetry-exporter-zipkin",
}
_GROUP: Final = "opentelemetry_traces_exporter"
"""Entry points of exporters, as OpenTelemetry's packages declare them."""


@contextmanager
def traced() -> Iterator[None]:
    """Record what happens within, if the environment asks for it, and send it before the end."""
    wanted = exporters_wanted()
    if not wanted:
        yield
        return
    problems = _Problems()
    with problems.listening():
        provider: TracerProvider | None = None
        try:
            provider = _installed_provider(wanted)
        except Exception as failure:  # noqa: BLE001 - a variable that OpenTelemetry refuses, mostly
            _warn(f"traces are not sent: {described(failure)}")
        try:
            yield
        finally:
            if provider is not None:
                _shut_down(provider)
            problems.tell()


def exporters_wanted() -> list[str]:
    """The names of the exporters that the environment asks for, ``otlp`` resolved by its protocol."""
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return []
    default = "otlp" if any(map(os.environ.get, _ENDPOINTS)) else "none"
    named = os.environ.get("OTEL_TRACES_EXPORTER", "").strip() or default
    names = [each.strip().lower() for each in named.split(",")]
    protocol = next((value for each in _PROTOCOLS if (value := os.environ.get(each, "").strip())), "http/protobuf")
    found = [_OTLP.get(protocol, f"otlp over {protocol}") if each == "otlp" else each for each in names]
    return list(dict.fromkeys(each for each in found if each not in ("", "none")))


def _installed_provider(wanted: list[str]) -> TracerProvider | None:
    """The provider that was made and installed; None where there is one already, or no exporter can be had."""
    from opentelemetry import trace
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource
    from opentelemetry.sdk.trace import TracerProvider

    if not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        return None
    processors = [processor for each in wanted if (processor := _processor(each)) is not None]
    if not processors:
        return None
    named = "service.name=" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "") or os.environ.get("OTEL_SERVICE_NAME")
    resource = Resource.create({} if named else {SERVICE_NAME: "orchestrator"})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    for processor in processors:
        provider.add_span_processor(processor)
    trace.set_tracer_provider(provider)
    return provider


def _processor(name: str) -> SpanProcessor | None:
    """What takes spans to an exporter; None, with a warning, where there is none of that name or it cannot be made."""
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SimpleSpanProcessor

    if name == "console":
        return SimpleSpanProcessor(ConsoleSpanExporter(out=sys.stderr))
    try:
        make = _exporter(name)
        return None if make is None else BatchSpanProcessor(make())
    except Exception as failure:  # noqa: BLE001 - the exporter is somebody else's, and a run does without it
        _warn(f"traces are not sent: the exporter `{name}` cannot be started: {type(failure).__name__}: {failure}")
        return None


def install_command(name: str) -> str | None:
    """What to do so that an exporter can be had; None where it can."""
    from importlib.metadata import entry_points

    here = {each.name for each in entry_points(group=_GROUP)} | {"console"}
    if name in here:
        return None
    if name in _PACKAGES:
        return f"pip install {_PACKAGES[name]}"
    if name.startswith("otlp over "):
        return f"{_PROTOCOLS[1]} is {' or '.join(_OTLP)}"
    return f"OTEL_TRACES_EXPORTER is one of {', '.join(sorted(here | {'otlp', 'none'}))}"


def _exporter(name: str) -> Callable[[], Any] | None:
    from importlib.metadata import entry_points

    command = install_command(name)
    if command is not None:
        _warn(f"traces are not sent: there is no exporter `{name}` here; {command}")
        return None
    (found, *_) = entry_points(group=_GROUP, name=name)
    exporter: Callable[[], Any] = found.load()
    return exporter


def _shut_down(provider: TracerProvider) -> None:
    """Send what is left, within :data:`FLUSH_S`: an exporter of a collector that is away tries for much longer."""
    sending = Thread(target=provider.shutdown, name="orch-traces", daemon=True)
    sending.start()
    sending.join(FLUSH_S)
    if sending.is_alive():
        _warn(f"the last traces could not be sent within {FLUSH_S:g} s")


class _Problems(logging.Handler):
    """What OpenTelemetry logs, told once and in one line instead of as a traceback for each batch."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._first = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the first message."""
        error = record.exc_info[1] if record.exc_info else None
        self._first = self._first or " ".join(f"{record.getMessage()} {error or ''}".split())

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take the messages of OpenTelemetry's loggers."""
        logger = logging.getLogger("opentelemetry")
        propagate, logger.propagate = logger.propagate, False
        logger.addHandler(self)
        try:
            yield
        finally:
            logger.removeHandler(self)
            logger.propagate = propagate

    def tell(self) -> None:
        """Say what went wrong, if anything did."""
        if self._first:
            _warn(f"traces: {self._first}", most=300)


def _warn(text: str, most: int | None = None) -> None:
    secrets = [each for name in _ENDPOINTS for each in secrets_of(os.environ.get(name, ""))]
    for name in _HEADERS:
        for value in (header.partition("=")[2].strip() for header in os.environ.get(name, "").split(",")):
            secrets += [value, unquote(value)]
    text = Redaction(secrets)(text)[:most]
    say(f"warning: {text}", colour="yellow")
