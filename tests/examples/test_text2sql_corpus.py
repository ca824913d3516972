"""The text-to-SQL corpus: deterministic, executable, disjoint from its evaluation side, in the workflow's format."""

import itertools
import re
import sqlite3
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from examples.text2sql import prompts
from examples.text2sql.corpus import Case, same_result, training_group, unseen_cases
from examples.text2sql.corpus.cases import cases
from examples.text2sql.corpus.words import DEMO_WORDS, PREFIXES, SUFFIXES, Lexicon, is_unseen
from examples.text2sql.schema_text import rows_text, schema_text

GENERIC = frozenset({"name", "title", "label", "code", "number", "address", "email", "release", "unit"})

MODEL = Path(__file__).parents[2] / "examples" / "text2sql" / "model"


def _identifiers(made: list[Case]) -> set[str]:
    text = "\n".join(re.sub(r"\[[^\]]*\]", "", case.schema) for case in made)
    return set(re.findall(r"[a-z]+", text)) - {"int", "text", "real"}


@pytest.fixture(scope="module")
def unseen() -> list[Case]:
    return unseen_cases(seed=5, n_schemas=25, n_questions=500)


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return AutoTokenizer.from_pretrained(MODEL)


def test_same_seed_same_cases_and_another_seed_other_cases() -> None:
    assert unseen_cases(3, 4, 20) == unseen_cases(3, 4, 20)
    assert {case.question for case in unseen_cases(3, 4, 20)}.isdisjoint(c.schema for c in unseen_cases(4, 4, 20))
    assert unseen_cases(3, 4, 20) != unseen_cases(4, 4, 20)
    assert training_group(11, 6) == training_group(11, 6)


def test_cases_spread_evenly_over_distinct_schemas(unseen: list[Case]) -> None:
    schemas = {case.database_id: case.schema for case in unseen}
    assert len(unseen) == 500
    assert len(set(schemas.values())) == 25
    assert {sum(case.database_id == key for case in unseen) for key in schemas} == {20}


def test_every_gold_query_returns_rows_on_the_built_database(unseen: list[Case]) -> None:
    for case in unseen:
        connection = case.connect()
        rows = connection.execute(case.sql).fetchall()
        assert rows, case.sql
        assert rows[0][0] is not None, case.sql
        assert schema_text(connection) == case.schema
        connection.close()


def test_a_case_builds_the_same_database_as_a_file(unseen: list[Case], tmp_path: Path) -> None:
    case = unseen[0]
    rows = case.connect(str(tmp_path / "case.db")).execute(case.sql).fetchall()
    assert rows == case.connect().execute(case.sql).fetchall()


def test_at_least_twelve_kinds_of_question(unseen: list[Case]) -> None:
    assert len({case.kind for case in unseen}) >= 20


def test_training_and_unseen_names_are_disjoint(unseen: list[Case]) -> None:
    trained = cases(seed=5, n_schemas=40, n_questions=80, unseen=False)
    shared = {name for name in _identifiers(trained) & _identifiers(unseen) if len(name) > 3}
    # Generic naming words that any schema uses: the label column, measure prefixes and suffixes, free-text columns.
    generic = {*PREFIXES, *SUFFIXES, *GENERIC}
    assert {name for name in shared if name not in generic and name.removesuffix("s") not in generic} == set()


def test_the_demonstration_vocabulary_is_kept_out_of_training() -> None:
    lexicon = Lexicon(unseen=False)
    pools = {*lexicon.nouns, *lexicon.numeric, *lexicon.categories, *lexicon.values}
    assert pools.isdisjoint(DEMO_WORDS)
    assert not any(map(is_unseen, pools))


def test_dialogues_start_with_the_prompts_of_the_workflow() -> None:
    for seed in range(20):
        group = training_group(seed, 6)
        for turns in group.dialogues:
            first = turns[0].content
            found = re.fullmatch(r"Schema:\n(.*)\nQuestion: ([^\n]*)\n(SQL|Tables)\?", first, re.DOTALL)
            assert found is not None
            prompt = prompts.link if found[3] == "Tables" else prompts.single
            assert first == prompt(group.schema, found[2])
            for before, turn in itertools.pairwise(turns):
                assert before.role != turn.role
                if turn.role == "user":
                    assert re.fullmatch(r"SQL\?|Error: .*\nSQL\?|Rows:\n.*\nAnswer\?", turn.content, re.DOTALL)


