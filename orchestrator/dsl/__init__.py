"""The front end: typed Python functions, traced into a dataflow graph.

Read in order: ``value`` (what a function computes with), ``tracer`` (what happens meanwhile), ``llm``, ``tool`` and
``control`` (the ops), ``trace`` (from beginning to end). The error codes are in ``codes``.
"""
