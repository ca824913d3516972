"""The parts of the placement solver: the problem as data, its MILP, evaluation, warm start and conflicts.

Nothing here knows the IR or the cost model: figures in, figures out. The entry point is
``orchestrator.planner.placement``.
"""
