"""An endpoint that refuses calls for being too many gets them later, and no attempt is spent."""

from __future__ import annotations

import asyncio
import itertools
import subprocess
import sys
import threading
import time
from email.utils import formatdate
from typing import Any

import pytest

from orchestrator.dsl.models.messages import Message
from orchestrator.errors import EngineError, RunError
from orchestrator.runtime.engines.base import GenerateRequest, Sampling, complete, noting
from orchestrator.runtime.engines.endpoint.pace import FIRST, shared_pace
from orchestrator.runtime.engines.openai import MOST_REFUSALS, OpenAIEngine, OpenAIOptions
from orchestrator.runtime.journal.events import Spent
from orchestrator.runtime.kv.replicas import ReplicaSet
from orchestrator.runtime.observe import Subscription
from orchestrator.runtime.program.builder import RegionBuilder
from orchestrator.runtime.program.program import Program
from orchestrator.runtime.program.specs import Generate, Limits, Policy
from orchestrator.runtime.runner import Runner
from tests.awaiting import until
from tests.runtime.engines.answering import JSON, Answer, chunk, said, serving, usage

GOOD = [chunk("yes", "stop"), usage()]


def engine(url: str, **options: Any) -> OpenAIEngine:
    options = {"key_env": "NO_SUCH_KEY", "kv_hints": False, "timeout_s": 20.0, **options}
    return OpenAIEngine("remote", "m", OpenAIOptions(base_url=url, **options))


async def ask(target: OpenAIEngine, **sampling: Any) -> tuple[str, ...]:
    request = GenerateRequest("1", "default", (Message("user", "hi"),), Sampling(**sampling))
    return (await complete(target, request)).texts


class Refusing:
    """Refuses so many requests, then takes them."""

    def __init__(self, count: int, *, status: int = 429, after: str | None = "0.01") -> None:
        self.count = count
        self.refusal = (status, {} if after is None else {"retry-after": after}, said("slow down"))

    def __call__(self, _: dict[str, Any]) -> Answer:
        self.count -= 1
        return self.refusal if self.count >= 0 else GOOD


@pytest.mark.parametrize("status", [429, 503, 529])
@pytest.mark.parametrize("after", ["0.01", None, "soon", formatdate(0, usegmt=True)])
async def test_a_refused_call_is_sent_again_without_an_attempt(status: int, after: str | None) -> None:
    program = asking(Policy())
    with serving(Refusing(2, status=status, after=after)) as endpoint:
        async with Runner({"main": engine(endpoint.url)}) as runtime:
            result = await runtime.run_program(program, ("hi",))
    assert result.value == "yes"
    assert len(endpoint.asked) == 3
    assert result.ops[0].attempts == 1
    assert [each for each in result.warnings if "refused" in each] == [
        f"the endpoint {endpoint.url} refused calls for being too many; they waited and were sent again"
    ]


def asking(policy: Policy) -> Program:
    body = RegionBuilder("", [str])
    (reply,) = body.suspend("op", Generate("default", None), body.args, types=[str], policy=policy)
    return Program("demo", "hash", ("text",), body.finish([reply]), str)


async def test_nothing_is_sent_before_the_time_that_the_endpoint_names() -> None:
    opens_at = time.time() + 1.2
    early = 0

    def answer(_: dict[str, Any]) -> Answer:
        nonlocal early
        if time.time() >= opens_at:
            return GOOD
        early += 1
        return 429, {"retry-after": formatdate(opens_at + 1, usegmt=True)}, said("slow down")

    with serving(answer) as endpoint:
        target = engine(endpoint.url)
        await target.start()
        assert await asyncio.gather(*(ask(target) for _ in range(3))) == [("yes",)] * 3
        await target.close()
    assert early <= 3  # those that were under way together


async def test_an_error_object_that_says_so_is_a_refusal_too() -> None:
    given = iter([[{"error": {"message": "slow down", "code": 429}}], (200, JSON, said("wait", code=503)), GOOD])
    with serving(lambda _: next(given)) as endpoint:
        target = engine(endpoint.url)
        await target.start()
        assert await ask(target) == ("yes",)
        await target.close()


async def test_a_wide_map_on_a_narrow_endpoint() -> None:
    """An endpoint that takes five at once is never given up, and is sent fewer at once than at first."""
    lock, inside, refused = threading.Lock(), 0, 0

    def answer(_: dict[str, Any]) -> Answer:
        nonlocal inside, refused
        with lock:
            if inside >= 5:
                refused += 1
                return 429, {"retry-after": "0.02"}, said("slow down")
            inside += 1
        time.sleep(0.02)
        with lock:
            inside -= 1
        return GOOD

    with serving(answer) as endpoint:
        target = engine(endpoint.url)
        await target.start()
        assert await asyncio.gather(*(ask(target) for _ in range(60))) == [("yes",)] * 60
        pace = shared_pace(endpoint.url, "none", "m", 512)
        await target.close()
    assert refused > 0
    assert pace.limit < FIRST
    assert (pace.in_flight, pace.waiting) == (0, 0)


