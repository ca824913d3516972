from orchestrator.planner.catalogue import load
from orchestrator.planner.cluster import EngineSpec
from orchestrator.planner.cost.call import call_cost
from orchestrator.planner.cost.speed import Reference, speed_of
from orchestrator.planner.interval import Interval
from orchestrator.planner.models import bundled
from orchestrator.planner.serving import Replica, Serving
from tests.planner.clusters import gpu, tiny

LLAMA_70B = bundled("llama-3.1-70b")
assert LLAMA_70B is not None
REFERENCES = (Reference(1024, 1, 0.05, 0.01),)


def seconds(device: str, parallel: int, tokens: float = 1000.0) -> Interval:
    assert LLAMA_70B is not None
    replica = Replica(LLAMA_70B, load(device).device("d", count=8), parallel)
    serving = Serving(EngineSpec(name="e", kind="vllm", model="m", device="d"), replica)
    n = Interval.exact(tokens)
    return call_cost(serving, n, n, Interval.exact(200), 1).seconds


def test_only_gpus_of_the_catalogue_are_scaled() -> None:
    assert speed_of(Replica(tiny(), gpu()), REFERENCES) is None
    assert speed_of(Replica(tiny(), load("x86").device("c", cores=2, memory_bytes=1e9)), REFERENCES) is None
    own = load("h100-sxm").device("d").model_copy(update={"flops": {"bf16": 1e15}})
    assert speed_of(Replica(tiny(), own), REFERENCES) is None
    assert speed_of(Replica(tiny(), load("h100-sxm").device("d")), REFERENCES) is not None


def test_what_was_measured_is_known_more_closely() -> None:
    measured = speed_of(Replica(LLAMA_70B, load("h100-sxm").device("d"), 4), REFERENCES)
    elsewhere = speed_of(Replica(LLAMA_70B, load("l40s").device("d"), 4), REFERENCES)
    assert measured is not None
    assert elsewhere is not None
    assert measured.measured
    assert not elsewhere.measured


def test_a_newer_device_is_faster_and_more_tokens_take_longer() -> None:
    assert seconds("b200-sxm", 4).mid < seconds("h100-sxm", 4).mid < seconds("a100-sxm-80gb", 4).mid
    short, long = seconds("h100-sxm", 4, 1000), seconds("h100-sxm", 4, 4000)
    assert all(a < b for a, b in zip(short.bounds, long.bounds, strict=True))


def test_two_hundred_tokens_of_a_70b_model_on_four_h100_take_seconds() -> None:
    # 141 GB of weights over 4 x 3.35 TB/s are 10.5 ms a token at the very best.
    found = seconds("h100-sxm", 4)
    assert 200 * 0.0105 < found.mid < 200 * 0.04
