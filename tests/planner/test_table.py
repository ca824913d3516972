import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.planner.table import PROSE, Column, cells, cut, table, wrap

COLUMNS = (
    Column("op", least=6),
    Column("what", least=5, rank=2),
    Column("time"),
    Column("cost", right=True, rank=1),
    Column("source", least=8, keep_end=True, rank=3),
)
ROWS = [
    ["├─ summarise", "ask model", "1.2s (900ms-1.9s)", "$0.12", "a/long/path/to/the/flow.py:14"],
    ["└─ 翻译", "ask model ×12 → Übersetzung", "2s", "?", "flow.py:9"],
]


def test_a_description_is_cut_before_anything_is_left_out_and_keeps_its_end_where_that_matters() -> None:
    lines = table(
        (Column("a"), Column("b"), Column("c", least=3, keep_end=True, rank=1)),
        [["first", "whole", "path/to/file"]],
        18,
    )
    assert lines[1] == "first  whole  …ile"
    assert max(map(len, lines)) == 18


def test_columns_go_by_rank_and_their_names_are_said() -> None:
    assert "flow.py:14" in table(COLUMNS, ROWS, 80)[1]
    narrow = table(COLUMNS, ROWS, 44)
    assert narrow[0].split() == ["op", "time", "cost"]
    assert narrow[-1] == "(what, source: no room)"
    assert narrow[1].startswith("├─ summarise  1.2s (900ms-1.9s)  $0.12")
    assert table(COLUMNS, ROWS, 34)[0].split() == ["op", "time"]


def test_a_column_without_room_takes_no_other_with_it() -> None:
    columns = (Column("op"), Column("while", rank=1), Column("hit", rank=2))
    assert table(columns, [["llm_1", "fetch_the_report", "90 %"]], 20) == [
        "op     hit",
        "llm_1  90 %",
        "(while: no room)",
    ]


def test_names_are_cut_last_of_all() -> None:
    lines = table(COLUMNS, ROWS, 27)
    assert lines[1] == "├─ summ…  1.2s (900ms-1.9s)"


def test_without_a_width_nothing_is_cut() -> None:
    assert all(cell in line for row, line in zip(ROWS, table(COLUMNS, ROWS, None)[1:], strict=True) for cell in row)


def test_wide_characters_stand_below_each_other() -> None:
    lines = table((Column("name"), Column("x")), [["翻译", "1"], ["e\u0301", "2"], ["🙂", "3"], ["abcd", "4"]], 80)
    assert [cells(line[: line.index(digit)]) for line, digit in zip(lines, "x1234", strict=True)] == [6] * 5


def test_a_cell_is_one_line() -> None:
    lines = table((Column("name"),), [["two\nlines\x1b[31m"]], 80)
    assert lines == ["name", "two lines [31m"]


@given(
    st.lists(st.lists(st.text(max_size=30), min_size=5, max_size=5), max_size=4),
    st.sampled_from([40, 60, 80, 100, 200]),
)
def test_no_line_is_wider_than_the_terminal_unless_figures_alone_are(rows: list[list[str]], width: int) -> None:
    figures = max(cells(row[2]) for row in [["", "", "time"], *rows])
    assert all(cells(line) <= max(width, 6 + 2 + figures) for line in table(COLUMNS, rows, width))


@given(st.text(), st.integers(1, 120))
def test_cut_never_gives_more_cells_than_asked(text: str, width: int) -> None:
    assert cells(cut(text, width)) <= width
    assert cells(cut(text, width, keep_end=True)) <= width


def test_cutting() -> None:
    assert cut("abc", 3) == "abc"
    assert cut("abcd", 3) == "ab…"
    assert cut("abcd", 3, keep_end=True) == "…cd"
    assert cut("翻译翻译", 4) == "翻…"


@pytest.mark.parametrize("width", [40, 80, 200])
def test_sentences_are_wrapped_by_cells_and_lose_nothing(width: int) -> None:
    text = "das Übersetzen 翻译翻译翻译 takes " + "a/path/without/blanks" * 9 + " and then some more words follow"
    lines = list(wrap(text, width, "notes   ", " " * 8))
    assert max(map(cells, lines)) <= min(width, PROSE)
    assert "".join(line[8:] for line in lines).replace(" ", "") == text.replace(" ", "")


def test_a_pipe_gets_long_words_whole() -> None:
    path = "a/path/without/blanks" * 9
    assert path in list(wrap(f"see {path}", None))
