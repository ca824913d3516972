"""Figures with the command that produced them: executor overhead, compile time, import time, text-to-SQL accuracy.

Every benchmark is run as ``python -m benchmarks.NAME [--quick] [--json FILE]``; see ``benchmarks/README.md``.
"""
