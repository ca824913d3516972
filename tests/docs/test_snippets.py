"""Every Python snippet of the documentation runs, and every ``orch`` command in it takes the options that it shows."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import BaseModel, SecretStr

import orchestrator
from orchestrator.cli.group import COMMANDS, cli
from tests.cli.conftest import FLOW

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCKS = [
    pytest.param(language, text, id=f"{page.name}:{number}")
    for page in PAGES
    for number, (language, text) in enumerate(
        re.findall(r"^```(\w+)\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S), 1
    )
    if language in ("python", "bash")
]
PYTHON = [each for each in BLOCKS if each.values[0] == "python"]
ORCH = [
    pytest.param(shlex.split(line, comments=True), id=line.partition("#")[0].strip())
    for each in BLOCKS
    if each.values[0] == "bash"
    for line in str(each.values[1]).replace("\\\n", " ").splitlines()
    if line.startswith("orch ")
]


class Receipt(BaseModel):
    number: int = 1


class Document(BaseModel):
    text: str = ""


def names() -> dict[str, Any]:
    """What the pages take for granted: the public names, and a few of a user's own."""

    def search(query: str) -> list[str]:
        return [query]

    public = {name: getattr(orchestrator, name) for name in orchestrator.__all__}
    pure = orchestrator.tool(effects="pure")
    own = {"BaseModel": BaseModel, "Literal": Literal, "Receipt": Receipt, "Document": Document, "search": pure(search)}
    own |= {"Iterator": Iterator, "SecretStr": SecretStr}
    return public | own | {"__name__": "snippet"}


@pytest.mark.parametrize(("language", "text"), PYTHON)
def test_a_python_snippet_is_python(language: str, text: str) -> None:
    inside_an_async_function = re.search(r"^\s*(await |\w+ = await )", text, re.M)
    indented = "".join(f"    {line}\n" for line in text.splitlines())
    compile(f"async def snippet():\n{indented}" if inside_an_async_function else text, "snippet", "exec")


@pytest.mark.parametrize(("language", "text"), [each for each in PYTHON if "@tool" in str(each.values[1])])
def test_the_tools_of_a_snippet_can_be_made(language: str, text: str) -> None:
    space = names()
    exec(text.replace("import sqlite3", ""), space | {"PLANETS": [], "sqlite3": __import__("sqlite3")}, space)
    made = [each for each in space.values() if isinstance(each, orchestrator.Tool)]
    for each in made:
        assert not each.boundary.problems, each.boundary.problems[0]


@pytest.mark.parametrize("words", ORCH)
def test_a_command_takes_what_it_is_shown_with(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "flow.py").write_text(FLOW)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    _, name, *arguments = words
    assert name in COMMANDS
    with cli.make_context("orch", [name]) as around:
        command = cli.get_command(around, name)
        assert command is not None
        command.make_context(name, arguments, around)


def test_there_are_snippets_to_look_at() -> None:
    assert len(PYTHON) >= 8
    assert len(ORCH) >= 15
