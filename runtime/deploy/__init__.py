"""From a plan to engines that run: what would start where, as data, and the Ray actors that it becomes.

:mod:`.layout` makes data of a plan, :mod:`.changes` compares two of them, :mod:`.emit` writes them for others who start
engines; none of them knows Ray. :mod:`.nodes`, :mod:`.replica` and :mod:`.keeper` start engines and keep them,
:mod:`.deployment` asks for that, and :mod:`.attached` is how runs reach them.
"""
