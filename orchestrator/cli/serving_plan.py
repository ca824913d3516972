"""``orch plan serve``: how to serve one model on given devices."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.cli.command import Command
from orchestrator.cli.options import debug_option, json_option
from orchestrator.cli.streams import deliver, deliver_json
from orchestrator.cli.terminal import width

if TYPE_CHECKING:
    from orchestrator.planner.cluster import Cluster
    from orchestrator.planner.serving_plan import Backend, Goal, ModelAsked, Served, Weights
    from orchestrator.planner.solver.one_model import Demand, ServingPlan, Workers
    from orchestrator.planner.solver.solution import Solution


@click.command(
    cls=Command,
    name="serve",
    epilog="\b\nExamples:\n"
    "  orch plan serve llama-3.1-70b --cluster c.toml --isl 4000 --osl 500 --ttft 1s --tpot 30ms\n"
    "  orch plan serve model/config.json --cluster c.toml --isl 1000 --osl 1000 --rate 5/s --objective cost",
)
@click.argument("model")
@click.option(
    "--cluster", "cluster_file", type=click.Path(path_type=Path), required=True, help="The devices to serve on (TOML)."
)
@click.option("--isl", type=click.IntRange(min=1), required=True, help="Input tokens of a request.")
@click.option("--osl", type=click.IntRange(min=1), required=True, help="Output tokens of a request.")
@click.option("--ttft", metavar="TIME", help='What the first token may take at the most, like "1s".')
@click.option("--tpot", metavar="TIME", help='What each further token may take at the most, like "30ms".')
@click.option("--rate", metavar="RATE", help='Requests to be served, "5/s" or "300/min"; for --objective cost.')
@click.option(
    "--objective",
    type=click.Choice(["throughput", "cost"]),
    default="throughput",
    show_default=True,
    help="Most tokens a second, or least money for --rate.",
)
@click.option("--weights", type=click.Choice(["bf16", "fp8", "fp4"]), help="Precision; default: the config's.")
@click.option(
    "--backend", type=click.Choice(["vllm", "sglang", "trtllm"]), default="vllm", show_default=True, help="Who serves."
)
@json_option
@debug_option
def command(  # noqa: PLR0917 - one parameter an option
    model: str,
    cluster_file: Path,
    isl: int,
    osl: int,
    ttft: str | None,
    tpot: str | None,
    rate: str | None,
    objective: Goal,
    weights: Weights | None,
    backend: Backend,
    as_json: bool,
    debug: bool,
) -> None:
    """Plan how to serve MODEL: how many workers, over how many devices each, with which batches.

    MODEL is a bundled model (llama-3.1-70b, qwen3-32b, deepseek-r1, ...) or the path of a config.json. Workers either
    do everything or prefill and decode apart. Nothing is started; figures are the calibrated cost model's.
    """
    from orchestrator.cli.quantities import per_second, seconds
    from orchestrator.planner.cluster_file import read_cluster
    from orchestrator.planner.serving_plan import model_asked, serve
    from orchestrator.planner.solver.one_model import Demand

    del debug
    limits = seconds(ttft, "--ttft"), seconds(tpot, "--tpot")
    demand = Demand(float(isl), float(osl), *limits, rate_per_s=per_second(rate, "--rate"))
    asked = model_asked(model, weights)
    cluster = read_cluster(cluster_file)
    served = serve(asked, cluster, demand, objective=objective, backend=backend)
    if as_json:
        doubts = {"note": asked.facts.note} if asked.facts.note else {}
        data = {"ok": True, "model": model, "weights": asked.weights, "backend": backend, **doubts}
        deliver_json(data | _data(served, cluster))
    else:
        deliver(_text(served, asked, cluster, demand), end="")


def _data(served: Served, cluster: Cluster) -> dict[str, object]:
    rivals = {
        each.kind: {"why": each.why}
        if each.plan is None
        else {**_figures(each.plan, cluster), "worse_by": served.worse_by(each.plan)}
        for each in served.rivals
    }
    solution = served.plan.solution
    proof = {
        "gap": solution.gap,
        "open_because": solution.open_because,
        "solve_s": solution.solve_s,
        "candidates": served.plan.candidates,
    }
    workers = [_worker(served, each, cluster) for each in served.plan.workers]
    figures = {**_figures(served.plan, cluster), "workers": workers}
    return {"objective": served.objective, **figures, "proof": proof, "alternatives": rivals}


def _figures(plan: ServingPlan, cluster: Cluster) -> dict[str, object]:
    return {
        "requests_per_s": plan.requests_per_s,
        "tokens_per_s": plan.tokens_per_s,
        "devices_used": _used(plan),
        "tokens_per_s_per_device": plan.tokens_per_s / _used(plan),
        "ttft_s": plan.ttft_s,
        "tpot_s": plan.tpot_s,
        "usd_per_hour": plan.usd_per_hour,
        "workers": [_shape(each, cluster) for each in plan.workers],
    }


def _used(plan: ServingPlan) -> int:
    return sum(each.count * each.shape.devices for each in plan.workers)


def _shape(workers: Workers, cluster: Cluster) -> dict[str, object]:
    shape = workers.shape
    return {
        "count": workers.count,
        "mode": shape.mode,
        "device": workers.pool,
        "device_type": cluster.device(workers.pool).type,
        "tensor_parallel": shape.tensor,
        "expert_parallel": shape.expert,
        "batch": shape.batch,
    }


def _worker(served: Served, workers: Workers, cluster: Cluster) -> dict[str, object]:
    found = served.workers[workers.pool, workers.shape]
    intervals = {
        f"{name}_s": dict(zip(("lo", "mid", "hi"), of.bounds, strict=True))
        for name, of in (("ttft", found.ttft), ("tpot", found.tpot))
        if of.hi > 0
    }
    return {**_shape(workers, cluster), **intervals, "measured": found.measured}


def _text(served: Served, model: ModelAsked, cluster: Cluster, demand: Demand) -> str:
    from orchestrator.planner.figures import duration
    from orchestrator.planner.table import fitted

    plan, solution, used = served.plan, served.plan.solution, _used(served.plan)
    offered = ", ".join(f"{each.count} x {each.type}" for each in cluster.devices if each.kind == "gpu")
    lines = [
        f"Plan to serve {model.facts.name} ({model.weights}) on {offered}, made for {served.objective}: "
        f"{demand.input_tokens:,.0f} tokens in, {demand.output_tokens:,.0f} out.",
        "",
        *_table(served, cluster),
        "",
        f"throughput  {plan.requests_per_s:.3g} requests/s, {plan.tokens_per_s:,.0f} output tokens/s: "
        f"{plan.tokens_per_s / used:,.0f} on each of {used} devices",
        f"latency     TTFT {duration(plan.ttft_s)}, TPOT {duration(plan.tpot_s)}",
        f"price       {_price(plan)}",
        f"proof       {_proof(solution)} of {plan.candidates} kinds of worker, in {solution.solve_s:.2g} s",
    ]
    lines += [f"{'instead' if number == 0 else '':<12}{text}" for number, text in enumerate(_rivals(served, cluster))]
    unknown = sorted({each.pool for each in plan.workers if not served.workers[each.pool, each.shape].measured})
    if unknown:
        lines.append(f"note        the model was never measured on {', '.join(unknown)}: intervals are wide")
    if model.facts.note:
        lines.append(f"note        {model.facts.note}")
    return "\n".join(part for line in lines for part in fitted(line, width())) + "\n"


def _table(served: Served, cluster: Cluster) -> list[str]:
    from orchestrator.planner.figures import duration, spread
    from orchestrator.planner.table import Column, table

    rows = []
    for each in served.plan.workers:
        of = served.workers[each.pool, each.shape]
        ttft, tpot = (spread(one, duration) if one.hi > 0 else "" for one in (of.ttft, of.tpot))
        rows.append((f"{each.count} x {each.shape.mode}", _split(each, cluster), str(each.shape.batch), ttft, tpot))
    columns = (
        Column("workers"),
        Column("devices of each", least=14),
        Column("batch", rank=1),
        Column("TTFT", rank=2),
        Column("TPOT", rank=3),
    )
    return table(columns, rows, width())


def _split(workers: Workers, cluster: Cluster) -> str:
    shape = workers.shape
    experts = f", experts over {shape.expert}" if shape.expert > 1 else ""
    return f"{shape.devices} x {cluster.device(workers.pool).type}{experts}"


def _proof(solution: Solution) -> str:
    if solution.open_because:
        return f"NONE, another use may be better by {100 * solution.gap:.2g} % ({solution.open_because}),"
    exact = solution.gap < 1e-6
    return "the best use there is" if exact else f"within {100 * solution.gap:.2g} % of the best use there is"


def _price(plan: ServingPlan) -> str:
    from orchestrator.planner.figures import dollars

    if plan.usd_per_hour is None:
        return "unknown: a device has no usd_per_hour"
    per_million = plan.usd_per_hour / 3600 / plan.tokens_per_s * 1e6
    return f"{dollars(plan.usd_per_hour)}/h, {dollars(per_million)} for a million output tokens"


def _rivals(served: Served, cluster: Cluster) -> list[str]:
    """What each kind of serving alone would give."""
    found = []
    for each in served.rivals:
        if each.plan is None:
            found.append(f"only {each.kind}: impossible, {each.why}")
            continue
        if each.plan.workers == served.plan.workers:
            found.append(f"only {each.kind}: the same")
            continue
        worse, rate = served.worse_by(each.plan), each.plan.tokens_per_s / _used(each.plan)
        lost = f"{worse:.1%} {'less throughput' if served.objective == 'throughput' else 'dearer'}"
        workers = ", ".join(f"{w.count} x {w.shape.mode} of {_split(w, cluster)}" for w in each.plan.workers)
        found.append(f"only {each.kind}: {lost}, {rate:,.0f} tokens/s a device ({workers})")
    return found
