"""From the IR to a program: the level-2 module as the planner left it becomes regions of slots and segments.

One pass over :mod:`orchestrator.planner.graph`, whose value numbers are looked up in the region builders. Level-1
modules lower as well, which is how a workflow runs without passes or a plan: places are then decided here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, get_args

from orchestrator.dsl.sampling import CONSTRAINTS, PASSED
from orchestrator.dsl.trace import Bindings
from orchestrator.errors import CompileError
from orchestrator.planner.deadlines import Rest, rests
from orchestrator.planner.plan import OpPlan, Plan
from orchestrator.planner.promises import slo_seconds
from orchestrator.runtime.engines.base import Sampling
from orchestrator.runtime.program import emit
from orchestrator.runtime.program.builder import RegionBuilder, Val
from orchestrator.runtime.program.cases import Select, by_truth, cases_of, class_names
from orchestrator.runtime.program.codegen import Classes, outer_classes
from orchestrator.runtime.program.declared import calls_a_model, declared_limits, engine_of, given, pause_of, policy_of
from orchestrator.runtime.program.inline import MOST_STEPS, InlineChoice, InlineLoop, InlineMap
from orchestrator.runtime.program.program import Program, Region
from orchestrator.runtime.program.specs import (
    NO_POLICY,
    Ask,
    Generate,
    Pause,
    Prefetch,
    Raise,
    Release,
    Sleep,
    Structure,
    Supersede,
    ToolCall,
)
from orchestrator.runtime.program.tool_calls import default_place, tool_call
from orchestrator.runtime.values.at_run_time import at_run_time

if TYPE_CHECKING:
    from orchestrator.planner.graph import Graph, Node
    from orchestrator.planner.graph import Region as GraphRegion

_HINTS: Final = frozenset({"kv_pin", "kv_extend"})
"""Ops that only pass their operand on: a pin is part of the call whose conversation it pins, and what extends it part
of the op that it stands before."""


@dataclass(slots=True)
class _Lowering:
    bindings: Bindings
    plans: Mapping[str, OpPlan] = field(default_factory=dict)
    values: dict[int, Val] = field(default_factory=dict)
    prefills: dict[int, Node] = field(default_factory=dict)
    """Prefills by the KV value they produce: a prefill and its decode are one engine call."""
    rests: Mapping[str, Rest] = field(default_factory=dict)
    """What lies behind each op."""
    pins: dict[int, Node] = field(default_factory=dict)
    """It has the pins by the values of their conversations."""
    moves: set[str] = field(default_factory=set)
    """Turns whose conversation goes on at another engine, so that this one need keep nothing."""
    refined: set[int] = field(default_factory=set)
    """Conversations of whose pauses an op in them says more."""
    extensions: dict[str, list[Node]] = field(default_factory=dict)
    """It has the extensions by the op that they stand before."""
    turns: dict[str, Node] = field(default_factory=dict)
    """Model calls by their id, where a prefetch may be for them."""
    types: dict[str, Any] = field(default_factory=dict)
    calls: dict[tuple[str, tuple[str, ...], str], ToolCall] = field(default_factory=dict)
    brings_engines: bool = False
    """Whether the plan knows no engine, so that whoever runs the program brings one for each model."""
    in_order: bool = False
    latest: dict[str, Val] = field(default_factory=dict)
    """What the latest op of a region that calls a model yields, by the region's key, if model calls are in order."""
    suspended: dict[str, list[Val]] = field(default_factory=dict)
    """It has, by the region's key, what its ops yield that do not only compute."""


