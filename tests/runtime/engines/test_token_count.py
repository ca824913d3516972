"""No prompt has more tokens than its bound, whatever it consists of."""

from __future__ import annotations

import gc
import json
import unicodedata
import weakref
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.dsl.models.messages import Message
from orchestrator.runtime.engines.base import Usage
from orchestrator.runtime.engines.openai import OpenAIEngine
from orchestrator.runtime.engines.scripted import ScriptedEngine
from orchestrator.runtime.engines.token_count import (
    BYTES,
    TOKENS_PER_MESSAGE,
    TOKENS_PER_PROMPT,
    at_hand,
    completed,
    counter_of,
    most_bytes,
    prompt_tokens,
)
from orchestrator.runtime.kv.replicas import ReplicaSet

HOSTILE = [
    "0123456789" * 50,
    "deadbeef" * 40,
    "🙂👩‍👩‍👧‍👦" * 20,
    "漢字かな" * 30,
    "\x00\x07\x1b" * 40,
    "ﷺ" * 10,
    "\ud800" * 5,
]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_token_a_byte_fits_into_the_bound(text: str) -> None:
    assert BYTES.count_text(text) >= len(text.encode(errors="surrogatepass"))


@given(st.text(), st.sampled_from(["NFC", "NFD", "NFKC", "NFKD"]))
def test_normalising_first_does_not_break_the_bound(text: str, form: str) -> None:
    normal = unicodedata.normalize(form, text)
    assert len(normal.encode(errors="surrogatepass")) <= most_bytes(text)


async def test_messages_and_the_schema_of_the_reply_count() -> None:
    messages = [Message("system", "abc"), Message("user", "de")]
    bare = await prompt_tokens(BYTES, messages, [])
    assert bare == 5 + 2 * TOKENS_PER_MESSAGE + TOKENS_PER_PROMPT
    beside = [{"type": "object"}, {"name": "add"}]
    assert await prompt_tokens(BYTES, messages, beside) == bare + sum(len(json.dumps(each)) for each in beside)


async def test_engines_that_know_their_tokenizer_count_themselves() -> None:
    engine = ScriptedEngine(["one two"])
    assert at_hand(ReplicaSet("main", [engine])) is engine
    assert await counter_of(engine) is engine
    assert await counter_of(OpenAIEngine("main", "no/such-model")) is BYTES


async def test_the_tokenizer_in_the_models_folder_counts(tmp_path: Path) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0, "b": 1, "?": 2}, unk_token="?"))
    words.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    words.save(str(tmp_path / "tokenizer.json"))
    counter = await counter_of(OpenAIEngine("main", str(tmp_path)))
    assert counter.count_text("a b a extraordinary") == 4
    assert counter.count_prompt([Message("user", "a b")]) == 2 + TOKENS_PER_MESSAGE + TOKENS_PER_PROMPT


async def test_limits_that_training_has_left_in_a_tokenizer_cut_no_count(tmp_path: Path) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0, "?": 1}, unk_token="?"))
    words.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    words.enable_truncation(max_length=8)
    words.enable_padding(length=5, pad_id=1, pad_token="?")
    words.save(str(tmp_path / "tokenizer.json"))
    counter = await counter_of(OpenAIEngine("main", str(tmp_path)))
    assert counter.count_text("a " * 100) == 100
    assert counter.count_text("a") == 1


async def test_a_tokenizer_that_cannot_be_read_is_no_reason_to_fail(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(json.dumps({"version": "of the future"}))
    assert await counter_of(OpenAIEngine("main", str(tmp_path))) is BYTES


@pytest.mark.parametrize(
    ("told", "used"),
    [
        (None, Usage(40, None, 7, True)),
        (Usage(), Usage(40, None, 7, True)),
        (Usage(0, 0, 0), Usage(40, None, 7, True)),
        (Usage(12, 3, 0), Usage(12, 3, 7, True)),
        (Usage(0, None, 5), Usage(40, None, 5, True)),
        (Usage(-1, None, -1), Usage(40, None, 7, True)),
        (Usage(12, 3, 5), Usage(12, 3, 5)),
    ],
)
def test_what_an_engine_leaves_out_is_put_in_and_marked(told: Usage | None, used: Usage) -> None:
    assert completed(told, 40, 7) == used


def test_a_reply_without_text_has_no_tokens_to_be_told() -> None:
    assert completed(Usage(12, None, 0), 40, 0) == Usage(12, None, 0)


async def test_what_was_counted_is_not_kept(tmp_path: Path) -> None:
    class Text(str):
        """One that can be watched."""

    tokenizers = pytest.importorskip("tokenizers")
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0, "?": 1}, unk_token="?"))
    words.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    words.save(str(tmp_path / "tokenizer.json"))
    counter = await counter_of(OpenAIEngine("main", str(tmp_path)))
    text = Text("a " * 1000)
    watched = weakref.ref(text)
    assert counter.count_text(text) == counter.count_text("a " * 1000) == 1000
    del text
    gc.collect()
    assert watched() is None