def test_prompts_only_format_their_arguments() -> None:
    class Marker:
        def __str__(self) -> str:
            return "<hole>"

    assert prompts.link(Marker(), Marker()) == "Schema:\n<hole>\nQuestion: <hole>\nTables?"
    assert prompts.single(Marker(), Marker()) == "Schema:\n<hole>\nQuestion: <hole>\nSQL?"
    assert prompts.repair(Marker()) == "Error: <hole>\nSQL?"
    assert prompts.answer(Marker()) == "Rows:\n<hole>\nAnswer?"


def test_only_right_replies_are_trained_on() -> None:
    repaired = 0
    for seed in range(40):
        for turns in training_group(seed, 6).dialogues:
            for turn, after in itertools.pairwise(turns):
                if after.content.startswith("Error: "):
                    repaired += 1
                    assert not turn.trained
            assert all(turn.role == "assistant" for turn in turns if turn.trained)
            assert turns[-1].trained
    assert repaired > 10


def test_schema_text_shows_types_categories_and_keys() -> None:
    connection = sqlite3.connect(":memory:")
    connection.executescript(
        """CREATE TABLE owners (id INTEGER PRIMARY KEY, name VARCHAR(20));
        CREATE TABLE cars (name TEXT, colour TEXT, price NUMERIC, owner_id INT REFERENCES owners (id));
        INSERT INTO owners VALUES (1, 'Ann'), (2, 'Bo');
        INSERT INTO cars VALUES ('a', 'red', 1, 1), ('b', 'red', 2, 1), ('c', 'blue', 3.5, 2);"""
    )
    assert schema_text(connection) == (
        "owners(id int, name text)\n"
        "cars(name text, colour text [red, blue], price real, owner_id int)\n"
        "cars.owner_id = owners.id"
    )


def test_rows_text_rounds_floats_and_cuts_long_results() -> None:
    assert rows_text([("a", 1.23456), ("b", 2.0), (None, 3)]) == "a | 1.23\nb | 2\nnull | 3"
    assert rows_text([(n,) for n in range(5)], max_rows=2) == "0\n1\n..."


def test_results_compare_as_multisets_unless_ordered() -> None:
    assert same_result([(1,), (2,)], [(2,), (1,)], ordered=False)
    assert not same_result([(1,), (2,)], [(2,), (1,)], ordered=True)
    assert not same_result([(1,), (1,)], [(1,)], ordered=False)
    assert same_result([(0.1 + 0.2,)], [(0.3,)], ordered=True)
    assert not same_result([("1",)], [(1,)], ordered=False)


@settings(max_examples=300, deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs"])))
def test_the_tokenizer_reverses_any_text(tokenizer: PreTrainedTokenizerFast, text: str) -> None:
    assert tokenizer.decode(tokenizer(text).input_ids) == text


def test_the_tokenizer_reverses_the_corpus(tokenizer: PreTrainedTokenizerFast, unseen: list[Case]) -> None:
    for case in unseen[::10]:
        text = prompts.single(case.schema, case.question) + case.sql
        assert tokenizer.decode(tokenizer(text).input_ids) == text


@settings(max_examples=100, deadline=None)
@given(name=st.from_regex(r"[a-z]{3,8}(_[a-z]{3,8})?", fullmatch=True))
def test_a_name_has_the_same_tokens_wherever_it_occurs(tokenizer: PreTrainedTokenizerFast, name: str) -> None:
    alone = tokenizer(name).input_ids
    # A function word joins the spaces around it, so it is no name.
    assume(len(tokenizer.tokenize(f"x {name} x")) == len(alone) + 4)
    for before, after in (("(", " int, "), ("SELECT ", " FROM "), ("'", "'\"}"), ("\n", "."), ("zz ", "?")):
        whole = tokenizer(before + name + after).input_ids
        assert any(whole[at : at + len(alone)] == alone for at in range(len(whole))), (before, name, after)


def test_the_chat_template_renders_turns(tokenizer: PreTrainedTokenizerFast) -> None:
    turns = [{"role": "system", "content": "a"}, {"role": "user", "content": "b"}]
    text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    assert text == "<|system|>a<|end|><|user|>b<|end|><|assistant|>"
