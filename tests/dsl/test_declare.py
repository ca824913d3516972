"""Where a text says that a class or a function is found again."""

from __future__ import annotations

from importlib import import_module

import pytest

from orchestrator import Happened, Message, Part, Reply
from orchestrator.dsl.declare import path_of
from orchestrator.dsl.logprobs import TokenLogprob


@pytest.mark.parametrize("thing", [Message, Part, Reply, Happened], ids=lambda each: each.__name__)
def test_what_users_import_from_the_package_is_there_wherever_it_is_defined(thing: type) -> None:
    module, _, name = path_of(thing).partition(":")
    assert module == "orchestrator"
    assert getattr(import_module(module), name) is thing


def test_anything_else_is_where_it_is_defined() -> None:
    assert path_of(TokenLogprob) == "orchestrator.dsl.logprobs:TokenLogprob"
    assert path_of(lambda: None) == ""
