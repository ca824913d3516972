"""Of several revisions of a model in the local cache, the one that the hub calls main is meant."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from orchestrator.hub_cache import cached
from orchestrator.planner.cluster import EngineSpec
from orchestrator.planner.models import facts_of
from orchestrator.runtime.engines.token_count import _tokenizer
from tests.planner.clusters import LLAMA_8B

OLD, NEW = "0" * 40, "f" * 40


def revisions(hub: Path, file: str, texts: dict[str, str], **refs: str) -> Path:
    """A cache with these revisions of ``org/name``, the later ones newer."""
    folder = hub / "models--org--name"
    for age, (revision, text) in enumerate(texts.items()):
        path = folder / "snapshots" / revision / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        os.utime(path, (age, age))
    for name, commit in refs.items():
        path = folder / "refs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(commit)
    return folder


@pytest.mark.parametrize("main", [OLD, NEW])
def test_the_revision_of_main(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, main: str) -> None:
    layers = {OLD: 2, NEW: 3}
    texts = {commit: json.dumps({**LLAMA_8B, "num_hidden_layers": count}) for commit, count in layers.items()}
    revisions(tmp_path / "hub", "config.json", texts, main=f"{main}\n", pr=OLD)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    assert facts_of(EngineSpec(name="e", kind="vllm", model="org/name")).layers == layers[main]
    asked = EngineSpec(name="e", kind="vllm", model="org/name", options={"extra": {"revision": "pr"}})
    assert facts_of(asked).layers == layers[OLD]
    exact = EngineSpec(name="e", kind="vllm", model="org/name", options={"extra": {"revision": NEW}})
    assert facts_of(exact).layers == layers[NEW]


def test_the_tokenizer_of_main(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    words = {
        commit: tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0, text: 1}, unk_token="a"))
        for commit, text in {OLD: "b", NEW: "c"}.items()
    }
    for commit, split in {OLD: False, NEW: True}.items():
        if split:
            words[commit].pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    texts = {commit: each.to_str() for commit, each in words.items()}
    revisions(tmp_path, "tokenizer.json", texts, main=NEW)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    counter = _tokenizer.__wrapped__("org/name")
    assert counter is not None
    assert counter.count_text("a b c") == 3


@pytest.mark.parametrize("main", [None, "", "gone", "../../..", "/etc", "\0", "a/b"])
def test_without_a_main_that_is_there_the_newest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, main: str | None
) -> None:
    folder = revisions(tmp_path, "config.json", {NEW: "", OLD: ""}, **({} if main is None else {"main": main}))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    assert [path.parent.name for path in cached("org/name", "config.json")] == [OLD, NEW]
    (folder / "snapshots" / OLD / "config.json").unlink()
    (folder / "snapshots" / OLD / "config.json").symlink_to(tmp_path / "nothing")
    assert [path.parent.name for path in cached("org/name", "config.json")] == [NEW]
    assert list(cached("org/other", "config.json")) == []


@pytest.mark.parametrize("model", ["org/" + "n" * 300, "n" * 300])
def test_a_name_that_no_folder_can_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    assert list(cached(model, "config.json")) == []
    assert not facts_of(EngineSpec(name="e", kind="vllm", model=model)).known
    assert _tokenizer.__wrapped__(model) is None


def test_a_revision_that_cannot_be_looked_at_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link whose target no file can have fails as a folder of another user does, for root, too."""
    folder = revisions(tmp_path, "config.json", {OLD: "", NEW: ""}, main=NEW)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    (folder / "snapshots" / NEW / "config.json").unlink()
    (folder / "snapshots" / NEW / "config.json").symlink_to("n" * 300)
    assert [path.parent.name for path in cached("org/name", "config.json")] == [OLD]


def test_where_the_cache_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    places = [
        (None, tmp_path / ".cache" / "huggingface" / "hub"),
        ("XDG_CACHE_HOME", tmp_path / "x" / "huggingface" / "hub"),
        ("HF_HOME", tmp_path / "x" / "hub"),
        ("HF_HUB_CACHE", tmp_path / "x"),
    ]
    for name, hub in places:
        if name:
            monkeypatch.setenv(name, str(tmp_path / "x"))
        folder = revisions(hub, "config.json", {NEW: ""}, main=NEW)
        assert list(cached("org/name", "config.json")) == [folder / "snapshots" / NEW / "config.json"]