async def test_an_endpoint_that_answers_nobody_is_given_up() -> None:
    with serving(Refusing(1000)) as endpoint:
        target = engine(endpoint.url, patience_s=0.1)
        await target.start()
        with pytest.raises(EngineError) as caught:
            await ask(target)
        await target.close()
    assert caught.value.code == "ORCH-E017"
    assert "slow down" in str(caught.value)
    assert len(endpoint.asked) > 1


async def test_a_wait_that_is_absurd_is_an_error_at_once() -> None:
    with serving(Refusing(1000, after="86400")) as endpoint:
        async with Runner({"main": engine(endpoint.url)}) as runtime:
            with pytest.raises(RunError) as caught:
                await runtime.run_program(asking(Policy(attempts=3, backoff_s=0.0)), ("hi",))
    assert caught.value.code == "ORCH-E023"
    assert "86,400 s" in str(caught.value)
    assert len(endpoint.asked) == 1


async def test_waiting_for_the_endpoint_is_not_an_ops_time() -> None:
    with serving(Refusing(1, after="3")) as endpoint:
        async with Runner({"main": engine(endpoint.url)}) as runtime:
            result = await runtime.run_program(asking(Policy(timeout_s=2.5)), ("hi",))
    assert result.value == "yes"


async def test_the_seconds_of_a_budget_bound_the_waiting_and_what_was_refused_costs_nothing() -> None:
    with serving(Refusing(1000, after="100")) as endpoint:
        async with Runner({"main": engine(endpoint.url)}) as runtime:
            feed = Subscription()
            with pytest.raises(RunError) as caught:
                await runtime.run_program(asking(Policy()), ("hi",), budget=Limits(seconds=3.0), observers=[feed])
    assert caught.value.code == "ORCH-R010"
    assert len(endpoint.asked) == 1
    assert not [each for each in feed.drain() if isinstance(each, Spent)]


async def test_each_engine_keeps_its_own_limit_and_no_other() -> None:
    inside, most, lock = {"a": 0, "b": 0}, {"a": 0, "b": 0}, threading.Lock()

    def answer(body: dict[str, Any]) -> Any:
        model = body["model"]
        with lock:
            inside[model] += 1
            most[model] = max(most[model], inside[model])
        time.sleep(0.05)
        with lock:
            inside[model] -= 1
        return GOOD

    with serving(answer) as endpoint:
        narrow, wide = engine(endpoint.url, max_concurrency=2), engine(endpoint.url, max_concurrency=20)
        narrow.model, wide.model = "a", "b"
        for each in (narrow, wide):
            await each.start()
        await asyncio.gather(*(ask(each) for each in (narrow, wide) for _ in range(24)))
        for each in (narrow, wide):
            await each.close()
    assert most["a"] == 2
    assert most["b"] > 2


async def test_a_place_in_the_queue_is_not_an_ops_time() -> None:
    with serving(GOOD) as endpoint:
        async with Runner({"main": engine(endpoint.url, max_concurrency=1)}) as runtime:
            pace = shared_pace(endpoint.url, "none", "m", 1)
            holder = await pace.enter("", "another run")
            late = asyncio.create_task(runtime.run_program(asking(Policy(timeout_s=2.0)), ("hi",)))
            await until(lambda: bool(pace.waiting))
            await asyncio.sleep(2.1)
            assert not late.done()
            holder.leave()
            assert (await late).value == "yes"


async def test_a_call_goes_to_another_replica_rather_than_wait() -> None:
    with serving(Refusing(1000, after="30")) as busy, serving(GOOD) as free:
        replicas = ReplicaSet("two", [engine(busy.url), engine(free.url)])
        await replicas.start()
        replicas.router.drain(1)
        waiting = GenerateRequest("1", "default", (Message("user", "hi"),))
        replicas.router.undrain(1)
        replies = [(await complete(replicas, waiting)).texts for _ in range(4)]
        await replicas.close()
    assert replies == [("yes",)] * 4
    assert len(busy.asked) <= 2


async def test_the_second_of_two_samples_may_be_refused_too() -> None:
    notes: list[str] = []
    given = iter([GOOD, (429, {"retry-after": "0.01"}, said("slow down")), GOOD])
    with serving(lambda _: next(given)) as endpoint:
        target = engine(endpoint.url)
        await target.start()
        with noting(notes.append):
            assert await ask(target, samples=2, temperature=1.0) == ("yes", "yes")
        await target.close()
    assert len(notes) == 1


async def test_nobody_waits_for_a_time_that_is_absurd_for_being_behind_whoever_was_told() -> None:
    """A queue of calls would otherwise stand still for a day."""
    with serving(Refusing(1000, after="86400")) as endpoint:
        patient, other = engine(endpoint.url, max_concurrency=1), engine(endpoint.url)
        await asyncio.gather(patient.start(), other.start())
        async with asyncio.timeout(30):
            failed = await asyncio.gather(*(ask(patient) for _ in range(3)), return_exceptions=True)
            later = (await asyncio.gather(ask(other), return_exceptions=True))[0]
        await asyncio.gather(patient.close(), other.close())
    for error in (*failed, later):
        assert isinstance(error, EngineError)
        assert error.code == "ORCH-E023"
        assert "slow down" in str(error)
    assert len(endpoint.asked) == 1


