"""docs/python.md: every block runs, as it stands, on a fake in place of the engines that it names."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.testing import fake

PAGE = (Path(__file__).parents[2] / "docs" / "python.md").read_text(encoding="utf-8")
FLOW, *BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S)
SERVICE = next(each for each in BLOCKS if "FastAPI(" in each)
TESTS = next(each for each in BLOCKS if "import pytest" in each)
DRAFT = {"subject": "Your invoice", "body": "It is in the attachment, and we are sorry for the delay."}
REPLIES = {"topic": "an invoice", "draft": DRAFT}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "flow.py").write_text(FLOW, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    sys.modules.pop("flow", None)  # another test may have left its own
    yield tmp_path
    sys.modules.pop("flow", None)


def execute(folder: Path, block: str) -> dict[str, Any]:
    file = folder / "block.py"
    file.write_text(block, encoding="utf-8")
    space: dict[str, Any] = {"__name__": "block", "__file__": str(file)}
    exec(compile(block, str(file), "exec"), space)
    return space


@pytest.mark.parametrize("number", [n for n, each in enumerate(BLOCKS) if each not in (SERVICE, TESTS)])
def test_a_block_runs(folder: Path, number: int, capsys: pytest.CaptureFixture[str]) -> None:
    with fake(REPLIES) as engine:
        space = execute(folder, BLOCKS[number])
    assert {each.op for each in engine.requests} == {"topic", "draft"}
    printed = capsys.readouterr().out
    assert "Your invoice" in printed or [each.subject for each in space["replies"]] == ["Your invoice"] * 3


def test_there_are_blocks() -> None:
    assert len(BLOCKS) == 6


async def test_the_service_answers_and_streams(folder: Path) -> None:
    pytest.importorskip("fastapi")
    httpx = pytest.importorskip("httpx")
    with fake(REPLIES):
        app = execute(folder, SERVICE)["app"]
        client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service")
        async with app.router.lifespan_context(app), client:
            answer = await client.post("/reply", params={"mail": "Where is it?"})
            assert answer.json() == DRAFT
            streamed = await client.post("/reply/events", params={"mail": "Where is it?"})
    assert streamed.headers["content-type"].startswith("text/event-stream")
    *parts, last, end = streamed.text.split("\n\n")
    assert end == ""
    assert last.removeprefix("event: result\ndata: ") == json.dumps(DRAFT, separators=(",", ":"))
    values = [json.loads(part.removeprefix("data: ")) for part in parts]
    assert values[-1] == DRAFT
    assert all(DRAFT["body"].startswith(each.get("body", "")) for each in values)


async def test_a_client_of_the_service_that_goes_away_cancels_its_run(folder: Path) -> None:
    pytest.importorskip("fastapi")
    began, ended = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    async def hang(messages: object) -> str:
        loop.call_soon_threadsafe(began.set)
        try:
            await asyncio.sleep(3600)
        finally:
            loop.call_soon_threadsafe(ended.set)
        return "never"

    asked = iter([{"type": "http.request", "body": b"", "more_body": False}])

    async def receive() -> dict[str, object]:
        for each in asked:
            return each
        await began.wait()
        return {"type": "http.disconnect"}

    async def send(message: object) -> None:
        pass

    scope = {
        "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1", "method": "POST",
        "path": "/reply/events", "raw_path": b"/reply/events", "query_string": b"mail=x", "headers": [],
        "scheme": "http", "server": ("service", 80), "client": ("client", 1), "root_path": "",
    }  # fmt: skip
    with fake({"topic": hang, "draft": DRAFT}):
        app = execute(folder, SERVICE)["app"]
        async with app.router.lifespan_context(app):
            await app(scope, receive, send)
            await asyncio.wait_for(ended.wait(), 30)


def test_the_tests_pass(folder: Path) -> None:
    (folder / "test_flow.py").write_text(TESTS, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_flow.py"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout
