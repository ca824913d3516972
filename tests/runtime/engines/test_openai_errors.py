"""What an endpoint can do wrong, and the coded error for each; the endpoint is a few lines of HTTP."""

from __future__ import annotations

import asyncio
import json
import socket
import traceback
from typing import Any

import pytest

from orchestrator.dsl.models.messages import Message
from orchestrator.errors import EngineError
from orchestrator.runtime.engines.base import GenerateRequest, Sampling, complete
from orchestrator.runtime.engines.endpoint import statuses
from orchestrator.runtime.engines.errors import NO_SYSTEM, is_transient
from orchestrator.runtime.engines.openai import OpenAIEngine, OpenAIOptions
from tests.runtime.engines.answering import JSON, Answer, chunk, said, serving, usage

HTML = {"content-type": "text/html"}


def stream(*events: bytes, **headers: str) -> Answer:
    return 200, {"content-type": "text/event-stream", **headers}, b"".join(events)


def event(value: Any) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


async def failure(
    url: str, *, temperature: float | None = None, seed: int | None = None, **options: Any
) -> EngineError:
    options = {"key_env": "NO_SUCH_KEY", "timeout_s": 10.0, "patience_s": 0.0, "kv_hints": False, **options}
    engine = OpenAIEngine("remote", "m", OpenAIOptions(base_url=url, **options))
    await engine.start()
    sampling = Sampling(temperature=temperature, seed=seed)
    with pytest.raises(EngineError) as caught:
        await complete(engine, GenerateRequest("1", "default", (Message("user", "hi"),), sampling))
    stats = await engine.stats()
    await engine.close()
    assert (stats.running, stats.aborted) == (0, 1)
    return caught.value


@pytest.mark.parametrize(
    ("status", "body", "code", "transient"),
    [
        (400, said("bad top_p"), "ORCH-E014", False),
        (400, said("this model's maximum context length is 8 tokens"), "ORCH-E011", False),
        (400, said("too much", code="context_length_exceeded"), "ORCH-E011", False),
        (400, said("filtered", code="content_filter"), "ORCH-E025", False),
        (400, b'[{"error": {"message": "API key expired. Renew the API key."}}]', "ORCH-E009", False),
        (400, said("no tool is called invalid api"), "ORCH-E014", False),
        (401, said("no such key"), "ORCH-E009", False),
        (402, said("no credits left"), "ORCH-E022", False),
        (403, said("not your model"), "ORCH-E009", False),
        (404, said("the model `m` does not exist"), "ORCH-E012", False),
        (404, b'{"detail": "Not Found"}', "ORCH-E028", False),
        (404, b"<html><body><h1>404 page not found</h1></body></html>", "ORCH-E028", False),
        (408, said("too slow"), "ORCH-E021", True),
        (409, said("conflict"), "ORCH-E021", True),
        (425, said("too early"), "ORCH-E021", True),
        (422, b'{"detail": [{"loc": ["body", "top_p"], "msg": "must be less"}]}', "ORCH-E014", False),
        (429, said("slow down"), "ORCH-E017", True),
        (429, said("You exceeded your quota", code="insufficient_quota"), "ORCH-E022", False),
        (429, b'[{"error": {"message": "used up", "code": "insufficient_quota"}}]', "ORCH-E022", False),
        (500, said("oops"), "ORCH-E021", True),
        (502, b"<html><title>Bad gateway</title></html>", "ORCH-E021", True),
        (503, said("starting"), "ORCH-E017", True),
        (504, b"", "ORCH-E010", True),
        (529, said("overloaded"), "ORCH-E017", True),
    ],
)
async def test_statuses(status: int, body: bytes, code: str, transient: bool) -> None:
    with serving((status, {"content-type": "application/json"}, body)) as endpoint:
        error = await failure(endpoint.url)
    assert error.code == code
    assert is_transient(error) is transient
    if code == "ORCH-E009":
        assert "NO_SUCH_KEY" in str(error)


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (b'{"error": "model is loading", "error_type": "x"}', "model is loading"),
        (b'{"object": "error", "message": {"detail": [{"loc": ["body", "x"], "msg": "no"}]}}', "body.x: no"),
        (b"<html><style>p {}</style><body><p>Ask the\n admin</p></body></html>", "Ask the admin"),
        (b'"only text"', "only text"),
        (b'{"errors": [{"code": 7, "message": "no such route"}]}', "no such route"),
        (b'{"error": {"message": {"text": "in parts"}}}', "in parts"),
        (b'{"success": false, "reason": "asleep"}', "asleep"),
        (b'{"error":' * 7 + b'"deep"' + b"}" * 7, "deep"),
        (b'{"error":' * 300 + b'"too deep"' + b"}" * 300, "HTTP 400"),
        (b'{"error": "\\u001b[31mred\\u0007 \\ud83d"}', "[31mred \ufffd"),
    ],
)
async def test_the_words_of_an_endpoint_are_found(sent: bytes, words: str) -> None:
    with serving((400, JSON, sent)) as endpoint:
        error = await failure(endpoint.url)
    assert error.diagnostics[0].why == words


