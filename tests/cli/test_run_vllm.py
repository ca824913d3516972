"""``orch run examples/text2sql`` end to end: the bundled model, in the session's vLLM engine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orchestrator.runtime.engines import registry
from orchestrator.runtime.engines.base import Engine
from tests.cli.conftest import Orch

ROOT = Path(__file__).parents[2]


class Shared:
    """An engine that others go on using after the runtime has closed it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __getattr__(self, name: str) -> object:
        return getattr(self._engine, name)

    async def start(self) -> None:
        """It has started."""

    async def close(self) -> None:
        """Whoever started it closes it."""


@pytest.fixture
def shared_engine(vllm_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "create", lambda spec, ray=None: Shared(vllm_engine))
    monkeypatch.chdir(ROOT)


@pytest.mark.vllm
@pytest.mark.ray
@pytest.mark.usefixtures("shared_engine")
def test_the_bundled_model_answers_questions_about_this_machine(orch: Orch) -> None:
    ended = orch("run", "examples/text2sql", "--limit", "3", "--json")
    assert ended.code == 0, ended.err
    data = json.loads(ended.out)
    assert data["ok"] is True
    assert data["simulated"] is False
    assert data["engine"].startswith("vLLM ")
    assert data["model"] == "examples/text2sql/model"
    assert data["questions"][0]["sql"] == "SELECT COUNT(*) FROM distributions"
    assert data["questions"][0]["equals_reference"] is True
    assert data["usage"]["cached_tokens"] > 0


@pytest.mark.vllm
@pytest.mark.ray
@pytest.mark.usefixtures("shared_engine")
def test_it_answers_about_a_csv_file(orch: Orch, tmp_path: Path) -> None:
    (tmp_path / "lamps.csv").write_text("id,name,watts\n1,Anna,5\n2,Bert,7\n3,Cleo,60\n")
    ended = orch("run", "examples/text2sql", "--csv", str(tmp_path / "lamps.csv"), "How many lamps are there?")
    assert ended.code == 0, ended.err
    assert "SELECT COUNT(*) FROM lamps" in ended.out
    assert "honestly imperfect" in ended.out
    assert "Traceback" not in ended.err
