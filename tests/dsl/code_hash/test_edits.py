"""What an edit of a workflow, or of what it reads, does to the hashes of its ops: one row an edit."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.ir.hash import op_hashes
from tests.dsl.code_hash.conftest import Imported

FLOW = '''
import enum
import typing
from typing import List, Optional, Union
from pydantic import BaseModel, ConfigDict
import helpers
from helpers import clean, judge
from orchestrator import branch, llm, map_, tool, workflow

LIMIT = 3
STYLE = "short"
CHOSEN = ("first", frozenset({"second", 2}))

class Kind(enum.Enum):
    """What a message may be."""
    BUG = "bug"
    OTHER = "other"

class Settings(BaseModel):
    model_config = ConfigDict(frozen=True)
    rate: float = 0.5

SETTINGS = Settings()

class Answer(BaseModel):
    text: str
    score: int = 0

class Base:
    def factor(self): return 2

class Service(Base):
    def apply(self, n: float) -> float: return n * self.factor()

def shaped(text: str) -> str:
    return f"<{text}>"

@tool(effects="pure")
def fetch(question: str) -> list[str]:
    """Words of a question."""
    found = clean(question).split()  # words
    return [each for each in found if each not in CHOSEN[1]][:LIMIT]

@tool(effects="reads", retry=2)
def rated(words: list[str], weight: float = 1.0) -> float:
    return len(words) * SETTINGS.rate * helpers.FACTOR * weight + Service().apply(1.0)

@tool(effects="once", timeout="9s")
def send(text: str, kind: Kind = Kind.BUG) -> Optional[str]:
    return text if kind is Kind.BUG else None

@workflow(budget="$1", max_items=20)
def flow(question: str, many: list[str]) -> str:
    """Answers, and tells."""
    words = fetch.options(name="words")(question)
    rate = rated.options(name="rate", retry=3)(words)
    reply = llm(
        f"Answer in {STYLE}: {shaped(question)}\\n{words}",
        model="small", temperature=0.5, returns=Answer, retry=2, name="reply",
    )
    joke = llm("A joke, please.", name="joke", timeout="30s")
    judged = judge(joke)
    each = map_(lambda one: one.upper(), many, limit=10, name="each")
    more = branch(reply.score > 3, lambda: reply.text, lambda: judged, name="more")
    return f"{send.options(name='sent')(f'{more} {rate}')} {each}"
'''
HELPERS = """
from orchestrator import llm
FACTOR = 11
WORDY = {"a": 1}
def inner(text): return text.strip()
def clean(text): return inner(text).lower()
def judge(text):
    return llm(f"Is it funny?\\n{text}", name="judged")
