"""Python's own control flow, compiled: the source of a workflow is rewritten before it is traced.

:mod:`.function` rewrites, with :mod:`.exits` (structured control flow), :mod:`.scopes` (which names are read later),
:mod:`.statements` and :mod:`.expressions`; the source then calls :mod:`.operators`. ``docs/language.md`` says
what it means, ``docs/decisions/015-pythons-own-control-flow.md`` why it is so.
"""
