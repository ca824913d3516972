"""URLs and keys as people have them."""

from __future__ import annotations

import pytest

from orchestrator.errors import EngineError
from orchestrator.runtime.engines.endpoint.address import LOCAL_KEY, api_key, checked_url
from orchestrator.runtime.engines.openai import OpenAIEngine, OpenAIOptions


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("http://h:8000/v1", "http://h:8000/v1"),
        ("http://h:8000/v1/", "http://h:8000/v1"),
        (" http://h:8000/v1\n", "http://h:8000/v1"),
        ('"https://h/v1"', "https://h/v1"),
        ("http://h/v1/chat/completions", "http://h/v1"),
        ("http://h/v1/chat/completions/", "http://h/v1"),
        ("http://h/v1/models", "http://h/v1"),
        ("https://h/openai/v1?api-version=2", "https://h/openai/v1?api-version=2"),
        ("http://[::1]:8000/v1", "http://[::1]:8000/v1"),
        ("http://me:pw@h/v1", "http://me:pw@h/v1"),
    ],
)
def test_what_is_meant(given: str, url: str) -> None:
    assert checked_url(given) == url


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("", "empty"),
        ("  \n", "empty"),
        ("localhost:8000/v1", "http://localhost:8000/v1"),
        ("//h/v1", "no scheme"),
        ("ftp://h/v1", "no http"),
        ("http://", "names no host"),
        ("http:///v1", "names no host"),
        ("http://h:port/v1", "ort"),
        ("http://h:99999/v1", "ort"),
        ("http://h/v 1", "blank"),
    ],
)
def test_what_cannot_be_meant_is_said_before_anything_is_sent(given: str, words: str) -> None:
    with pytest.raises(EngineError) as caught:
        OpenAIEngine("e", "m", OpenAIOptions(base_url=given))
    assert caught.value.code == "ORCH-E016"
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("value", "key"), [("sk-1", "sk-1"), ("sk-1\n", "sk-1"), ("\t sk-1 ", "sk-1"), ("", LOCAL_KEY), (" \n", LOCAL_KEY)]
)
def test_keys(value: str, key: str) -> None:
    assert api_key("K", {"K": value}) == key


def test_no_key_is_none() -> None:
    assert api_key("K", {}) == LOCAL_KEY


@pytest.mark.parametrize(
    "value", ["“sk-secret”", '"sk-secret"', "'sk-secret'", "sk-\nsecret", "sk secret", "sk-sécret", "sk\x00s"]
)
def test_what_is_no_key_is_an_error_that_does_not_show_it(value: str) -> None:
    with pytest.raises(EngineError) as caught:
        api_key("MY_KEY", {"MY_KEY": value})
    assert caught.value.code == "ORCH-E027"
    assert "MY_KEY" in str(caught.value)
    assert "secret" not in str(caught.value)
