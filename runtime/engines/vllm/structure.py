"""Structured decoding: the grammar of the replies that satisfy a JSON schema, written as ``json.dumps`` writes them.

Which whitespace a grammar allows decides how well a model writes under it. Left free, small models indent until their
tokens run out. Forbidden altogether, as vLLM's ``disable_any_whitespace`` does, it forces a form that is rare in what
models were trained on. One space after a colon and after a comma is the common form.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

SEPARATORS: Final = (", ", ": ")


def grammar(schema: Mapping[str, object]) -> str:
    """The grammar in EBNF, for vLLM's ``grammar`` parameter. Raises ``RuntimeError`` for a schema it cannot do."""
    return _grammar(json.dumps(schema))


@lru_cache(maxsize=256)
def _grammar(schema: str) -> str:
    from xgrammar import Grammar

    return str(Grammar.from_json_schema(schema, any_whitespace=False, separators=SEPARATORS))
