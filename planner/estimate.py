"""Walk a workflow and say of every op how often it runs, how long it takes and what it costs.

Time follows the data: an op starts when the last value it reads is there, so a region takes as long as the longest
chain of ops in it, but never less than any one device needs for work that cannot overlap (prefill compute, CPU time).

===========  ============================  =====================================================
region       executions                    seconds
===========  ============================  =====================================================
loop         0 … max (condition: 1 … max)  condition and body one after the other, times
map          0 … limit, or the known       waves of ``concurrency``; at least one item and the
             length of its list            exclusive work of all others
branch,      each arm 0 … 1                one arm
switch
attempt      its body, and the handlers     the body; at worst a handler comes behind it; and what is
             0 … 1, not expected           to be done in the end
fail         –                             none
race         every arm is started; losers  the fastest arm … the slowest (the others failed), or one that
             are cut short                 only sleeps: a time limit
===========  ============================  =====================================================

Nothing is retried in these figures, and ops of different devices never wait for each other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from orchestrator.errors import Diagnostic
from orchestrator.planner import sizes, timing
from orchestrator.planner.cost.call import call_cost
from orchestrator.planner.graph import Graph, Node, Region
from orchestrator.planner.interval import ONE, ZERO, Interval, bounded, either, latest, total, within
from orchestrator.planner.placer import DEFAULT_MODEL, Placement, Placer
from orchestrator.planner.plan import Move
from orchestrator.planner.resources import NO_RESOURCES, Resources
from orchestrator.planner.schedule import NO_TIME, Busy, Outcome, Ready, Step, chain, latest_of, merged
from orchestrator.planner.sizes import NOTHING, Size
from orchestrator.planner.takes import refusals
from orchestrator.planner.tokens import (
    BYTES_PER_TOKEN,
    CHAT_TEMPLATE_TOKENS,
    LOGPROB_TOKENS,
    is_scalar,
    reply_tokens,
    text_tokens,
)
from orchestrator.planner.tools.choices import Work
from orchestrator.planner.tools.crowd import ALONE, Crowd, computes, crowds
from orchestrator.planner.tools.dispatch import dispatch

HINTS = frozenset({"kv_pin", "kv_extend", "kv_release", "kv_supersede", "kv_prefetch"})
"""Ops that tell the engine something; they have a place but no figures of their own."""

UNEXPECTED = Interval(0.0, 0.0, 1.0)
"""How often a handler of a failure runs."""

INLINE = Placement("inline")
EVENT_LOOP = "event loop"
INTERPRETER = "interpreter lock"
COORDINATOR = "coordinator"
OFF_THE_LOOP = frozenset({"thread", "process"})
"""Places that users ask for and that it takes some time to get to."""
_BOOKKEEPING = Outcome(timing.BUILTIN_S, Busy({EVENT_LOOP: timing.BUILTIN_S}))


@dataclass(slots=True)
class Estimate:
    """What is expected of one op; the fields are those of :class:`orchestrator.planner.plan.OpPlan`."""

    node: Node
    placement: Placement
    count: Interval
    parent: str | None
    region: str | None
    seconds: Interval = ZERO
    tokens_in: Interval = ZERO
    tokens_out: Interval = ZERO
    cost_usd: Interval | None = ZERO
    resources: Resources = NO_RESOURCES
    prefill: Resources = NO_RESOURCES
    """Those of the prefill that goes with a decode."""
    after: tuple[str, ...] = ()
    guesses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Prompt:
    """What a prefill hands to its decode."""

    node: Node
    tokens: Interval
    new: Interval
    """The part of ``tokens`` that is not in the KV cache."""
    guessed: bool
    model: str
    """It is the model of the conversation, which a turn that names none takes."""
    home: str | None
    """Where the conversation's last turn ran, and its KV is."""
    has_parts: bool = False

    def longer(self, tokens: Interval) -> _Prompt:
        """The prompt with something in front, such as tools, that is the same in each turn."""
        return self if not tokens.hi else replace(self, tokens=self.tokens + tokens)

    def within(self, window: float | None) -> _Prompt:
        """The prompt as an engine with this context window can take it: a longer one is refused, and costs nothing."""
        return replace(self, tokens=within(self.tokens, window), new=within(self.new, window))

    def at(self, place: str) -> _Prompt:
        """The prompt where it is computed: elsewhere than at home nothing of the conversation is cached."""
        return self if self.home in (None, place) else replace(self, new=self.tokens)


@dataclass(frozen=True, slots=True)
class _Chat:
    """What is known of a conversation: its model, and where its last turn ran."""

    model: str
    placement: Placement = INLINE


