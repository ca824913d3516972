"""A hash of what a function does, equal in every process, so that a redeploy re-executes only what changed.

It is of the syntax tree, and so the same under every version of Python: :mod:`.canonical` writes a definition as text,
:mod:`.reads` finds the names in it, and :mod:`.walk` follows them to whatever is part of the hash. What is not is
named. The versions of libraries are beside it: :mod:`.distributions`.
"""

from orchestrator.dsl.code_hash.covered import Covered, code_hash, covered
from orchestrator.dsl.code_hash.walk import Unseen

__all__ = ["Covered", "Unseen", "code_hash", "covered"]
