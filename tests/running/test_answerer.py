"""Who answers: an endpoint, a model, an engine, a cluster, and what cannot be meant."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator import Session, llm, run, workflow
from orchestrator.errors import EngineError, UsageError
from orchestrator.planner.cluster import Cluster, EngineSpec
from orchestrator.running.answerer import answerer
from orchestrator.runtime.engines.scripted import ScriptedEngine
from orchestrator.runtime.engines.sim import SimEngine
from tests.runtime.engines.answering import chunk, serving, usage

MODEL = Path(__file__).parents[2] / "examples" / "text2sql" / "model"


@workflow
def answer(question: str) -> str:
    return llm(question, name="say")


def engines(*given: Any) -> list[tuple[str, str]]:
    return [(each.kind, each.model) for each in answerer(*given).cluster.engines]


def test_each_way_to_say_it(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text('[[engine]]\nname = "e"\nkind = "openai"\nmodel = "m"\n')
    assert engines(None, str(MODEL), None) == engines(None, MODEL, None) == [("vllm", str(MODEL))]
    assert engines("http://h/v1", "m", None) == [("openai", "m")]
    assert engines("openai", "gpt-4o", None) == [("openai", "gpt-4o")]
    assert engines("sim", None, None) == [("sim", "simulated")]
    assert engines(None, None, file) == engines(None, None, str(file)) == [("openai", "m")]
    assert engines(ScriptedEngine([]), None, None) == [("scripted", "scripted")]
    assert engines(SimEngine(), None, None) == [("sim", "simulated")]
    assert engines(None, None, None) == []


def test_only_a_vllm_here_brings_a_ray() -> None:
    assert answerer(None, MODEL, None).cluster.ray
    assert not answerer("http://h/v1", "m", None).cluster.ray
    assert not answerer(None, None, Cluster(engines=(EngineSpec(name="s", kind="sim", model="m"),))).cluster.ray


@pytest.mark.parametrize(
    ("given", "code", "message"),
    [
        ({"engine": "http://127.0.0.1:1/v1"}, "ORCH-U020", "an endpoint may serve several models, and none was named"),
        ({"engine": "openai"}, "ORCH-U020", "no model is named"),
        ({"engine": "vllm"}, "ORCH-U020", "no model is named"),
        ({"engine": "gpt-4o"}, "ORCH-U021", "engine= is no URL of an endpoint"),
        ({"engine": "", "model": "m"}, "ORCH-U021", "engine= is no URL of an endpoint"),
        ({"engine": 3}, "ORCH-U021", "engine= got 3"),
        ({"cluster": 3}, "ORCH-U021", "cluster= got 3"),
        ({"cluster": "c.toml", "model": "m"}, "ORCH-U021", "cluster= already says which engines there are"),
        ({"engine": ScriptedEngine([]), "model": "m"}, "ORCH-U021", "the engine `scripted` has a model"),
    ],
)
def test_what_cannot_be_meant_is_said_at_once(given: Any, code: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        Session(**given)
    (told,) = caught.value.diagnostics
    assert told.code == code
    assert told.message.startswith(message)
    assert told.fix
    assert told.where is not None
    assert told.where.file == __file__


def listed(*names: str) -> str:
    return json.dumps({"object": "list", "data": [{"id": each, "object": "model"} for each in names]})


async def test_the_only_model_of_an_endpoint_need_not_be_named() -> None:
    with serving([chunk("hello"), chunk(reason="stop"), usage()]) as endpoint:
        endpoint.pages["/v1/models"] = listed("qwen3-8b")
        assert run(answer, "x", engine=endpoint.url).value == "hello"
        assert endpoint.asked[0]["model"] == "qwen3-8b"


@pytest.mark.parametrize(
    ("page", "why"),
    [
        (listed("a", "b"), "it serves `a`, `b`"),
        (listed(*map(str, range(9))), "it serves `0`, `1`, `2`, `3`, `4`, `5`, `6`, `7` …"),
        (listed(), "asked what it serves, it did not say"),
        ("[]", "asked what it serves, it did not say"),
        ('{"data": [3]}', "asked what it serves, it did not say"),
        ("<html>", "asked what it serves, it did not say"),
    ],
)
def test_of_several_one_must_be_named(page: str, why: str) -> None:
    with serving([]) as endpoint:
        endpoint.pages["/v1/models"] = page
        with pytest.raises(UsageError) as caught:
            Session(engine=endpoint.url)
    assert caught.value.code == "ORCH-U020"
    assert caught.value.diagnostics[0].why == why


def test_a_url_with_a_password_is_not_shown() -> None:
    with pytest.raises(UsageError) as caught:
        Session(engine="htp://user:s3cret@host/v1", model="m")
    assert "s3cret" not in str(caught.value)


def test_a_folder_without_a_model_and_a_cluster_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(EngineError) as caught:
        Session(model=tmp_path)
    assert caught.value.code == "ORCH-E004"
    with pytest.raises(Exception, match="ORCH-"):
        Session(cluster=tmp_path / "none.toml")


def test_a_model_call_without_anybody_to_answer() -> None:
    with pytest.raises(UsageError) as caught:
        run(answer, "x")
    (told,) = caught.value.diagnostics
    assert (told.code, told.message) == ("ORCH-U020", "`answer` calls a model (say), and nobody is there to answer")
    assert told.where is not None
    assert told.where.file == __file__