async def test_retry_after_is_shown() -> None:
    with serving((429, {"retry-after": "7"}, said("slow down"))) as endpoint:
        error = await failure(endpoint.url, patience_s=5.0)
    assert error.code == "ORCH-E023"
    assert "takes no requests for 7 s" in str(error)
    assert len(endpoint.asked) == 1


async def test_connection_refused() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    error = await failure(f"http://127.0.0.1:{port}/v1")
    assert error.code == "ORCH-E008"
    assert is_transient(error)


async def test_a_proxy_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://me:hush@127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    error = await failure("http://endpoint.example/v1")
    assert error.code == "ORCH-E008"
    assert "through the proxy http://***@127.0.0.1:9" in str(error)
    assert "hush" not in str(error)


async def test_no_answer_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        error = await failure(f"http://127.0.0.1:{silent.getsockname()[1]}/v1", timeout_s=0.2)
    assert error.code == "ORCH-E010"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        pytest.param(stream(b"data: {not json\n\n"), "no JSON", id="no JSON"),
        pytest.param(stream(event(chunk("half a re"))), "has no end", id="no end"),
        pytest.param(stream(), "without a reply", id="nothing"),
        pytest.param(stream(event(chunk("x")), **{"content-length": "10000"}), "", id="cut in the middle"),
        pytest.param([[1, 2]], "in place of a chunk", id="a list"),
        pytest.param([{**chunk(), "choices": "none"}], "its choices are", id="choices are text"),
        pytest.param([chunk("x"), chunk("y", "stop", 1)], "index 1", id="one choice too many"),
        pytest.param([chunk("x", "error")], "ended with `error`", id="it says that it broke off"),
        pytest.param([b'"' + b"[" * 50_000 + b'"'], "in place of a chunk", id="deep text"),
        pytest.param([b"[" * 50_000], "no JSON", id="deep"),
    ],
)
async def test_a_broken_stream_is_no_reply(answer: Answer, words: str) -> None:
    with serving(answer) as endpoint:
        error = await failure(endpoint.url)
    assert error.code == "ORCH-E019"
    assert words in str(error)
    assert is_transient(error)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ({"message": "CUDA out of memory", "code": 500}, "ORCH-E021"),
        ({"message": "CUDA out of memory", "type": "InternalServerError"}, "ORCH-E021"),
        ({"message": "the prompt is too long", "code": "400"}, "ORCH-E011"),
        ({"message": "CUDA out of memory"}, "ORCH-E019"),
        ("CUDA out of memory", "ORCH-E019"),
        ({"message": "slow down", "type": "rate_limit_error"}, "ORCH-E017"),
    ],
)
@pytest.mark.parametrize("before", [[], [chunk("hel")]])
async def test_an_error_inside_a_stream_is_known_by_its_code(error: Any, code: str, before: list[Any]) -> None:
    with serving([*before, {"error": error}]) as endpoint:
        found = await failure(endpoint.url)
    assert found.code == code
    assert (error if isinstance(error, str) else error["message"]) in str(found)


@pytest.mark.parametrize(
    ("headers", "body", "code", "words"),
    [
        (JSON, said("bad key", code=401), "ORCH-E009", "bad key"),
        (JSON, b'[{"error": {"message": "bad key", "code": 401}}]', "ORCH-E009", "bad key"),
        (JSON, b'{"message": "upstream is down"}', "ORCH-E019", "upstream is down"),
        (HTML, b"<html>Log in to the <b>corporate</b> proxy</html>", "ORCH-E028", "Log in to the corporate proxy"),
        ({}, b"nobody home", "ORCH-E028", "nobody home"),
        (JSON, b"{}", "ORCH-E019", "without a reply"),
        (JSON, b'{"code": 40101, "msg": "token invalid"}', "ORCH-E019", "without a reply; it sent token invalid"),
        (JSON, b'{"ok": false, "grund": "W\xc3\xa4hrung"}', "ORCH-E019", 'it sent {"ok": false, "grund": "Währung"}'),
        (JSON, b'{"id": "r", "choices": [{"index": 0, "mess', "ORCH-E019", "no whole JSON"),
    ],
)
async def test_what_is_no_reply_although_its_status_is_200(
    headers: dict[str, str], body: bytes, code: str, words: str
) -> None:
    with serving((200, headers, body)) as endpoint:
        error = await failure(endpoint.url)
    assert (error.code, words in str(error)) == (code, True)


