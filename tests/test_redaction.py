"""No credential is shown, whatever it stands in."""

from __future__ import annotations

import logging

import pytest

from orchestrator.errors import EngineError
from orchestrator.planner.cluster import Cluster, EngineSpec
from orchestrator.redaction import Redaction, redacted, secrets_in, secrets_of, shown
from orchestrator.runtime.engines.endpoint.address import checked_url
from orchestrator.runtime.engines.openai import OpenAIOptions
from orchestrator.runtime.engines.registry import check_options


@pytest.mark.parametrize(
    ("url", "seen"),
    [
        ("http://h:8000/v1", "http://h:8000/v1"),
        ("http://[::1]:8000/v1", "http://[::1]:8000/v1"),
        ("https://h/v1/@cf/meta", "https://h/v1/@cf/meta"),
        ("https://me:hush@h/v1?key=hush&v=1", "https://***@h/v1?key=***&v=***"),
        ("https://hush@h/v1", "https://***@h/v1"),
        ("https://me:hu/sh@h/v1", "https://***@h/v1"),
        ("https://me:hush?@h/v1", "https://***@h/v1"),
        ("https://me:hu@sh@h:80/v1", "https://***@h:80/v1"),
        ("me:hush@h:8000/v1", "***@h:8000/v1"),
        ("https://h/v1?hush", "https://h/v1?***"),
        ("https://h/v1?a=1;key=hush", "https://h/v1?a=***&key=***"),
        ("https://h/v1#token=hush", "https://h/v1#token=***"),
        ("", ""),
    ],
)
def test_a_url_without_credentials(url: str, seen: str) -> None:
    assert shown(url) == seen
    for secret in ("hush", "hu/sh", "hu@sh"):
        assert secret not in Redaction(secrets_of(url))(f"cannot reach {url}"), secret


def test_a_secret_is_found_quoted_and_unquoted() -> None:
    text = Redaction([*secrets_of("https://me:hu%20sh@h/v1?key=abc+def"), "sk-1234"])
    assert text("hu sh, hu%20sh, abc+def, abc def and sk-1234") == "***, ***, ***, *** and ***"


def test_a_short_password_is_hidden_where_it_stands_as_one() -> None:
    assert Redaction(secrets_of("http://me:pw@h/v1"))("GET http://me:pw@h/v1: pw") == "GET http://***@h/v1: pw"


@pytest.mark.parametrize(
    "options",
    [
        {"base_url": "http://me:hush@h/v1"},
        {"base_url": "me:hush@h/v1"},
        {"endpoints": ["http://a/v1", "http://me:hush@b/v1"]},
        {"extra_body": {"api_key": "hush", "nested": [{"Authorization": "hush"}]}},
        {"extra": {"hf_token": "hush", "headers": {"X-Api-Key": "hush", "cookie": "hush"}}},
        {"extra": {"mirror": "https://h/models?sig=hush"}},
        {"extra": {"credentials": {"kind": "plain", "value": "hush", "more": [{"x": "hush"}]}}},
        {"extra_body": {"headers": {"X-Auth": "hush", "passphrase": "hush", "DB_PWD": "hush", "bearer": "hush"}}},
    ],
)
def test_a_cluster_is_printed_and_saved_without_credentials(options: dict[str, object]) -> None:
    cluster = Cluster(engines=(EngineSpec(name="e", kind="openai", model="m", options=options),))  # type: ignore[arg-type]
    for text in (cluster.model_dump_json(), str(cluster.model_dump(mode="json")), repr(cluster), str(cluster)):
        assert "hush" not in text
        assert "***" in text
    assert cluster.engines[0].options == options
    assert "hush" in secrets_in(options)


def test_what_is_no_credential_stays() -> None:
    options = {"key_env": "MY_KEY", "max_tokens": 5, "extra_body": {"top_k": 20, "stop": "a@b"}, "replies": ["x=1?y"]}
    assert redacted(options) == options


@pytest.mark.parametrize(
    "url", ["me:hush@h/v1", "//me:hush@h/v1", "ftp://me:hush@h", "http://me:hu/sh@h/v1", "http://me:hush@h:x/v1"]
)
def test_a_url_that_is_wrong_is_told_without_its_password(url: str) -> None:
    with pytest.raises(ValueError, match=r"\*\*\*@h") as caught:
        checked_url(url)
    assert "hu" not in str(caught.value).replace("http", "")


@pytest.mark.parametrize("url", ["http://***@h/v1", "http://h/v1?key=***"])
def test_a_url_out_of_a_saved_plan_is_no_url_to_call(url: str) -> None:
    with pytest.raises(ValueError, match="none is saved with a plan"):
        checked_url(url)


def test_options_are_told_without_credentials() -> None:
    options = OpenAIOptions(base_url="http://me:hush@h/v1", extra_body={"token": "hush"})
    assert "hush" not in repr(options)
    wrong = EngineSpec(name="e", kind="openai", model="m", options={"endpoints": "http://me:hush@h/v1"})
    with pytest.raises(EngineError, match=r"\*\*\*@h") as caught:
        check_options(wrong)
    assert "hush" not in str(caught.value)


def test_a_logger_says_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("tests.redaction")
    logger.addFilter(Redaction(["hush-hush"]).record)
    with caplog.at_level(logging.INFO):
        logger.info("HTTP Request: %s %s", "POST", "http://h/v1?key=hush-hush")
        logger.info("%d%%", 5)
    assert caplog.messages == ["HTTP Request: POST http://h/v1?key=***", "5%"]