def lower(
    graph: Graph,
    bindings: Bindings,
    *,
    returns: Any,
    program_hash: str,
    plan: Plan | None = None,
    in_order: bool = False,
) -> Program:
    """The program of a workflow. Raises :class:`CompileError` for an op the runtime cannot execute (ORCH-C090)
    and for a type that is not bound (ORCH-C091).

    ``in_order`` makes model calls one after the other, as they stand in the workflow; only the arms of a race remain
    side by side.
    """
    state = _Lowering(bindings, in_order=in_order)
    if plan is not None:
        state.plans, state.rests = plan.by_id, rests(plan)
        state.moves = {pin.op for pin in plan.pins if pin.moves}
        state.brings_engines = not plan.cluster.engines
    _note_hints(state, graph.body)
    body = RegionBuilder("", [_type(state, name) for name in graph.body.arg_types])
    region = _fill(state, body, graph.body, "")
    engines = plan.cluster.engines if plan is not None else ()
    prices = {each.name: price for each in engines if (price := each.token_price) is not None}
    params = tuple(graph.opts.get("params", ()))
    promised_s = None if plan is None else plan.sla_s
    slo_s = slo_seconds(graph.opts.get("slo")) if promised_s is None else promised_s
    return Program(graph.name, program_hash, params, region, returns, declared_limits(graph.opts), prices, slo_s)


def _fill(state: _Lowering, builder: RegionBuilder, source: GraphRegion, key: str) -> Region:
    state.values.update(zip(source.args, builder.args, strict=True))
    for node in source.nodes:
        if node.kind == "prefill":
            state.prefills[node.results[0]] = node
            continue
        made = _lower_node(state, builder, node, key)
        state.values.update(zip(node.results, made, strict=True))
        if node.token is not None:
            state.values[node.token] = made[0] if made else builder.end_of_last()
    return builder.finish([state.values[number] for number in source.yields])


def _note_hints(state: _Lowering, source: GraphRegion) -> None:
    """Find the hints that become part of other ops, which may stand before them."""
    for node in source.nodes:
        if node.kind == "kv_pin":
            state.pins[node.operands[0]] = node
        elif node.kind == "kv_extend":
            state.refined.add(node.operands[0])
            state.extensions.setdefault(str(given(node, "before", "")), []).append(node)
        elif node.kind in ("decode", "generate"):
            state.turns[node.id] = node
        for inner in node.regions:
            _note_hints(state, inner)


def _lower_node(state: _Lowering, builder: RegionBuilder, node: Node, key: str) -> Sequence[Val]:
    if node.regions:
        return _lower_structure(state, builder, node, key)
    kind = node.kind if node.kind != "call" else str(given(node, "kind", "tool"))
    if kind in _HINTS:
        return [state.values[node.operands[0]]] * len(node.results)
    lower_leaf = _LEAVES.get(kind)
    if lower_leaf is None:
        raise CompileError("ORCH-C090", f"the runtime cannot execute `{node.kind}` of `{node.id}`", where=node.where)
    return lower_leaf(state, builder, node, kind)


def _lower_expression(state: _Lowering, builder: RegionBuilder, node: Node, kind: str) -> Sequence[Val]:
    return [_inline(state, builder, node, _expression(state, node, kind))]


def _lower_ask(state: _Lowering, builder: RegionBuilder, node: Node, _kind: str) -> Sequence[Val]:
    choices = given(node, "choices", None)
    pauses, operands = _in_pauses(state, node)
    return _suspend(state, builder, node, Ask(tuple(choices) if choices is not None else None, pauses), operands)


def _lower_sleep(state: _Lowering, builder: RegionBuilder, node: Node, _kind: str) -> Sequence[Val]:
    return _suspend(state, builder, node, Sleep(given(node, "seconds", None)))


def _lower_fail(state: _Lowering, builder: RegionBuilder, node: Node, _kind: str) -> Sequence[Val]:
    return _suspend(state, builder, node, Raise(str(node.attrs["kind"]), tuple(node.attrs["bases"])))