async def test_no_error_shows_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "sk-secret-1\n")
    with serving((401, JSON, said("Incorrect API key provided: sk-secret-1"))) as endpoint:
        error = await failure(endpoint.url.replace("//", "//me:hush-hush@"), key_env="MY_KEY")
    text = "".join(traceback.format_exception(error))
    assert "sk-secret" not in text
    assert "hush-hush" not in text
    assert "Incorrect API key provided: ***" in text


async def test_the_end_that_a_server_adds_to_a_key_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", " sk-1\r\n")
    with serving([chunk("hi", "stop"), usage()]) as endpoint:
        engine = OpenAIEngine("remote", "m", OpenAIOptions(endpoint.url, key_env="MY_KEY"))
        await engine.start()
        await complete(engine, GenerateRequest("1", "default", (Message("user", "hi"),)))
        await engine.close()
    assert endpoint.headers[0]["authorization"] == "Bearer sk-1"


def test_a_page_of_markup_is_read_no_further_than_its_words_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be many megabytes, which nobody else on the event loop should wait for."""
    read: list[int] = []
    monkeypatch.setattr(statuses, "well_formed", lambda text: read.append(len(text)) or text)
    found = statuses.words("<html><title>Bad gateway</title>" + "<!--" * 1_000_000)
    assert found.startswith("Bad gateway")
    assert read == [statuses.MOST_READ]


@pytest.mark.parametrize(
    ("words", "fix"),
    [
        ("Unsupported value: 'temperature' does not support 0.2 with this model. Only the default (1) value is "
         "supported.", "leave `temperature=` out for this model, or set what it takes"),
        ("body.seed: Extra inputs are not permitted", "leave `seed=` out for this model, or set what it takes"),
        ("bad weather", None),
        ("top_p is not for you", None),
    ],
)  # fmt: skip
async def test_what_a_workflow_asks_for_and_a_model_does_not_take_is_named(words: str, fix: str | None) -> None:
    with serving((400, JSON, said(words))) as endpoint:
        error = await failure(endpoint.url, temperature=0.2, seed=7)
    assert (error.code, error.diagnostics[0].why, error.diagnostics[0].fix) == ("ORCH-E014", words, fix)


@pytest.mark.parametrize("status", [413, 429])
async def test_a_request_that_no_waiting_makes_smaller_is_not_sent_again(status: int) -> None:
    words = "Request too large for model `m` on tokens per minute (TPM): Limit 6000, Requested 9000"
    with serving((status, {**JSON, "retry-after": "0.01"}, said(words, code="rate_limit_exceeded"))) as endpoint:
        error = await failure(endpoint.url, patience_s=60.0)
    assert error.code == "ORCH-E014"
    assert "shorten the prompt" in (error.diagnostics[0].fix or "")
    assert len(endpoint.asked) == 1
    assert not is_transient(error)


async def test_a_model_without_system_prompts_says_what_to_do() -> None:
    asked = GenerateRequest("1", "default", (Message("system", "be brief"), Message("user", "hi")), Sampling())
    with serving((400, JSON, said("System role not supported"))) as endpoint:
        engine = OpenAIEngine("remote", "m", OpenAIOptions(base_url=endpoint.url, kv_hints=False))
        await engine.start()
        with pytest.raises(EngineError) as caught:
            await complete(engine, asked)
        await engine.close()
    assert (caught.value.code, caught.value.diagnostics[0].fix) == ("ORCH-E014", NO_SYSTEM)


async def test_a_server_that_hangs_up_on_a_request_may_have_worked_on_it() -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        error = await failure(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1")
    assert error.code == "ORCH-E019"
    assert is_transient(error)


async def test_a_server_that_takes_no_connection_has_not_got_the_request() -> None:
    """So it is billed nothing, other than where an answer does not come in time."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        waiting = [socket.socket() for _ in range(8)]  # nobody takes them on, and there is no room for more
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(server.getsockname())
        error = await failure(f"http://127.0.0.1:{server.getsockname()[1]}/v1", timeout_s=0.3)
        for each in waiting:
            each.close()
    assert error.code == "ORCH-E008"
