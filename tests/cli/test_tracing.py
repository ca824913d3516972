"""Traces by the standard environment variables."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from orchestrator.cli import tracing
from orchestrator.cli.tracing import exporters_wanted

FLOW = """
from orchestrator import llm, tool, workflow

@tool(effects="idempotent")
def shout(text: str) -> str:
    return text.upper()

@workflow
def greet(name: str) -> str:
    return shout(llm(f"Say hello to {name}", max_tokens=8))
"""
RUN = (
    "from orchestrator.cli import tracing; tracing.FLUSH_S = {flush_s}; from orchestrator.cli.main import main; main()"
)


@pytest.mark.parametrize(
    ("variables", "names"),
    [
        ({}, []),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}, []),
        ({"OTEL_TRACES_EXPORTER": "console", "OTEL_SDK_DISABLED": "TRUE"}, []),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}, ["otlp_proto_http"]),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://x"}, ["otlp_proto_http"]),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, ["otlp_proto_grpc"]),
        (
            {
                "OTEL_TRACES_EXPORTER": "otlp",
                "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
                "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
            },
            ["otlp_proto_http"],
        ),
        ({"OTEL_TRACES_EXPORTER": " console, otlp,console "}, ["console", "otlp_proto_http"]),
    ],
)
def test_the_standard_variables_say_where_traces_go(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], names: list[str]
) -> None:
    for each in list(os.environ):
        if each.startswith("OTEL_"):
            monkeypatch.delenv(each)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert exporters_wanted() == names


def orch(folder: Path, *, flush_s: float = 60.0, **variables: str) -> subprocess.CompletedProcess[str]:
    (folder / "greet.py").write_text(FLOW)
    quiet = {"ORCH_LEARNED": "off", "ORCH_CALIBRATION": "off"}
    env = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")} | quiet | variables
    command = [sys.executable, "-c", RUN.format(flush_s=flush_s), "run", "greet.py", "Ada", "--engine", "sim"]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=120, check=False)


def test_the_console_exporter_leaves_stdout_to_the_result(tmp_path: Path) -> None:
    ended = orch(tmp_path, OTEL_TRACES_EXPORTER="console", OTEL_SERVICE_NAME="greeter")
    assert ended.returncode == 0
    assert ended.stdout.strip().startswith("[SIMULATED]")
    for said in ('"chat simulated"', '"execute_tool shout"', '"invoke_workflow greet"', '"greeter"'):
        assert said in ended.stderr
    assert "prompt" not in ended.stderr


class Collector(BaseHTTPRequestHandler):
    """Takes what an OTLP exporter sends."""

    def do_POST(self) -> None:
        taken = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.taken.append((self.path, taken))  # type: ignore[attr-defined]
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        del format, args


@pytest.fixture
def collector() -> Iterator[HTTPServer]:
    server = HTTPServer(("127.0.0.1", 0), Collector)
    server.taken = []  # type: ignore[attr-defined]
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def test_spans_reach_a_collector_before_the_command_ends(tmp_path: Path, collector: HTTPServer) -> None:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="the OTLP exporter is no dependency of ours")
    ended = orch(tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{collector.server_port}")
    assert (ended.returncode, "trace" in ended.stderr) == (0, False), ended.stderr
    ((path, taken),) = collector.taken  # type: ignore[attr-defined]
    assert path == "/v1/traces"
    assert b"invoke_workflow greet" in taken
    assert b"orchestrator" in taken


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        (
            {"OTEL_TRACES_EXPORTER": "jaeger"},
            "there is no exporter `jaeger` here; OTEL_TRACES_EXPORTER is one of console",
        ),
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "pip install opentelemetry-exporter-zipkin"),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "smoke"}, "http/protobuf or grpc"),
        (
            {"OTEL_TRACES_EXPORTER": "console", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": "-3"},
            "traces are not sent: ValueError: OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT",
        ),
    ],
)
def test_traces_that_cannot_be_had_are_a_warning(tmp_path: Path, variables: dict[str, str], said: str) -> None:
    ended = orch(tmp_path, **variables)
    assert ended.returncode == 0
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_collector_that_is_away_costs_a_warning_and_little_time(tmp_path: Path) -> None:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="the OTLP exporter is no dependency of ours")
    ended = orch(tmp_path, flush_s=0.2, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9")
    assert ended.returncode == 0
    assert "the last traces could not be sent within 0.2 s" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_warning_about_traces_shows_no_credential(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://me:hush@collector:4318")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Basic%20hush=hush,x-tenant=team")
    problems = tracing._Problems()
    with problems.listening():
        said = "http://me:hush@collector:4318 refused Basic hush=hush (Basic%20hush=hush)"
        logging.getLogger("opentelemetry.sdk").warning(said)
    problems.tell()
    assert capsys.readouterr().err == "warning: traces: http://***@collector:4318 refused *** (***)\n"