def _lower_hint(state: _Lowering, builder: RegionBuilder, node: Node, kind: str) -> Sequence[Val]:
    if kind == "kv_release":
        return _suspend(state, builder, node, Release())
    if kind == "kv_supersede":
        return _suspend(state, builder, node, Supersede(int(given(node, "over", 1)), given(node, "scope", None)))
    call = state.turns.get(str(given(node, "for", "")))
    if call is None:
        return ()
    model, late = str(given(call, "model", "default")), given(call, "late", ())
    shares = () if "model" in late else _shares(state, call)
    spec = Prefetch(call.id, model, _engine(state, call), pause_of(node), shares)
    return _suspend(state, builder, node, spec)


def _in_pauses(state: _Lowering, node: Node) -> tuple[tuple[Pause, ...], Sequence[int]]:
    """Pauses that the start of an op says more about, and its operands with what that takes."""
    found = state.extensions.get(node.id, ())
    return tuple(map(pause_of, found)), [*node.operands, *(value for each in found for value in each.operands)]


def _expression(state: _Lowering, node: Node, kind: str) -> emit.Expression:
    if kind == "const":
        return emit.constant(str(given(node, "value", "null")), _type(state, node.result_types[0]))
    if kind == "prompt":
        return emit.prompt(given(node, "parts", [""]))
    if kind == "chat":
        return emit.chat(given(node, "model", None))
    return emit.field(str(given(node, "path", "")), {**node.attrs, **node.opts})


def _lower_tool(state: _Lowering, builder: RegionBuilder, node: Node, kind: str) -> Sequence[Val]:
    callee, params = str(node.attrs["callee"]), tuple(given(node, "params", ()))
    if callee.startswith("builtin."):
        expression = emit.builtin(callee, params)
        if expression is not None:
            return [_inline(state, builder, node, expression)]
    spec = _tool_call(state, node, callee, params, kind)
    if spec.place != "inline" or spec.is_async or policy_of(node) is not NO_POLICY:
        pauses, operands = _in_pauses(state, node)
        return _suspend(state, builder, node, replace(spec, in_pauses=pauses) if pauses else spec, operands)
    check = None if callee.startswith("builtin.") else outer_classes(_type(state, node.result_types[0]))
    return [_inline(state, builder, node, emit.tool(spec), check, callee)]


def _tool_call(state: _Lowering, node: Node, callee: str, params: tuple[str, ...], kind: str) -> ToolCall:
    tool = state.bindings.tools[callee]
    place = str(node.attrs.get("place") or default_place(tool))
    known = state.calls.get((callee, params, place))
    if known is None:
        code, retrieve = str(given(node, "code", "")), kind == "retrieve"
        known = tool_call(tool, callee, params, place, retrieve=retrieve, code=code)
        state.calls[callee, params, place] = known
    return known


def _lower_generate(state: _Lowering, builder: RegionBuilder, node: Node, _kind: str) -> Sequence[Val]:
    operands = node.operands
    behind: Sequence[int] = node.behind
    if node.kind == "decode":
        prefill = state.prefills[operands[0]]
        operands, behind = prefill.operands, prefill.behind
    planned = state.plans.get(node.id)
    after = node.results[1] if len(node.results) > 1 else None
    pin = None if after is None or node.id in state.moves else state.pins.get(after)
    if pin is not None:
        operands = (*operands, *pin.operands[1:])
    turns_left = 0.0 if node.id in state.moves else given(node if pin is None else pin, "turns_left", None)
    samples = int(given(node, "samples", 1))
    late = tuple(given(node, "late", ()))
    reply = _type(state, node.result_types[0])
    returns = reply if samples == 1 else (get_args(reply) or (Any,))[0]
    spec = Generate(
        model=str(given(node, "model", "default")),
        engine=None if "model" in late else _engine(state, node),
        returns=returns,
        sampling=_sampling(node, samples),
        at_least=given(node, "at_least", None),
        late=late,
        pause=None if pin is None else pause_of(pin, is_refined=after in state.refined),
        is_fork=bool(given(node, "fork", False)),
        shares=() if "model" in late else _shares(state, node),
        turns_left=None if turns_left is None else float(turns_left),
        rest=state.rests.get(node.id),
        expected_output_tokens=None if planned is None else int(planned.tokens_out.hi / samples),
    )
    return _suspend(state, builder, node, spec, operands, behind)