async def test_while_one_sample_is_refused_the_others_are_paid_for_and_take_their_time() -> None:
    """Samples that are asked for one by one are requests of their own, and one that waits is not all of them."""
    over, in_earnest = threading.Event(), itertools.count()

    def answer(body: dict[str, Any]) -> Answer:
        if body.get("n", 1) > 1:
            return 400, JSON, said("n: at most 1 sample")
        if body["messages"][-1]["content"] == "hi":  # it is learned that samples are asked for one by one
            return GOOD
        if next(in_earnest) == 0:
            over.wait(30)
            return GOOD
        return 429, {"retry-after": "60"}, said("slow down")

    def slowly(policy: Policy) -> Program:
        body = RegionBuilder("", 1)
        (reply,) = body.suspend(
            "ask", Generate("default", None, sampling=Sampling(samples=2)), body.args, types=[list[str]], policy=policy
        )
        return Program("test", "hash", ("x",), body.finish([reply]), list[str])

    with serving(answer) as endpoint:
        async with Runner({"main": engine(endpoint.url)}) as runtime:
            assert (await runtime.run_program(slowly(Policy()), ("hi",))).value == ["yes", "yes"]
            feed = Subscription()
            with pytest.raises(RunError) as caught:
                await runtime.run_program(slowly(Policy(timeout_s=1.0)), ("hi" * 50,), observers=[feed])
            over.set()
    assert caught.value.code == "ORCH-R004"
    (spent,) = [each.usage for each in feed.drain() if isinstance(each, Spent)]
    assert spent.input_tokens >= 100


async def test_another_model_of_the_endpoint_is_not_held() -> None:
    """Hosts limit each model by itself, and a fallback is often another model of the same host."""

    def answer(body: dict[str, Any]) -> Answer:
        return GOOD if body["model"] == "small" else (429, {"retry-after": "86400"}, said("slow down"))

    with serving(answer) as endpoint:
        options = OpenAIOptions(base_url=endpoint.url, key_env="NO_SUCH_KEY", kv_hints=False)
        large, small = (OpenAIEngine(model, model, options) for model in ("large", "small"))
        for each in (large, small):
            await each.start()
        with pytest.raises(EngineError) as caught:
            await ask(large)
        assert caught.value.code == "ORCH-E023"
        assert await ask(small) == ("yes",)
        for each in (large, small):
            await each.close()


async def test_a_call_that_the_endpoint_will_never_take_ends_while_others_are_answered() -> None:
    asked = {"small": 0, "large": 0}

    def answer(body: dict[str, Any]) -> Answer:
        size = body["messages"][0]["content"]
        asked[size] += 1
        return GOOD if size == "small" else (429, {"retry-after": "0.01"}, said("slow down"))

    async def go_on(target: OpenAIEngine) -> None:
        while True:
            await complete(target, GenerateRequest("2", "default", (Message("user", "small"),)))

    with serving(answer) as endpoint:
        target = engine(endpoint.url)
        await target.start()
        others = asyncio.ensure_future(go_on(target))
        with pytest.raises(EngineError) as caught:
            async with asyncio.timeout(60.0):
                await complete(target, GenerateRequest("1", "default", (Message("user", "large"),)))
        others.cancel()
        await asyncio.wait([others])
        await target.close()
    assert caught.value.code == "ORCH-E017"
    assert asked["large"] < 2 * MOST_REFUSALS
    assert asked["small"] > 0


FEW_SOCKETS = """
import asyncio, resource, sys
from orchestrator.dsl.models.messages import Message
from orchestrator.runtime.engines.base import GenerateRequest, complete, noting
from orchestrator.runtime.engines.openai import OpenAIEngine, OpenAIOptions

async def main():
    engine = OpenAIEngine("remote", "m", OpenAIOptions(base_url=sys.argv[1], key_env="NO_SUCH_KEY", kv_hints=False))
    await engine.start()
    ask = lambda at: complete(engine, GenerateRequest(str(at), "default", (Message("user", "hi"),)))
    await ask(0)
    resource.setrlimit(resource.RLIMIT_NOFILE, (40, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    notes = set()
    with noting(notes.add):
        replies = await asyncio.gather(*map(ask, range(300)))
    await engine.close()
    print(sum(each.texts == ("yes",) for each in replies), *notes)

asyncio.run(main())
"""


def test_calls_wait_for_a_socket_where_the_process_may_have_few() -> None:
    def answer(_: dict[str, Any]) -> Answer:
        time.sleep(0.05)
        return GOOD

    with serving(answer) as endpoint:
        ran = subprocess.run(
            [sys.executable, "-c", FEW_SOCKETS, endpoint.url], capture_output=True, text=True, timeout=120, check=False
        )
    assert ran.stdout.startswith("300 "), ran.stderr[-2000:]
    assert "this process has no socket left" in ran.stdout
    assert "ulimit -n" in ran.stdout
