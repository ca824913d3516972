"""Five workflows of the gallery on the bundled model, which answers oddly: they run, and give what they declare."""

from __future__ import annotations

import pytest

from orchestrator import Session
from orchestrator.runtime.engines.base import Engine
from tests.examples.test_gallery import flow

QUESTION = "How many planets are there?"


@pytest.mark.vllm
@pytest.mark.ray
def test_five_run_on_the_bundled_model(vllm_engine: Engine) -> None:
    with Session(engine=vllm_engine) as session:
        for name in ("routing", "prompt_chain", "parallel_votes", "reflection", "sql_agent"):
            result = session.run(flow(name), QUESTION)
            assert isinstance(result.value, str)
            assert result.usage.output_tokens > 0
