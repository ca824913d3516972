"""The front end: typed Python functions, traced into a dataflow graph.

Imports run one way, from what is read first: ``types``, ``source``, ``declared``, ``tracing`` (one trace, the values in
it, and Python objects as values), ``tool``, ``regions`` (branch, loop, map and the like), ``operations`` (what Python
does with values), ``symbol`` (a value with its operators), ``models``, ``rewrite`` (statements as ops), ``trace`` and
``workflow`` (from beginning to end). The error codes are in ``codes``.
"""