def _sampling(node: Node, samples: int) -> Sampling:
    schema = given(node, "schema", None)
    return Sampling(
        temperature=given(node, "temperature", None),
        top_p=given(node, "top_p", None),
        max_tokens=given(node, "max_tokens", None),
        stop=tuple(given(node, "stop", ())),
        seed=given(node, "seed", None),
        samples=samples,
        schema=json.loads(schema) if isinstance(schema, str) else schema,
        constraint=next(((name, node.opts[name]) for name in CONSTRAINTS if name in node.opts), None),
        passed={name: node.opts[name] for name in PASSED if name in node.opts},
        extra_body=json.loads(given(node, "extra_body", "{}")),
        tools=tuple(json.loads(given(node, "tools", "[]"))),
        tool_choice=str(given(node, "tool_choice", "auto")),
        logprobs=given(node, "logprobs", None),
        steps=json.loads(given(node, "steps", "null")),
    )


def _lower_structure(state: _Lowering, builder: RegionBuilder, node: Node, key: str) -> Sequence[Val]:
    bodies: list[tuple[str, Region, Sequence[Val]]] = []
    sources = [(region.name, region) for region in node.regions]
    if node.kind == "race":
        sources = [(arm.id.rpartition("/")[2], arm.regions[0]) for arm in node.regions[0].nodes]
    for name, source in sources:
        label = "" if node.kind == "map" or (node.kind == "loop" and name == "body") else name
        inner_key = f"{key}{node.id}.{label}/" if label else f"{key}{node.id}/"
        inner = RegionBuilder(inner_key, [_type(state, tp) for tp in source.arg_types], builder)
        region = _fill(state, inner, source, inner_key)
        bodies.append((label, region, inner.captures))
    if (
        node.kind not in ("race", "attempt")
        and all(region.is_inline for _, region, _ in bodies)
        and policy_of(node) is NO_POLICY
    ):
        function = _inline_structure(state, node, [region for _, region, _ in bodies])
        if function.steps <= MOST_STEPS:
            return _called_inline(state, builder, node, bodies, function)
    bound = int(node.attrs.get("max", node.attrs.get("limit", 0)))
    one_by_one = state.in_order and node.kind == "map" and calls_a_model(node)
    concurrency = 1 if one_by_one else int(node.attrs.get("concurrency", 0))
    catches = tuple(map(tuple, node.attrs.get("catches", ())))
    must_end = bool(given(node, "must_end", False))
    spec = Structure(node.kind, bound, concurrency, _select(state, node), catches, must_end)  # type: ignore[arg-type]
    return _suspend(state, builder, node, spec, bodies=bodies)


def _inline_structure(state: _Lowering, node: Node, regions: Sequence[Region]) -> InlineMap | InlineLoop | InlineChoice:
    """A structured op that only computes, as a function."""
    single = len(node.results) == 1
    if node.kind == "map":
        return InlineMap(regions[0], len(node.operands), int(node.attrs["limit"]), single)
    if node.kind == "loop":
        must_end = bool(given(node, "must_end", False))
        return InlineLoop(regions[0], regions[1], len(node.operands), int(node.attrs["max"]), single, must_end)
    return InlineChoice(_select(state, node), regions, single)


def _select(state: _Lowering, node: Node) -> Select:
    """What chooses among the regions of a branch or switch."""
    if node.kind != "switch":
        return by_truth
    cases = node.attrs["cases"]
    classes = {name: _type(state, name) for name in class_names(cases)}
    return cases_of(cases, classes, has_default=len(node.regions) > len(cases))


