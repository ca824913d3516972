"""Messages and parts when a workflow runs: what reaches the engine, and what fails with a code."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Literal

import pytest

from orchestrator import Message, chat, file, image, llm, map_, system, tool, user, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.dsl.models.parts import MOST_PART_BYTES
from orchestrator.errors import OrchError, PlanError
from orchestrator.planner.cluster import Cluster, EngineSpec
from orchestrator.runtime.engines.openai import OpenAIEngine, OpenAIOptions
from orchestrator.runtime.engines.scripted import ScriptedEngine
from orchestrator.runtime.runner import Runner
from orchestrator.testing import fake
from tests.runtime.engines.answering import chunk, serving, usage
from tests.runtime.journal.text import Codec

PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 20


@tool(effects="pure")
def history(question: str) -> list[Message]:
    return [system("Be brief."), user(question)]


def test_messages_reach_the_engine_in_order() -> None:
    @workflow
    def flow(question: str) -> str:
        begun = chat("Be brief.", messages=[user("a"), {"role": "assistant", "content": "b"}])
        turn = begun.say(f"c {question}", system="Be long.")
        copied = chat(messages=turn.chat.messages)
        return copied.say([user("e"), user(f"f {turn.reply}")]).reply

    with fake(["d", "g"]) as engine:
        assert flow("x") == "g"
    said = [[(each.role, each.content) for each in request.messages] for request in engine.requests]
    begun = [("user", "a"), ("assistant", "b"), ("user", "c x")]
    assert said[0] == [("system", "Be long."), *begun]
    assert said[1] == [("system", "Be brief."), *begun, ("assistant", "d"), ("user", "e"), ("user", "f d")]


def test_a_tools_messages_and_a_runs_input_are_a_prompt() -> None:
    @workflow
    def flow(question: str, earlier: list[Message]) -> list[str]:
        return [llm(history(question)), llm(earlier), f"{earlier}"]

    with fake(["a", "b"]) as engine:
        assert flow("q", [user("hi", image(PNG))])[2] == "user: hi\n[image 28 bytes]"
    assert [message.role for message in engine.requests[0].messages] == ["system", "user"]
    assert engine.requests[1].messages[0].parts[1].kind == "image"


def test_what_turns_out_to_be_no_prompt_has_a_code() -> None:
    @tool(effects="pure")
    def anything() -> Any:
        return [["nested"]]

    @workflow
    def flow() -> str:
        return llm(anything())

    with fake(["a"]), pytest.raises(OrchError) as caught:
        flow()
    assert caught.value.code == "ORCH-R080"


def test_the_model_and_the_temperature_may_be_values() -> None:
    @workflow
    def flow(question: str, sizes: list[Literal["small", "large"]], heat: float) -> list[str]:
        return map_(lambda size: llm(question, model=size, temperature=heat), sizes, limit=2)

    engines = {name: ScriptedEngine([name], name=name, model=name) for name in ("small", "large")}
    cluster = Cluster(engines=tuple(EngineSpec(name=name, kind="scripted", model=name) for name in engines))

    async def run(heat: float, sizes: list[str]) -> Any:
        compiled = compile_workflow(flow, cluster)
        return (await Runner(engines).run(compiled, {"question": "q", "sizes": sizes, "heat": heat})).value

    assert asyncio.run(run(0.5, ["large", "small"])) == ["large", "small"]
    assert engines["large"].requests[0].sampling.temperature == 0.5
    with pytest.raises(OrchError) as caught:
        asyncio.run(run(-1.0, ["large"]))
    assert caught.value.code == "ORCH-R082"


def test_the_plan_prices_the_costliest_model_that_it_may_be() -> None:
    @workflow
    def flow(question: str, size: Literal["small", "large"], name: str) -> str:
        return llm(question, model=size, name="listed") + llm(question, model=name, name="any")

    def engine(name: str, usd: float) -> EngineSpec:
        price = {f"usd_per_million_{kind}_tokens": usd for kind in ("input", "output")}
        return EngineSpec(name=name, kind="openai", model=name, **price)

    cluster = Cluster(engines=(engine("small", 1.0), engine("large", 5.0), engine("huge", 20.0)))
    plan = compile_workflow(flow, cluster).plan
    assert plan.by_id["listed"].place == "engine:large"
    assert plan.by_id["any"].place == "engine:huge"
    with pytest.raises(PlanError) as caught:
        compile_workflow(flow, Cluster(engines=(engine("small", 1.0),)))
    assert "large" in caught.value.diagnostics[0].message


def test_a_model_that_nobody_serves_has_a_code() -> None:
    @workflow
    def flow(name: str) -> str:
        return llm("q", model=name)

    cluster = Cluster(engines=(EngineSpec(name="small", kind="scripted", model="small"),))
    runtime = Runner({"small": ScriptedEngine(["a"], name="small", model="small")})
    with pytest.raises(OrchError) as caught:
        asyncio.run(runtime.run(compile_workflow(flow, cluster), {"name": "huge"}))
    assert caught.value.code == "ORCH-R008"


async def asked_with(flow: Any, **inputs: Any) -> list[dict[str, Any]]:
    with serving([chunk("ok", "stop"), usage()]) as endpoint:
        options = OpenAIOptions(base_url=endpoint.url, key_env="NO_SUCH_KEY", kv_hints=False)
        runtime = Runner({"remote": OpenAIEngine("remote", "m", options)})
        try:
            await runtime.run(compile_workflow(flow, Cluster()), inputs)
        finally:
            await runtime.close()
    return endpoint.asked


async def test_parts_are_sent_as_the_standard_says(tmp_path: Path) -> None:
    shot, talk, report = tmp_path / "shot.png", tmp_path / "talk.wav", tmp_path / "report.pdf"
    shot.write_bytes(PNG)
    talk.write_bytes(b"RIFF0000WAVE")
    report.write_bytes(b"%PDF-1.7")

    @workflow
    def flow(url: str, where: Path, data: bytes, name: str) -> str:
        parts = [image(url, detail="low"), image(where), image(data), file(path=name)]
        return llm([user("look", *parts, file(report))])

    (body,) = await asked_with(flow, url="https://x.org/a.png", where=shot, data=PNG, name=str(talk))
    text, linked, read, given, audio, pdf = body["messages"][0]["content"]
    assert text == {"type": "text", "text": "look"}
    assert linked == {"type": "image_url", "image_url": {"url": "https://x.org/a.png", "detail": "low"}}
    assert read == given
    assert read["image_url"]["url"].startswith("data:image/png;base64,iVBOR")
    assert audio == {"type": "input_audio", "input_audio": {"data": "UklGRjAwMDBXQVZF", "format": "wav"}}
    assert pdf["file"] == {"filename": "report.pdf", "file_data": "data:application/pdf;base64,JVBERi0xLjc="}


@pytest.mark.parametrize("problem", ["missing", "folder", "device", "large", "empty"])
async def test_a_file_that_cannot_be_sent_has_a_code(tmp_path: Path, problem: str) -> None:
    path = {"device": Path("/dev/zero"), "folder": tmp_path}.get(problem, tmp_path / "a.png")
    if problem == "large":
        with path.open("wb") as made:
            made.truncate(MOST_PART_BYTES + 1)
    elif problem == "empty":
        path.touch()

    @workflow
    def flow(where: Path) -> str:
        return llm(user(image(where)))

    with pytest.raises(OrchError) as caught:
        await asked_with(flow, where=path)
    assert caught.value.code == "ORCH-R081"


def test_an_engine_of_text_refuses_parts_when_the_workflow_is_planned() -> None:
    @workflow
    def direct(question: str) -> str:
        return llm([user(question, image("a.png"))])

    @workflow
    def earlier(url: str) -> str:
        first = chat().say(user("look", image(url)), model="m")
        return first.chat.say("and?").reply

    cluster = Cluster(engines=(EngineSpec(name="main", kind="vllm", model="m"),))
    for flow in (direct, earlier):
        with pytest.raises(PlanError) as caught:
            compile_workflow(flow, cluster)
        found = caught.value.diagnostics[0]
        assert found.code == "ORCH-P014"
        assert found.message == "the engine `main`, which `llm_1` calls, does not take images and files"
        assert "endpoint" in (found.fix or "")


def test_the_tokens_of_an_image_are_a_stated_guess() -> None:
    @workflow
    def flow(question: str) -> str:
        return llm([user(image("a.png"))])

    plan = compile_workflow(flow, Cluster(engines=(EngineSpec(name="m", kind="sim", model="m"),))).plan
    assert plan.by_id["llm_1"].tokens_in.hi >= 5000
    assert "tokens in" in plan.by_id["llm_1"].guesses


async def test_messages_pass_through_the_journal() -> None:
    @workflow
    def flow(earlier: list[Message]) -> list[Message]:
        return chat(messages=earlier).say(user("and", image(PNG))).chat.messages

    compiled = compile_workflow(flow, Cluster(engines=(EngineSpec(name="s", kind="scripted", model="s"),)))
    result = await Runner({"s": ScriptedEngine(["b"], name="s")}).run(compiled, {"earlier": [user("a")]})
    assert [each.role for each in result.value] == ["user", "user", "assistant"]
    codec = Codec(compiled.program)
    assert [codec.loads(codec.dumps(event)) for event in result.events] == list(result.events)
