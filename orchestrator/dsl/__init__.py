"""The front end: typed Python functions, traced into a dataflow graph.

Imports run one way, from what is read first: ``tracer`` (one trace and the values in it), ``lifting`` (Python objects
as values), ``operations`` (what Python does with values), ``symbol`` (a value with its operators), ``tool``, ``llm``
and ``control`` (the ops), ``rewrite`` (statements as ops), ``trace`` and ``workflow`` (from beginning to end). The
error codes are in ``codes``.
"""
