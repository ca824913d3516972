"""The front end: typed Python functions, traced into a dataflow graph.

Read in this order: :mod:`~orchestrator.dsl.value` (what a function computes with), :mod:`~orchestrator.dsl.tracer` (what
happens meanwhile), :mod:`~orchestrator.dsl.llm`, :mod:`~orchestrator.dsl.tool` and :mod:`~orchestrator.dsl.control` (the
ops), :mod:`~orchestrator.dsl.trace` (from beginning to end). The error codes are in :mod:`~orchestrator.dsl.codes`.
"""
