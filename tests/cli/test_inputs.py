"""From what the user typed to typed inputs, and everything wrong with it at once."""

from __future__ import annotations

import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from orchestrator.cli.inputs import MOST_PROBLEMS, Parameter, as_given, from_command_line, from_file
from orchestrator.errors import UsageError
from tests.cli.conftest import Orch

QUESTION = Parameter("question", str)
COUNT = Parameter("count", int)
TAGS = Parameter("tags", list[str], required=False)


def test_text_stays_text_and_the_rest_is_json() -> None:
    given = from_command_line([QUESTION, COUNT, TAGS], ["question=12", "count=12", 'tags=["a", "b"]'], [])
    assert given == {"question": "12", "count": 12, "tags": ["a", "b"]}


def test_words_are_the_only_text_input() -> None:
    assert from_command_line([QUESTION], [], ["how", "many?"]) == {"question": "how many?"}


def test_a_value_may_come_from_a_file_and_hold_an_equals_sign(tmp_path: Path) -> None:
    (tmp_path / "q.txt").write_text("a = b?")
    assert from_command_line([QUESTION], [f"question=@{tmp_path / 'q.txt'}"], []) == {"question": "a = b?"}
    assert from_command_line([QUESTION], ["question=a=b"], []) == {"question": "a=b"}


def test_all_problems_are_said_at_once() -> None:
    with pytest.raises(UsageError) as caught:
        from_command_line([QUESTION, COUNT], ["count=many", "qestion=x", "nothing"], [])
    said = str(caught.value)
    assert [each.code for each in caught.value.diagnostics] == ["ORCH-U010"] * 3
    assert "did you mean `question`?" in said
    assert "`count` does not fit `int`" in said
    assert "has no `=`" in said


@pytest.mark.parametrize("parameters", [[QUESTION, Parameter("schema", str)], [COUNT], [QUESTION, COUNT], []])
def test_words_that_are_for_no_input_or_for_several_are_refused(parameters: list[Parameter]) -> None:
    with pytest.raises(UsageError, match="the only text that a workflow needs, and the workflow takes") as caught:
        from_command_line(parameters, [], ["hello"])
    fix = caught.value.diagnostics[0].fix or ""
    assert fix.count("--input") == len(parameters)
    assert parameters or fix == "leave the words out"


def test_a_missing_input_is_named() -> None:
    with pytest.raises(UsageError, match="`count: int` is missing"):
        from_command_line([QUESTION, COUNT], ["question=x"], [])


def test_a_line_is_a_run(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"question": "a", "count": 1}\n\n{"question": "b", "count": 2}\n')
    assert [each["count"] for each in from_file([QUESTION, COUNT], tmp_path / "in.jsonl").values()] == [1, 2]


@pytest.mark.parametrize(
    ("content", "code", "says"),
    [
        (None, "ORCH-U011", "cannot read"),
        (b"\xff\xfe\x00", "ORCH-U011", "cannot read"),
        (b"", "ORCH-U011", "holds no inputs"),
        (b"{}\n{", "ORCH-U010", "in.jsonl:1"),
        (b'{"question": "a"}\n{', "ORCH-U011", "in.jsonl:2 is not JSON"),
        (b"[1]", "ORCH-U011", "not a JSON object"),
        (b'{"question": 3}', "ORCH-U010", "does not fit `str`"),
    ],
)
def test_a_bad_file_is_named_with_its_line(tmp_path: Path, content: bytes | None, code: str, says: str) -> None:
    path = tmp_path / "in.jsonl"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        from_file([QUESTION], path)
    assert caught.value.code == code
    assert says in str(caught.value)


def test_an_unreadable_value_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="ORCH-U011"):
        from_command_line([QUESTION], [f"question=@{tmp_path / 'none'}"], [])


def test_plain_words_are_for_the_text_that_has_no_default() -> None:
    name, tone, times = (
        Parameter("name", str),
        Parameter("tone", str, required=False),
        Parameter("n", int, required=False),
    )
    assert from_command_line([tone, name, times], [], ["Ada", "L."]) == {"name": "Ada L."}
    assert from_command_line([tone, times], [], ["kind"]) == {"tone": "kind"}
    for several in ([name, Parameter("other", str)], [tone, Parameter("more", str, required=False)], [times]):
        with pytest.raises(UsageError):
            from_command_line(several, [], ["Ada"])