class Estimator:
    """One estimation; results are in ``estimates`` (program order) and ``companions``."""

    def __init__(self, graph: Graph, placer: Placer) -> None:
        self.estimates: dict[str, Estimate] = {}
        self.companions: dict[int, tuple[Node, Placement, Resources]] = {}
        """Prefills (priced with their decode) and hints, by identity: placed, but without an estimate of their own."""
        self.moves: dict[str, list[Move]] = {}
        """What crosses links between pools for one execution of an op, by its id."""
        self.diagnostics: dict[str, Diagnostic] = {}
        """It has them by op id, for a loop's body is walked more than once."""
        self._is_sizing = False
        self._graph = graph
        self._placer = placer
        self._sizes: dict[int, Size] = {}
        self._prompts: dict[int, _Prompt] = {}
        self._chats: dict[int, _Chat] = {}
        self._crowds: dict[str, Crowd] = {}
        self._at_once = 1.0
        """Executions of the region that run at the same time, by the maps around it."""
        self._handlers: dict[str, Callable[[Node, Estimate], Outcome]] = {
            "call": self._call,
            "decode": self._decode,
            "loop": self._loop,
            "map": self._map,
            "branch": self._branch,
            "switch": self._branch,
            "attempt": self._attempt,
            "fail": lambda node, estimate: _BOOKKEEPING,
            "race": self._race,
        }

    def run(self) -> Outcome:
        """Estimate everything; the outcome of the whole workflow."""
        body = self._graph.body
        for value, type_string in zip(body.args, body.arg_types, strict=True):
            self._sizes[value] = sizes.parameter(type_string)
        return self._region(body, None, ONE)

    # Regions

    def _region(self, region: Region, parent: str | None, count: Interval) -> Outcome:
        ready: dict[int, Ready] = {}
        ends: list[Ready] = []
        busy: dict[str, Interval] = {}
        if not self._is_sizing:
            self._crowds.update(crowds(region))
        for node in region.nodes:
            start = latest_of([ready[value] for value in node.reads if value in ready])
            if node.kind == "prefill":
                self._prefill(node)
                done = start
            elif node.kind in HINTS:
                self._hint(node)
                done = start
            else:
                outcome = self._op(node, region, parent, count, start.makers)
                for device, seconds in outcome.busy.seconds.items():
                    busy[device] = busy.get(device, ZERO) + seconds
                done = Ready(start.at + outcome.seconds, (node.id,), Step(node.id, start.last))
                ends.append(done)
            for value in node.results if node.token is None else (*node.results, node.token):
                ready[value] = done
        end = latest_of(ends)
        return Outcome(latest([end.at, *busy.values()]), Busy(busy), chain(end.last))

    def _op(self, node: Node, region: Region, parent: str | None, count: Interval, after: tuple[str, ...]) -> Outcome:
        handler = self._handlers.get(node.kind)
        if handler is None:
            level1 = node.handle.name.startswith("agent.")
            self.diagnostics[node.id] = Diagnostic(
                "ORCH-P012",
                f"the planner cannot price {node.handle.name} (`{node.id}`)",
                node.where,
                why="it belongs to level 1, and plans are made of level 2" if level1 else None,
                fix="plan what the passes make of it: orchestrator.passes.pipeline.run_pipeline(module)"
                if level1
                else None,
            )
            self._set(node.results, [NOTHING] * len(node.results))
            return NO_TIME
        name = region.name if parent is not None else None
        estimate = Estimate(node, INLINE, count, parent, name, after=after)
        if not self._is_sizing:
            self.estimates[node.id] = estimate
        outcome = handler(node, estimate)
        estimate.seconds = timing.capped(outcome.seconds, node.opts.get("timeout_s"))
        return outcome if estimate.seconds is outcome.seconds else Outcome(estimate.seconds, outcome.busy)

    def _loop(self, node: Node, estimate: Estimate) -> Outcome:
        cond, body = node.regions
        most = float(node.attrs["max"])
        times = Interval.exact(most) if _never_stops(cond) else Interval(0.0, most / 2, most)
        checks = Interval(min(1.0, most), min(times.mid + 1, most), most)
        initial = [self._size(value) for value in node.operands]
        for region in node.regions:
            self._set(region.args, initial)
            self._pass_chats(node.operands, region.args)
        self._measure(body)
        after_one = [self._size(value) for value in body.yields]
        states = [
            sizes.carried(first, second, type_string, times)
            for first, second, type_string in zip(initial, after_one, node.result_types, strict=True)
        ]
        self._set(cond.args, [state.inside for state in states])
        self._set(body.args, [state.inside for state in states])
        self._set(node.results, [state.final for state in states])
        self._pass_chats(body.yields, node.results)
        if self._is_sizing:
            return NO_TIME
        turn = self._region(body, node.id, estimate.count * times)
        check = self._region(cond, node.id, estimate.count * checks)
        return merged(check.seconds * checks + turn.seconds * times, check.busy.times(checks), turn.busy.times(times))

    def _measure(self, region: Region) -> None:
        """The sizes of all values in a region and nothing else, so that a loop in it has its body walked once and
        not twice: what is nested ``n`` loops deep is walked ``n + 1`` times, and not ``2 ** n`` times."""
        sizing, self._is_sizing = self._is_sizing, True
        self._region(region, None, ONE)
        self._is_sizing = sizing

    def _map(self, node: Node, estimate: Estimate) -> Outcome:
        [body] = node.regions
        lists = [self._size(value) for value in node.operands]
        times = _map_length(lists, float(node.attrs["limit"]))
        self._set(body.args, [sizes.one_item(each) for each in lists])
        self._pass_chats(node.operands, body.args)
        at_once = float(node.attrs.get("concurrency") or 0) or math.inf
        around, self._at_once = self._at_once, self._at_once * max(min(times.mid, at_once), 1.0)
        item = self._region(body, node.id, estimate.count * times)
        self._at_once = around
        self._set(node.results, [sizes.repeated(self._size(value), times) for value in body.yields])
        self._pass_chats(body.yields, node.results)
        seconds = bounded(
            *(
                max(math.ceil(n / at_once) * one, one + (n - 1) * alone) if n >= 1 else n * one
                for n, one, alone in zip(times.bounds, item.seconds.bounds, item.busy.most().bounds, strict=True)
            )
        )
        return Outcome(seconds, item.busy.times(times))

    def _branch(self, node: Node, estimate: Estimate) -> Outcome:
        maybe = Interval(0.0, 1 / len(node.regions), 1.0)
        arms = [self._region(arm, node.id, estimate.count * maybe) for arm in node.regions]
        self._merge_results(node, node.regions)
        return merged(either(arm.seconds for arm in arms), *(arm.busy.times(maybe) for arm in arms))

    def _attempt(self, node: Node, estimate: Estimate) -> Outcome:
        body, *handlers = node.regions
        ending = [handlers.pop()] if len(node.regions) > len(node.attrs["catches"]) + 1 else []
        for handler in handlers:
            self._set(handler.args, [sizes.error()])
        tried = self._region(body, node.id, estimate.count)
        caught = [self._region(handler, node.id, estimate.count * UNEXPECTED) for handler in handlers]
        ended = [self._region(each, node.id, estimate.count) for each in ending]
        self._merge_results(node, [body, *handlers])
        worst = tried.seconds.hi + max((each.seconds.hi for each in caught), default=0.0)
        least = 0.0 if handlers else tried.seconds.lo  # the body may fail at once
        seconds = total([Interval(least, tried.seconds.mid, worst), *(each.seconds for each in ended)])
        busy = [each.busy.times(UNEXPECTED) for each in caught]
        return merged(seconds, tried.busy, *busy, *(each.busy for each in ended))

    def _race(self, node: Node, estimate: Estimate) -> Outcome:
        arms = [arm.regions[0] for arm in node.regions[0].nodes]
        cut_short = Interval(0.0, 1.0, 1.0) if len(arms) > 1 else ONE
        ran = []
        for number, arm in enumerate(arms, start=1):
            arm.name = f"arm {number}"
            ran.append(self._region(arm, node.id, estimate.count * cut_short))
        self._merge_results(node, arms)
        times = [arm.seconds for arm in ran]
        surely = [each.seconds.hi for each, arm in zip(ran, arms, strict=True) if _cannot_fail(arm)]
        worst = min(surely, default=max(t.hi for t in times))
        mid = min(t.mid for t in times)
        seconds = Interval(min(t.lo for t in times), mid, max(worst, mid))
        return merged(seconds, *(arm.busy.times(cut_short) for arm in ran))

    # Leaves

    def _prefill(self, node: Node) -> None:
        prompt, *rest = (self._size(value) for value in node.operands)
        chat = rest[0] if rest else NOTHING
        tokens = total([prompt.tokens, *(each.tokens for each in rest), CHAT_TEMPLATE_TOKENS])
        # At best the static prefix is cached too, by another request; at worst the conversation's KV was evicted.
        static = text_tokens(float(node.opts.get("static_prefix_chars", 0))).lo
        new = Interval(max(tokens.lo - chat.tokens.lo - static, 1.0), tokens.mid - chat.tokens.mid, tokens.hi)
        known = next((self._chats[value] for value in node.operands if value in self._chats), _Chat(DEFAULT_MODEL))
        home = known.placement.place if known.placement.serving is not None else None
        self._prompts[node.results[0]] = _Prompt(
            node, tokens, new, prompt.guessed or chat.guessed, known.model, home, prompt.has_parts or chat.has_parts
        )

    def _decode(self, node: Node, estimate: Estimate) -> Outcome:
        prompt = self._prompts[node.operands[0]]
        samples = int(node.attrs.get("samples", 1))
        returns = str(node.attrs.get("returns", "str"))
        reply = reply_tokens(
            returns,
            node.opts.get("max_tokens"),
            node.opts.get("min_tokens"),
            ignore_eos=bool(node.opts.get("ignore_eos")) and not {"stop", "stop_token_ids"} & node.opts.keys(),
        )
        replies = reply.scaled(samples)
        items = Interval.exact(samples) if samples > 1 else None
        own = str(node.attrs.get("model", DEFAULT_MODEL))
        model = prompt.model if own == DEFAULT_MODEL else own
        late = "model" in node.opts.get("late", ())
        placement = self._placer.costliest(node) if late else self._placer.model_call(node, model)
        window = placement.serving.context_tokens if placement and placement.serving else None
        prompt = prompt.longer(text_tokens(len(node.opts.get("tools", "")))).within(window)
        self._set(
            node.results,
            [
                Size(replies, items, guessed=not reply.is_exact),
                Size(within(prompt.tokens + reply, window).scaled(samples), items, True, prompt.has_parts),
                Size(replies.scaled(LOGPROB_TOKENS), items, guessed=True),
            ],
        )
        if placement is None or placement.serving is None:
            return NO_TIME
        left_behind, prompt = prompt, prompt.at(placement.place)
        self._chats[node.results[1]] = _Chat(model, placement)
        if self._is_sizing:
            return NO_TIME
        engine = placement.serving.engine
        refused = refusals(node, engine.name, engine.kind, has_parts=prompt.has_parts)
        self.diagnostics.update({f"{node.id} {found}": found for found in refused})
        cost = call_cost(placement.serving, prompt.tokens, prompt.new, reply, samples)
        if left_behind.home is not None and prompt is not left_behind:
            cached = call_cost(placement.serving, prompt.tokens, left_behind.new, reply, samples)
            replica = placement.serving.replica
            per_token = replica.facts.kv_bytes_per_token if replica is not None else 0.0
            move = Move(
                op=node.id,
                what="kv",
                source=left_behind.home,
                target=placement.place,
                bytes=max(prompt.new.mid - left_behind.new.mid, 0.0) * per_token,
                seconds=max(cost.seconds.mid - cached.seconds.mid, 0.0),
            )
            self.moves[node.id] = [move]
        estimate.placement = placement
        estimate.tokens_in, estimate.tokens_out = prompt.tokens, replies
        estimate.cost_usd, estimate.resources, estimate.prefill = cost.cost_usd, cost.decode, cost.prefill
        estimate.guesses = _listed(
            ("tokens in", prompt.guessed), ("tokens out", not is_scalar(returns) and not reply.is_exact)
        )
        self.companions[id(prompt.node)] = (prompt.node, placement, cost.prefill)
        return Outcome(cost.seconds, Busy({placement.place: cost.exclusive_s}))

    def _call(self, node: Node, estimate: Estimate) -> Outcome:
        self._set(node.results, [sizes.of_call(node, [self._size(value) for value in node.operands])])
        known = self._placer.call(node)
        kind = node.attrs.get("kind")
        if known is not None:
            estimate.placement = known
        self._pass_chats(node.operands[:1], node.results[:1])
        if kind == "chat":
            self._chats[node.results[0]] = _Chat(str(node.opts.get("model", DEFAULT_MODEL)))
        if kind == "ask":
            estimate.guesses = ("seconds",)
            return Outcome(timing.HUMAN_S, Busy({}))
        if kind == "sleep":
            asked_s = node.opts.get("seconds")
            estimate.guesses = _listed(("seconds", asked_s is None))
            return Outcome(timing.SLEEP_S if asked_s is None else Interval.exact(asked_s), Busy({}))
        if kind not in ("tool", "retrieve") or str(node.attrs.get("callee", "")).startswith("builtin."):
            return _BOOKKEEPING
        seconds, guessed = timing.tool_s(
            estimate.placement.place if known is not None else "",
            str(node.attrs.get("effects", "once")),
            retrieve=kind == "retrieve",
            typical_s=node.opts.get("typical_s"),
        )
        estimate.guesses = _listed(("seconds", guessed))
        if known is None:
            work = self._work(node, estimate, seconds, is_known=not guessed)
            estimate.placement, chosen = self._placer.tool(node, work)
            seconds += chosen.overhead
            if chosen.place != "thread" and not self._is_sizing:
                self.moves[node.id] = self._moved(node, chosen.place)
        elif known.place in OFF_THE_LOOP:
            seconds += dispatch(known.place).interval
        place = estimate.placement.place
        if place in ("inline", "async"):
            return Outcome(seconds, Busy({EVENT_LOOP: seconds}) if place == "inline" else Busy({}))
        seconds = timing.capped(seconds, node.opts.get("timeout_s"))
        estimate.cost_usd, busy = self._placer.cpu_use(seconds)
        shares = {estimate.placement.device or "cpu": busy}
        if place == "thread" and computes(node):
            shares[INTERPRETER] = Interval(0.0, seconds.mid, seconds.hi)  # at best it computes outside of the lock
        return Outcome(seconds, Busy(shares))

    def _moved(self, node: Node, place: str) -> list[Move]:
        """The arguments of a tool on their way to another process, and its result on the way back."""
        there, back = self._bytes(node.operands), self._bytes(node.results)
        moving_s = dispatch(place).moving_s
        return [
            Move(op=node.id, what="arguments", source=COORDINATOR, target=place, bytes=there, seconds=moving_s(there)),
            Move(op=node.id, what="result", source=place, target=COORDINATOR, bytes=back, seconds=moving_s(back)),
        ][0 if node.operands else 1 :]

    def _bytes(self, values: Sequence[int]) -> float:
        return total(self._size(value).tokens for value in values).mid * BYTES_PER_TOKEN

    def _work(self, node: Node, estimate: Estimate, seconds: Interval, *, is_known: bool) -> Work:
        """What is known of a call of a tool before it has a place."""
        if not computes(node):
            return Work(seconds, is_known, computes=False)
        crowd = self._crowds.get(node.id, ALONE)
        return Work(
            seconds,
            is_known,
            computes=True,
            at_once=max(self._at_once * crowd.computing, 1.0),
            others=crowd.others,
            executions=estimate.count.mid,
            moved_bytes=self._bytes((*node.operands, *node.results)),
        )

    # Values

    def _size(self, value: int) -> Size:
        return self._sizes[value]

    def _set(self, values: Sequence[int], found: Sequence[Size]) -> None:
        self._sizes.update(zip(values, found, strict=False))

    def _merge_results(self, node: Node, arms: Sequence[Region]) -> None:
        options = zip(*([self._size(value) for value in arm.yields] for arm in arms), strict=True)
        self._set(node.results, [sizes.one_of(each) for each in options])
        for arm in reversed(arms):
            self._pass_chats(arm.yields, node.results)

    def _pass_chats(self, given: Sequence[int], taken: Sequence[int]) -> None:
        """A conversation keeps its model and engine when it enters or leaves a region."""
        for source, target in zip(given, taken, strict=False):
            if source in self._chats:
                self._chats[target] = self._chats[source]

    def _hint(self, node: Node) -> None:
        """A hint goes to the engine of its conversation; what it gives back, if anything, is that conversation."""
        place = next((self._chats[value].placement for value in node.operands if value in self._chats), INLINE)
        self.companions[id(node)] = (node, place, NO_RESOURCES)
        self._set(node.results, [self._size(value) for value in node.operands])
        self._pass_chats(node.operands[: len(node.results)], node.results)


def _cannot_fail(arm: Region) -> bool:
    """Whether an arm of a race only sleeps, as long as it says, and gives a constant."""
    return all(node.attrs.get("kind") == "const" or "seconds" in node.opts for node in arm.nodes)


def _never_stops(cond: Region) -> bool:
    """Whether a loop's condition is the constant false, so that it always runs to its bound."""
    for node in cond.nodes:
        if list(node.results) == cond.yields and node.attrs.get("kind") == "const":
            return bool(node.opts.get("value", node.attrs.get("value")) == "false")
    return False


def _map_length(lists: list[Size], limit: float) -> Interval:
    known = next((each.items for each in lists if each.items is not None), None)
    if known is None:
        return Interval(0.0, limit / 2, limit)
    return Interval(min(known.lo, limit), min(known.mid, limit), min(known.hi, limit))


def _listed(*guesses: tuple[str, bool]) -> tuple[str, ...]:
    return tuple(name for name, guessed in guesses if guessed)
