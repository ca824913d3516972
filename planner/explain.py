"""A plan for people: what runs where, how long it takes, what it costs, what decides that, and what is only guessed.

>>> print(render(plan))                                                     # doctest: +SKIP
Plan of `answer`, made for latency. Time, tokens and cost are of one execution.

op          what                 where        ×  time               tokens     cost      source
drafts      ask model ×5 → SQL   engine:main  1  ~1s (17ms-4.3s)    ~134→~500  $0.00032  app.py:14
map_1       map, ≤ 5 items       inline       1  15ms (130µs-1.5s)                       app.py:15
└─ run_sql  run_sql()            thread       5  ~10ms (130µs-1s)              ?         app.py:15
…
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, Literal

from orchestrator.planner import figures
from orchestrator.planner.breakdown import on_critical_path
from orchestrator.planner.catalogue import catalogue
from orchestrator.planner.cluster import Device
from orchestrator.planner.compare import Compared, Difference, compare, render_comparison
from orchestrator.planner.dot import to_dot
from orchestrator.planner.interval import ZERO, total
from orchestrator.planner.pins import NOT_KNOWN
from orchestrator.planner.plan import Bill, OpPlan, Pin, Plan, Rejected, Site, Undeclared
from orchestrator.planner.table import Column, table, wrap

__all__ = ["Compared", "Difference", "Format", "compare", "render", "render_comparison"]

Format = Literal["text", "json", "dot"]

RANGES: Final = "a range (low-high) is meant to hold 80 % of what an op will show"
_LABEL: Final = 15
_PARTS: Final = 3
_BYTES: Final = ((2.0**30, "GiB"), (2.0**20, "MiB"), (2.0**10, "KiB"))
_BOOKKEEPING: Final = frozenset({"prompt", "chat", "const", "field", "builtin"})
_COLUMNS: Final = (
    Column("op", least=10),
    Column("what", least=12, rank=5),
    Column("where", rank=1),
    Column("×", right=True, rank=2),
    Column("time"),
    Column("tokens", rank=4),
    Column("cost", rank=3),
    Column("source", least=10, keep_end=True, rank=6),
)
_CALL_COLUMNS: Final = (
    Column("model call", least=10),
    Column("device", rank=2),
    Column("batch ≤", right=True, rank=4),
    Column("KV", right=True, rank=5),
    Column("waits", rank=3),
    Column("cost", rank=1),
    Column("time goes into", least=14, rank=6),
)
_PIN_COLUMNS: Final = (
    Column("KV kept after", least=10),
    Column("while", rank=1),
    Column("pause (90 % <)", rank=3),
    Column("forecast", least=12, rank=5),
    Column("for ≤"),
    Column("hit", right=True, rank=2),
    Column("prefill saved", rank=4),
)
_MOVES: Final = 6
"""Moves that are shown."""
_WAITS: Final = 4
"""The column that says nothing without a rate."""


def render(  # the format is the CLI's word
    plan: Plan,
    format: Format = "text",  # noqa: A002
    *,
    every_op: bool = False,
    width: int | None = None,
) -> str:
    """The plan as text of ``width`` cells (as wide as it is where there is no terminal), as JSON, or as a graphviz
    graph.

    The text leaves out bookkeeping (prompts, projections, constants) and says how many ops that were, unless
    ``every_op``. The other formats hold everything.
    """
    if format == "json":
        return plan.to_json()
    if format == "dot":
        return to_dot(plan)
    return "\n".join(_text(plan, every_op=every_op, width=width)) + "\n"


def is_bookkeeping(op: OpPlan) -> bool:
    """Whether nobody would miss the op in a table."""
    return op.kind in _BOOKKEEPING


def _text(plan: Plan, *, every_op: bool, width: int | None) -> Iterator[str]:
    shown = [op for op in plan.ops if every_op or not is_bookkeeping(op)]
    heading = f"Plan of `{plan.workflow}`, made for {plan.objective}. Time, tokens and cost are of one execution."
    yield from wrap(heading, width)
    yield ""
    rows = [_row(op, prefix) for op, prefix in _tree(shown)]
    yield from table(_COLUMNS, rows, width)
    yield ""
    if calls := [_call_row(plan, op) for op in shown if op.kind == "decode" and op.spent_s]:
        shown_columns = [at for at in range(len(_CALL_COLUMNS)) if plan.rate_per_s is not None or at != _WAITS]
        columns = [_CALL_COLUMNS[at] for at in shown_columns]
        yield from table(columns, [[row[at] for at in shown_columns] for row in calls], width)
        yield ""
    if plan.pins:
        yield from table(_PIN_COLUMNS, list(map(_pin_row, plan.pins)), width)
        yield ""
    hidden = len(plan.ops) - len(shown)
    notes = {
        "total": [_totals(plan)],
        "rate": [_load(plan)] if plan.rate_per_s is not None else [],
        "bill": [_bill(plan, plan.bill)] if plan.bill is not None else [],
        "sites": [_site(each) for each in plan.sites],
        "shares": [_shares(op) for op in shown if op.shares],
        "moves": _moves(plan),
        "hardware": [", ".join(map(_hardware, plan.cluster.devices)) or "unknown"],
        "critical path": [_critical_path(plan)],
        "dominated by": [_dominant(plan)],
        "time goes into": [_parts(on_critical_path(plan), plan.seconds.mid)] if on_critical_path(plan) else [],
        "effects": [_undeclared(each, plan) for each in plan.undeclared],
        "not shown": [f"{hidden} bookkeeping ops on the event loop (prompts, fields, constants)"] if hidden else [],
        "other plans": _other_plans(plan),
        "rejected": _rejected(shown),
        "guesses": _guesses(plan),
        "KV": _kv_notes(plan),
        "notes": plan.notes,
        "warnings": plan.warnings,
    }
    for label, entries in notes.items():
        yield from _labelled(label, entries, width)


def _row(op: OpPlan, prefix: str) -> list[str]:
    guessed = "~" if "seconds" in op.guesses or "tokens out" in op.guesses else ""
    return [
        prefix + op.id,
        op.what,
        op.place,
        figures.times(op.count),
        guessed + figures.spread(op.seconds, figures.duration),
        _tokens(op),
        _cost(op),
        _source(op),
    ]


def _tokens(op: OpPlan) -> str:
    if op.tokens_in == ZERO and op.tokens_out == ZERO:
        return ""
    into, out = (
        ("~" if name in op.guesses else "") + figures.tokens(interval.mid)
        for name, interval in (("tokens in", op.tokens_in), ("tokens out", op.tokens_out))
    )
    return f"{into}→{out}"


def _cost(op: OpPlan) -> str:
    if op.cost_usd is None:
        return "?"
    return "" if op.cost_usd == ZERO else figures.dollars(op.cost_usd.mid)


def _source(op: OpPlan) -> str:
    """File and line as the user would type them: from the current folder, where the file is in it."""
    path, here = Path(op.source), Path.cwd()
    return str(path.relative_to(here)) if path.is_absolute() and path.is_relative_to(here) else op.source


def _tree(ops: list[OpPlan]) -> Iterator[tuple[OpPlan, str]]:
    """Each op with the lines that show which op it is in."""
    children: dict[str | None, list[OpPlan]] = {}
    for op in ops:
        children.setdefault(op.parent, []).append(op)

    def below(parent: str | None, stem: str) -> Iterator[tuple[OpPlan, str]]:
        inside = children.get(parent, [])
        for op in inside:
            last = op is inside[-1]
            yield op, "" if parent is None else stem + ("└─ " if last else "├─ ")
            yield from below(op.id, "" if parent is None else stem + ("   " if last else "│  "))

    return below(None, "")


def _totals(plan: Plan) -> str:
    seconds, tokens = figures.spread(plan.seconds, figures.duration), figures.spread(plan.tokens, figures.tokens)
    if plan.p95_s is not None:
        seconds += f", p95 {figures.duration(plan.p95_s)}"
        seconds += f" (asked for {figures.duration(plan.sla_s)})" if plan.sla_s is not None else ""
    if plan.cost_usd is not None:
        return f"{seconds}, {tokens} tokens, {figures.spread(plan.cost_usd, figures.dollars)}"
    known = total(op.cost_usd * op.count for op in plan.ops if op.cost_usd is not None)
    part = f" (known part {figures.spread(known, figures.dollars)})" if known != ZERO else ""
    return f"{seconds}, {tokens} tokens, cost unknown{part}"


def _call_row(plan: Plan, op: OpPlan) -> list[str]:
    device = plan.cluster.device(op.device) if op.device is not None else None
    kv_bytes = op.resources.kv_bytes
    return [
        op.id,
        f"{device.name} ({device.type})" if device is not None else "?",
        "?" if op.batch_cap is None else str(op.batch_cap),
        _bytes(kv_bytes) if kv_bytes > 0 else "?",
        "" if op.wait_s is None else figures.spread(op.wait_s, figures.duration),
        "?" if op.cost_usd is None else figures.spread(op.cost_usd, figures.dollars),
        _parts(op.spent_s, op.seconds.mid),
    ]


def _pin_row(pin: Pin) -> list[str]:
    worth, what = pin.worth, pin.tool or "nothing runs"
    if pin.because:
        return [pin.op, what, "", pin.because, "0", "", ""]
    saved = "?" if pin.prefill_s is None else f"of {figures.duration(pin.prefill_s)}"
    if worth is None:
        return [pin.op, what, "", "", figures.duration(pin.longest_s), "", saved]
    if worth.saved_s is not None:
        saved = f"{figures.duration(worth.saved_s)} {saved}"
    middle, upper = (
        "never" if each is None else figures.duration(each) for each in (worth.median_s, worth.upper_s)
    )  # fmt: skip
    source = f"{worth.source} ({worth.count} seen)" if worth.count else worth.source
    ttl = "?" if worth.ttl_s is None else figures.duration(worth.ttl_s)
    return [pin.op, what, f"{middle} ({upper})", source, ttl, f"{100 * worth.hit_probability:.0f} %", saved]


def _kv_notes(plan: Plan) -> list[str]:
    notes = []
    if any(pin.worth is not None and pin.longest_s for pin in plan.pins):
        notes += ["times to keep are for when another request waits for memory; where none does, caches stay longer"]
    if any(pin.because == NOT_KNOWN for pin in plan.pins):
        notes += [
            "an endpoint is asked when a run starts whether it is a vLLM with our scheduler, and told what to keep "
            "only if it is; `kv_hints = true` in the cluster file counts on that"
        ]
    return notes


def _bytes(count: float) -> str:
    scale, unit = next((each for each in _BYTES if count >= each[0]), (1.0, "B"))
    return f"{figures.two_digits(count / scale)} {unit}"


def _parts(parts: Mapping[str, float], whole: float) -> str:
    """The largest parts of some seconds; what is less than a twentieth goes unnamed."""
    largest = [(name, part) for name, part in parts.items() if part >= 0.05 * whole][:_PARTS]
    return ", ".join(f"{name} {figures.share(part, whole)}" for name, part in largest)


def _load(plan: Plan) -> str:
    busy = [f"engine {name} {figures.share(part, 1.0)} busy" for name, part in plan.utilisation.items()]
    return ", ".join([f"{plan.rate_per_s:g} runs/s", *busy])


def _bill(plan: Plan, bill: Bill) -> str:
    """What everything together costs an hour and a month, and of what that is the sum."""
    parts = bill.parts_usd_per_hour
    known = " + ".join(f"{name} {figures.dollars(usd)}/h" for name, usd in parts.items() if usd is not None)
    unknown = ", ".join(name for name, usd in parts.items() if usd is None)
    if bill.usd_per_hour is None or bill.usd_per_month is None:
        services = any(each.name in parts for each in plan.cluster.engines)
        return f"{known}; of {unknown} unknown{', --rate tells' if services and plan.rate_per_s is None else ''}"
    times = [(bill.usd_per_hour, "an hour"), (bill.usd_per_month, "a month")]
    times += [] if plan.rate_per_s is None else [(bill.usd_per_hour / 3600 / plan.rate_per_s, "a run")]
    return f"{', '.join(f'{figures.dollars(usd)} {time}' for usd, time in times)} ({known})"


def _other_plans(plan: Plan) -> list[str]:
    """The rejected plans; where only one was possible, that."""
    if plan.rejected:
        return list(map(_rejected_plan, plan.rejected))
    only = plan.p95_s is not None and any(op.kind == "decode" for op in plan.ops)
    return ["none: nothing else in the cluster can serve these models"] if only else []


def _rejected_plan(plan: Rejected) -> str:
    if plan.seconds is None:
        return f"{plan.label}: {plan.why}"
    price = figures.dollars(plan.cost_usd.mid) if plan.cost_usd is not None else "cost unknown"
    return f"{plan.label}: {figures.duration(plan.seconds.mid)}, {price}: {plan.why}"


def _hardware(device: Device) -> str:
    cores = f" with {device.cores} cores" if device.cores else ""
    return f"{device.name}: {device.count} x {device.type}{cores}"


def _shares(op: OpPlan) -> str:
    return f"{op.id}: " + ", ".join(f"{each.share:.0%} of the calls on {each.engine}" for each in op.shares)


def _site(site: Site) -> str:
    split = f", split over {site.tensor_parallel}" if site.tensor_parallel > 1 else ""
    batch = f", up to {site.batch} calls at once" if site.batch else ""
    replicas = "1 replica" if site.replicas == 1 else f"{site.replicas} replicas"
    return f"{site.engine}: {replicas} on {site.device}{split}{batch}"


def _moves(plan: Plan) -> list[str]:
    """The largest of what crosses links between pools, for one execution of each op."""
    largest = sorted(plan.moves, key=lambda move: -move.seconds)
    lines = [
        f"{move.what} of {move.op} from {move.source} to {move.target}: {_bytes(move.bytes)} "
        f"{'computed again ' if move.what == 'kv' else ''}in {figures.duration(move.seconds)}"
        for move in largest[:_MOVES]
    ]
    rest = len(largest) - len(lines)
    return [*lines, f"and {rest} smaller one{'s' * (rest != 1)}"] if rest else lines


def _critical_path(plan: Plan) -> str:
    steps = [plan.by_id[name] for name in plan.critical_path]
    whole = plan.seconds.mid
    named = [f"{op.id} ({figures.share(op.seconds.mid, whole)})" for op in steps if not is_bookkeeping(op)]
    return " → ".join(named) or "nothing that takes time"


def _undeclared(each: Undeclared, plan: Plan) -> str:
    calls = "its call counts as a write" if each.calls == 1 else f"its {each.calls} calls count as writes"
    saved = f"about {figures.duration(each.saved_s)} of {figures.duration(plan.seconds.mid)}"
    return (
        f"`{each.tool}` declares none, so {calls} and {'waits' if each.calls == 1 else 'wait'} for others, and others "
        f'for {"it" if each.calls == 1 else "them"}: effects="reads" or "pure", if that is true, saves up to {saved}'
    )


def _dominant(plan: Plan) -> str:
    steps = [plan.by_id[name] for name in plan.critical_path]
    if not steps:
        return "nothing"
    longest = max(steps, key=lambda op: op.seconds.mid)
    on_path = sum(op.seconds.mid for op in steps)
    if on_path < plan.seconds.mid / 2:
        return "work that one device can only do one after the other; a wider cluster would help"
    named = longest.id
    while inside := [op for op in plan.ops if op.parent == longest.id]:
        longest = max(inside, key=lambda op: op.seconds.mid * op.count.mid)
        named += f" > {longest.id}"
    why = f", {figures.tokens(longest.tokens_out.mid)} tokens to decode" if longest.tokens_out != ZERO else ""
    return f"{named}: {longest.what} on {longest.place}{why}"


def _rejected(ops: Iterable[OpPlan]) -> list[str]:
    reasons: dict[str, list[str]] = {}
    for op in ops:
        for alternative in op.alternatives:
            reasons.setdefault(alternative, []).append(op.id)
    return [f"{', '.join(ids[:3])}{' …' if len(ids) > 3 else ''}: {reason}" for reason, ids in reasons.items()]


def _guesses(plan: Plan) -> list[str]:
    made = {guess for op in plan.ops for guess in op.guesses}
    corrected = any(op.correction != 1.0 for op in plan.ops)
    gpus = {each.name for each in plan.cluster.devices if each.kind == "gpu" and each.type in catalogue()}
    scale = " scaled by published vLLM measurements" if any(op.device in gpus for op in plan.ops) else ""
    basis = "corrected by measured runs (see notes)" if corrected else "nothing is measured on this hardware"
    found = [f"speeds are a roofline of data-sheet figures{scale}, {basis}", RANGES]
    if made:
        found.append("figures after ~ rest on a default:")
    if "seconds" in made:
        found.append("  a tool's time by its effects; declare typical_s")
    if "tokens out" in made:
        found.append("  a reply's length; max_tokens bounds it")
    if "tokens in" in made:
        found.append("  the length of inputs and tool results; prompts are counted at 4 characters a token")
    return found


def _labelled(label: str, entries: Iterable[str], width: int | None) -> Iterator[str]:
    """Entries as wrapped lines beside a label; nothing when there are none."""
    for number, entry in enumerate(entries):
        head = (label if number == 0 else "").ljust(_LABEL)
        indent = " " * (_LABEL + len(entry) - len(entry.lstrip()))
        first = head + indent[_LABEL:]
        yield from wrap(entry, width, first, indent)