def _called_inline(
    state: _Lowering,
    builder: RegionBuilder,
    node: Node,
    bodies: Sequence[tuple[str, Region, Sequence[Val]]],
    function: InlineMap | InlineLoop | InlineChoice,
) -> Sequence[Val]:
    """A call of that function; its results are taken out of the tuple that it returns."""
    single = function.single
    args = [state.values[number] for number in node.operands]
    args += [value for _, _, captures in bodies for value in captures]
    types = [_type(state, name) for name in node.result_types]
    whole = builder.inline(
        node.id, emit.called, args, type=types[0] if single else Any, where=node.where, bind=function,
        behind=_behind(state, node.behind),
    )  # fmt: skip
    if single:
        return [whole]
    return [
        builder.inline(node.id, emit.field(str(n), {}).emit, [whole], type=tp, where=node.where)
        for n, tp in enumerate(types)
    ]


def _inline(  # noqa: PLR0917 - the last two are of tools alone
    state: _Lowering,
    builder: RegionBuilder,
    node: Node,
    expression: emit.Expression,
    check: Classes | None = None,
    tool: str | None = None,
) -> Val:
    return builder.inline(
        node.id,
        expression.emit,
        [state.values[number] for number in node.operands],
        type=_type(state, node.result_types[0]),
        where=node.where,
        bind=expression.bind,
        check=check,
        tool=tool,
        behind=_behind(state, node.behind),
    )


def _suspend(  # noqa: PLR0917 - the last two differ from the node's for a model call alone
    state: _Lowering,
    builder: RegionBuilder,
    node: Node,
    spec: Any,
    operands: Sequence[int] | None = None,
    behind: Sequence[int] | None = None,
    *,
    bodies: Sequence[tuple[str, Region, Sequence[Val]]] = (),
) -> Sequence[Val]:
    ordered = state.in_order and calls_a_model(node)
    waits = [state.latest[builder.key]] if ordered and builder.key in state.latest else []
    if isinstance(spec, Raise):  # all that comes before it has happened
        waits = state.suspended.get(builder.key, [])
    made = builder.suspend(
        node.id,
        spec,
        [state.values[number] for number in (node.operands if operands is None else operands)],
        types=[_type(state, name) for name in node.result_types],
        where=node.where,
        policy=policy_of(node),
        bodies=bodies,
        behind=[*waits, *_behind(state, node.behind if behind is None else behind)],
    )
    state.suspended.setdefault(builder.key, []).extend(made[:1])
    if ordered and made:
        state.latest[builder.key] = made[0]
    return made


def _behind(state: _Lowering, numbers: Sequence[int]) -> Sequence[Val]:
    """What an op waits for and does not take."""
    return [state.values[number] for number in numbers]


def _type(state: _Lowering, name: str) -> Any:
    known = state.types.get(name, state)
    if known is state:
        if name not in state.bindings.types:
            why = "a result could not be checked, nor read back from a journal"
            raise CompileError("ORCH-C091", f"the IR uses the type `{name}`, which nothing defines", why=why)
        known = state.types[name] = at_run_time(state.bindings.types[name])
    return known


_LEAVES: Final[dict[str, Callable[[_Lowering, RegionBuilder, Node, str], Sequence[Val]]]] = {
    **dict.fromkeys(("const", "prompt", "chat", "field"), _lower_expression),
    **dict.fromkeys(("tool", "retrieve"), _lower_tool),
    **dict.fromkeys(("generate", "decode"), _lower_generate),
    "ask": _lower_ask,
    "sleep": _lower_sleep,
    "fail": _lower_fail,
    **dict.fromkeys(("kv_release", "kv_supersede", "kv_prefetch"), _lower_hint),
}


def _shares(state: _Lowering, node: Node) -> tuple[tuple[str, float], ...]:
    """The engines that take the calls of an op between them; none where one takes all."""
    planned = state.plans.get(node.id)
    found = () if planned is None or state.brings_engines else planned.shares
    return tuple((each.engine, each.share) for each in found) if len(found) > 1 else ()


def _engine(state: _Lowering, node: Node) -> str | None:
    """The engine of a model call; None for the one that serves its model when the program runs."""
    return None if state.brings_engines else engine_of(node)