@pytest.mark.parametrize("odd", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\x1e"])
def test_a_line_of_json_ends_at_a_newline_only(tmp_path: Path, odd: str) -> None:
    (tmp_path / "in.jsonl").write_text(
        f'{{"question": "a{odd}b"}}\r\n{{"question": "c"}}\n', encoding="utf-8", newline=""
    )
    if ord(odd) < 0x20:  # JSON itself wants these escaped
        with pytest.raises(UsageError, match=r"in\.jsonl:1 is not JSON"):
            from_file([QUESTION], tmp_path / "in.jsonl")
    else:
        assert [each["question"] for each in from_file([QUESTION], tmp_path / "in.jsonl").values()] == [f"a{odd}b", "c"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_tells_the_encoding(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "in.jsonl").write_text('{"question": "é"}\n', encoding=encoding)
    assert from_file([QUESTION], tmp_path / "in.jsonl") == {1: {"question": "é"}}
    (tmp_path / "q.txt").write_text("é\r\n", encoding=encoding, newline="")
    assert from_command_line([QUESTION], [f"question=@{tmp_path / 'q.txt'}"], []) == {"question": "é\r\n"}


@pytest.mark.parametrize("line", ["[" * 100_000, '{"count": ' + "1" * 5_000 + "}"])
def test_json_that_python_cannot_hold_is_named_with_its_line(tmp_path: Path, line: str) -> None:
    (tmp_path / "in.jsonl").write_text('{"count": 1}\n' + line)
    with pytest.raises(UsageError, match=r"in\.jsonl:2 is not JSON"):
        from_file([COUNT], tmp_path / "in.jsonl")
    with pytest.raises(UsageError, match="does not fit `int`"):
        from_command_line([COUNT], [f"count={line}"], [])


def test_every_line_that_is_wrong_is_named_and_each_run_has_its_line(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text('{"question": "a"}\n\n"b"\n{"question": 3}\n{\n', encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        from_file([QUESTION], path)
    found = [(each.code, each.message.split("in.jsonl:")[1][:1]) for each in caught.value.diagnostics]
    assert found == [("ORCH-U011", "3"), ("ORCH-U010", "4"), ("ORCH-U011", "5")]
    path.write_text("\n" * 2 + "{\n" * 50, encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        from_file([QUESTION], path)
    assert len(caught.value.diagnostics) == MOST_PROBLEMS
    path.write_text('\n{"question": "a"}\n\n{"question": "b"}\n', encoding="utf-8")
    assert from_file([QUESTION], path) == {2: {"question": "a"}, 4: {"question": "b"}}


@pytest.mark.parametrize("words", [["-i", "question=a", "-i", "question=b"], ["a", "-i", "question=b"]])
def test_an_input_that_is_given_twice_hides_none(orch: Orch, folder: Path, words: list[str]) -> None:
    ended = orch("run", "flow.py", "--engine", "sim", *words)
    assert ended.code == 2
    assert "ORCH-U010]: the input `question` is given twice" in ended.err


def test_a_key_that_stands_twice_in_a_line_hides_none(orch: Orch, folder: Path) -> None:
    (folder / "in.jsonl").write_text('{"question": "a"}\n{"question": "a", "question": "b"}\n')
    ended = orch("run", "flow.py", "--engine", "sim", "--inputs", "in.jsonl")
    assert ended.code == 2
    assert "ORCH-U011]: in.jsonl:2 is not JSON: the key `question` stands there twice" in ended.err


def test_what_was_typed_arrives_in_a_locale_without_unicode() -> None:
    code = "import sys; from orchestrator.cli.inputs import as_given; print(ascii(as_given(sys.argv[1])))"
    env = {**os.environ, "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    ended = subprocess.run([sys.executable, "-c", code, "caf\u00e9".encode()], env=env, capture_output=True, check=True)
    assert ended.stdout.strip() == b"'caf\\xe9'"


def test_bytes_that_are_no_text_are_refused(orch: Orch, tmp_path: Path) -> None:
    (tmp_path / "flow.py").write_text(
        "from orchestrator import workflow\n@workflow\ndef same(text: str) -> str:\n    return text\n"
    )
    given = os.fsdecode(b"caf\xe9")
    with pytest.raises(UsageError, match="no UTF-8"):
        as_given(given)
    for words in ([given], ["-i", f"text={given}"]):
        ended = orch("run", str(tmp_path / "flow.py"), *words)
        assert (ended.code, ended.out) == (2, "")
        assert "caf\\udce9` is no UTF-8" in ended.err


def test_text_that_begins_with_an_at_sign_is_told_where_to_go() -> None:
    with pytest.raises(UsageError) as caught:
        from_command_line([QUESTION], ["question=@alice"], [])
    assert "as a plain word, or with --inputs" in str(caught.value)
    assert from_command_line([QUESTION], [], ["@alice"]) == {"question": "@alice"}


class Invoice(BaseModel):
    number: str
    total: Decimal
    lines: list[Decimal] = []


@pytest.mark.parametrize("written", ["19.990", "0.10", "98765432109876543210.123456789012345", "-1E-30", "1.0e500"])
def test_a_decimal_has_the_digits_that_were_written(tmp_path: Path, written: str) -> None:
    price, invoice = Parameter("price", Decimal | None), Parameter("invoice", Invoice)
    whole = f'{{"number": "7", "total": {written}, "lines": [{written}]}}'
    (tmp_path / "in.jsonl").write_text(f'{{"price": {written}, "invoice": {whole}}}\n')
    (tmp_path / "price.json").write_text(written + "\n")
    lines = from_file([price, invoice], tmp_path / "in.jsonl")[1]
    for given in (
        lines,
        from_command_line([price, invoice], [f"price={written}", f"invoice={whole}"], []),
        from_command_line([price, invoice], [f"price=@{tmp_path / 'price.json'}", f"invoice={whole}"], []),
    ):
        assert isinstance(given["invoice"], Invoice)
        for read in (given["price"], given["invoice"].total, *given["invoice"].lines):
            assert str(read) == str(Decimal(written))


def test_beside_a_decimal_other_numbers_are_as_ever(tmp_path: Path) -> None:
    parameters = [Parameter("price", Decimal), Parameter("rest", Any), Parameter("shares", list[int | float])]
    (tmp_path / "in.jsonl").write_text('{"price": 2.50, "rest": {"a": 2.50}, "shares": [1, 0.50]}')
    given = from_file(parameters, tmp_path / "in.jsonl")[1]
    assert f"{given}" == "{'price': Decimal('2.50'), 'rest': {'a': 2.5}, 'shares': [1, 0.5]}"


def test_beside_a_decimal_in_one_input_other_numbers_are_floats() -> None:
    given = from_command_line(
        [Parameter("mixed", dict[str, Decimal | list[Any]])], ['mixed={"a": 1.50, "b": [1e2]}'], []
    )
    assert isinstance(given["mixed"], dict)
    assert (str(given["mixed"]["a"]), str(given["mixed"]["b"])) == ("1.50", "[100.0]")
    assert f"{given['mixed']['b'][0]}" == "100.0"