"""
JOKE = FLOW[FLOW.index("    joke =") : FLOW.index("    each =")]
EACH = FLOW[FLOW.index("    each =") : FLOW.index("    more =")]
OPS = ("words", "rate", "reply", "joke", "judged", "each", "more", "sent")
NOTHING: tuple[str, ...] = ()
OF_WORDS = ("words", "rate", "reply", "more", "sent")
OF_RATE = ("rate", "sent")
OF_REPLY = ("reply", "more", "sent")
OF_JOKE = ("joke", "judged", "more", "sent")

EDITS = [
    # nothing that the workflow means
    ("words = fetch", "words = found = fetch", NOTHING),
    ("rate = rated.options(", "speed = rate = (rated).options(", NOTHING),
    ("joke = llm(", "joke  =  llm(  # a comment\n        ", NOTHING),
    ('"""Answers, and tells."""', '"""Something else."""', NOTHING),
    ('    """Answers, and tells."""\n', "", NOTHING),
    ('"""Words of a question."""', '"""Other words."""', NOTHING),
    ("  # words", "", NOTHING),
    ('"""What a message may be."""', '"""Kinds."""', NOTHING),
    ("import enum\n", "from __future__ import annotations\nimport enum\n", NOTHING),
    ("-> Optional[str]", "-> str | None", NOTHING),
    ("-> Optional[str]", "-> Union[None, str]", NOTHING),
    ("def flow(question: str,", 'def flow(question: "str",', NOTHING),
    ("question: str) -> list[str]", "question: str) -> List[str]", NOTHING),
    ("words: list[str], weight", "words: typing.List[str], weight", NOTHING),
    ("def apply(self, n: float) -> float:", "def apply(self, n):", NOTHING),
    ("def clean(text):", "def clean(text: str) -> str:", NOTHING),
    ("retry=3", "retry=5", NOTHING),
    ("retry=2, name", "retry=4, name", NOTHING),
    ('effects="reads", retry=2', 'effects="reads", retry=7, timeout="1m"', NOTHING),
    ('timeout="9s"', 'timeout="99s", typical_s=3.0', NOTHING),
    ('timeout="30s"', 'timeout="3m", budget="2 cents"', NOTHING),
    ('budget="$1"', 'budget="$2", slo="p95 < 9s"', NOTHING),
    ("max_items=20", "max_items=20, name='other'", NOTHING),
    ('(question)\n    rate', '(question)\n    fetch.options(name="again")("aside")\n    rate', NOTHING),
    (JOKE + EACH, EACH + JOKE, NOTHING),
    ("lambda one: one.upper()", "lambda item: item.upper()", NOTHING),
    ("LIMIT = 3", "LIMIT = 2 + 1", NOTHING),
    ("LIMIT = 3\n", "UNREAD = 9\nLIMIT = 3\n", NOTHING),
    ("{\"second\", 2}", "{2, 'second'}", NOTHING),
    ('WORDY = {"a": 1}', 'WORDY = {"b": 2}', NOTHING),
    ("def shaped(text: str) -> str:", "def shaped(given: str) -> str:\n    text = given", NOTHING),
    ("reply.score > 3", "3 < reply.score", NOTHING),
    # what it means
    ("Answer in {STYLE}", "Reply in {STYLE}", OF_REPLY),
    ('STYLE = "short"', 'STYLE = "long"', OF_REPLY),
    ('f"<{text}>"', 'f"[{text}]"', OF_REPLY),
    ('model="small"', 'model="large"', OF_REPLY),
    ("temperature=0.5", "temperature=0.6", OF_REPLY),
    ("temperature=0.5", "temperature=0.5, max_tokens=9", OF_REPLY),
    ("score: int = 0", "score: int = 1", OF_REPLY),
    ("class Answer(BaseModel):", "class Answer(BaseModel):\n    '''An answer.'''", OF_REPLY),
    ("A joke, please.", "A pun, please.", OF_JOKE),
    ("Is it funny?", "Is it good?", OF_JOKE[1:]),
    ("[:LIMIT]", "[-LIMIT:]", OF_WORDS),
    ("LIMIT = 3", "LIMIT = 4", OF_WORDS),
    ("{\"second\", 2}", "{\"second\", 3}", OF_WORDS),
    ("text.strip()", "text.rstrip()", OF_WORDS),
    (".lower()", ".upper()", OF_WORDS),
    ('@tool(effects="pure")', '@tool(effects="idempotent")', OF_WORDS),
    ("FACTOR = 11", "FACTOR = 12", OF_RATE),
    ("rate: float = 0.5", "rate: float = 0.6", OF_RATE),
    ("SETTINGS = Settings()", "SETTINGS = Settings(rate=0.7)", OF_RATE),
    ("weight: float = 1.0", "weight: float = 2.0", OF_RATE),
    ("def factor(self): return 2", "def factor(self): return 3", OF_RATE),
    ("return n * self", "return n + self", OF_RATE),
    ('BUG = "bug"', 'BUG = "defect"', ("sent",)),
    ("if kind is Kind.BUG", "if kind is not Kind.BUG", ("sent",)),
    ("= Kind.BUG)", "= Kind.OTHER)", ("sent",)),
    ("one.upper()", "one.lower()", ("each",)),
    ("limit=10", "limit=11", ("each",)),
    ("reply.score > 3", "reply.score > 4", ("more", "sent")),
]  # fmt: skip


def hashes(imported: Imported, flow: str, helpers: str) -> dict[str, str]:
    found = op_hashes(imported(flow, helpers=helpers).flow.trace().module)
    return {name: found[name] for name in OPS}


@pytest.mark.parametrize(("old", "new", "changed"), EDITS)
def test_an_edit_changes_the_hashes_of_the_ops_that_it_gives_another_meaning(
    imported: Imported, old: str, new: str, changed: tuple[str, ...]
) -> None:
    assert (FLOW + HELPERS).count(old) >= 1
    before = hashes(imported, FLOW, HELPERS)
    after = hashes(imported, FLOW.replace(old, new), HELPERS.replace(old, new))
    assert tuple(name for name in OPS if before[name] != after[name]) == changed


RICH = """
import enum, functools, json
from collections import namedtuple
from dataclasses import dataclass, field
from typing import NamedTuple, TypedDict

DEPTH, NAMES = 0x10, (b"a", 1_000.5, 2j, ..., None, "\u00e9\U0001f600")

class Level(enum.IntFlag):
    LOW = 1
    HIGH = enum.auto()

@dataclass(frozen=True, slots=True)
class Point:
    x: int = 0
    tags: tuple[str, ...] = field(default=("a",))

class Row(NamedTuple):
    name: str
    size: int = 3

class Entry(TypedDict, total=False):
    key: str

Pair = namedtuple("Pair", "left right")
ORIGIN = Point(1)

def cached(fn):
    @functools.wraps(fn)
    def call(*given, **named): return fn(*given, **named)
    return call

class Holder:
    limit: int = 9
    def __init__(self, *, size=DEPTH): self.size = size
    @property
    def half(self): return self.size // 2
    @staticmethod
    def made(x): return Pair(x, x)
    @classmethod
    def of(cls, x): return cls(size=x)

@cached
def walked(x, /, *rest, deep: bool = True, **more):
    with open("x") as a, open("y") as b:
        pass
    try:
        import math
        total = sum(y := each for each in rest if each)
    except (ValueError, TypeError) as error:
        raise RuntimeError(f"{error!r:>{DEPTH}}{'a' 'b'}{x=}") from error
    else:
        del total
    finally:
        assert x, "no"
    match x:
        case {"a": [1, *others], **left} if others: return left
        case Point(x=0) | Row(name="n"): return ORIGIN
        case (Level.HIGH | None) as found: return found
        case -1 | "s" | True: return NAMES
    while x:
        x -= 1
        if x == 3: continue
        break
    else:
        return lambda a, b=2, *, c=3: a if b else {**c, "k": [*a]}
    async def inner():
        async for each in x:
            yield (await each), {i: j for i in x async for j in i}
    for i, (j, *k) in x[::2, 1:]:
        x.y[0] @= ~i ** -j << k
    global LATER
    LATER = Holder.of(1).half, Holder.made(2), Entry(key="x"), json.dumps
    return inner, not x < i <= j != k is not None
"""
ASKED = """
import sys
sys.dont_write_bytecode = True
import rich
from orchestrator.dsl.code_hash import code_hash
print(code_hash(rich.walked), code_hash(rich.Holder), code_hash(rich.Holder.of), code_hash(rich.cached))
"""


def interpreters() -> list[str]:
    """Other Pythons of this machine that the project runs on."""
    names = [f"python3.{minor}" for minor in range(11, 16) if minor != sys.version_info.minor]
    folders = os.get_exec_path() + [str(each) for each in Path.home().glob(".pyenv/versions/*/bin")]
    found = {name: each for name in names for folder in folders if _runs(each := f"{folder}/{name}")}
    return list(found.values())


def _runs(python: str) -> bool:
    command = [python, "-c", "import sys"]
    return Path(python).is_file() and subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_the_hash_is_equal_under_every_python_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "rich.py").write_text(RICH, encoding="utf-8")
    path = os.pathsep.join([str(tmp_path), str(Path(__file__).parents[3])])
    said = {
        python: subprocess.run(
            [python, "-c", ASKED], capture_output=True, text=True, check=True, env={"PYTHONPATH": path}
        ).stdout
        for python in (sys.executable, *interpreters())
    }
    assert len(set(said.values())) == 1, said
    assert said[sys.executable].split() == [
        "6553abb7b6509528",
        "7294c0b11a9f2c2d",
        "2333cc82c0190a10",
        "c40af8436c43dc88",
    ]
