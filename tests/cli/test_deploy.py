"""``orch deploy``: what a plan would start is printed, compared and written, and nothing is started for that."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.planner.cluster import EngineSpec
from orchestrator.planner.plan import Plan, Site
from orchestrator.runtime.deploy.deployment import Deployment, names
from orchestrator.runtime.ray.session import RaySession
from tests.cli.conftest import Orch
from tests.planner.clusters import cpu
from tests.runtime.deploy.plans import op, plan, vllm

CLUSTER = """
[[device]]
name = "cpu"
type = "x86"
cores = 4
memory_bytes = 8e9

[[engine]]
name = "main"
kind = "sim"
model = "m"
device = "cpu"
options = { time_scale = 0 }
"""


@pytest.fixture
def plans(folder: Path) -> Path:
    """A folder with two plans that differ in a count."""
    for name, replicas in (("two.json", 2), ("three.json", 3)):
        site = Site(engine="main", device="gpu", tensor_parallel=2, replicas=replicas, batch=32)
        plan([vllm()], sites=[site]).save(folder / name)
    return folder


def test_a_dry_run_prints_replicas_devices_and_what_ray_reserves(orch: Orch, plans: Path) -> None:
    text = orch("deploy", "two.json", "--dry-run")
    assert text.code == 0
    row = next(line for line in text.out.splitlines() if line.startswith("main"))
    assert row.split("  ")[0] == "main"
    for shown in ("2 x gpu (tensor 2)", "gpu: 2, GPU: 2", "32", "m/llama"):
        assert shown in row
    data = json.loads(orch("deploy", "two.json", "--dry-run", "--json").out)
    (group,) = data["groups"]
    assert (data["ok"], data["name"], group["name"], group["devices"], group["replicas"]) == (
        True, "answer", "main", 2, 2,
    )  # fmt: skip


def test_a_dry_run_says_what_could_not_be_started(orch: Orch, folder: Path) -> None:
    site = Site(engine="main", device="gpu", tensor_parallel=1, replicas=1, role="prefill")
    plan([vllm()], sites=[site]).save(folder / "p.json")
    assert "not started `main` does prefill alone" in orch("deploy", "p.json", "--dry-run").out
    assert json.loads(orch("deploy", "p.json", "--dry-run", "--json").out)["cannot_start"]


def test_two_plans_are_compared(orch: Orch, plans: Path) -> None:
    assert orch("deploy", "three.json", "--diff", "two.json").out == (
        "main: 1 started, 2 serving on (replicas 2 -> 3)\n"
    )
    (change,) = json.loads(orch("deploy", "two.json", "--diff", "three.json", "--json").out)["changes"]
    assert (change["engine"], change["stopped"], change["kept"]) == ("main", 1, 2)


def test_configurations_are_written_where_they_are_wanted(orch: Orch, plans: Path) -> None:
    ended = orch("deploy", "two.json", "--emit", "vllm", "--out", "a/b")
    assert (ended.code, "sh a/b/serve.sh" in ended.out) == (0, True)
    assert {each.name for each in (plans / "a" / "b").iterdir()} == {"main.yaml", "serve.sh", "engines.toml"}
    files = json.loads(orch("deploy", "two.json", "--emit", "compose", "--json").out)["files"]
    assert set(files) == {f"deployment/{each}" for each in ("main.yaml", "compose.yaml", "engines.toml")}


def test_an_emitted_model_is_where_this_machine_has_it(orch: Orch, folder: Path) -> None:
    (folder / "plans").mkdir()
    written = plan([vllm(model="../weights")])
    (folder / "plans" / "p.json").write_text(written.to_json())
    orch("deploy", "plans/p.json", "--emit", "vllm")
    assert f"vllm serve {folder.resolve() / 'weights'} " in (folder / "deployment" / "serve.sh").read_text()


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("two.json",), "ORCH-U002"),
        (("two.json", "--dry-run", "--emit", "vllm"), "ORCH-U002"),
        (("two.json", "--dry-run", "--out", "x"), "ORCH-U002"),
        (("two.json", "--emit", "podman"), "ORCH-U002"),
        (("--dry-run",), "ORCH-U002"),
        (("--down",), "ORCH-U002"),
        (("two.json", "--diff"), "ORCH-U002"),
        (("two.json", "--dry-run", "--scale", "main=0"), "ORCH-U002"),
        (("two.json", "--dry-run", "--scale", "main=²"), "ORCH-U002"),
        (("two.json", "--dry-run", "--scale", "other=2"), "ORCH-R128"),
        (("two.json", "--ray-address", "127.0.0.1:1"), "ORCH-E007"),
        (("gone.json", "--dry-run"), "ORCH-P001"),
        (("notes.txt", "--dry-run"), "ORCH-P002"),
        (("far.json", "--emit", "vllm"), "ORCH-R120"),
        (("two.json", "--emit", "vllm", "--out", "notes.txt"), "ORCH-U090"),
    ],
)
def test_what_makes_no_sense_is_one_coded_error(orch: Orch, plans: Path, words: tuple[str, ...], code: str) -> None:
    (plans / "notes.txt").write_text("not a plan")
    plan([EngineSpec(name="far", kind="openai", model="gpt")]).save(plans / "far.json")
    ended = orch("deploy", *words)
    assert (ended.code != 0, f"error[{code}]" in ended.err, "fix:" in ended.err) == (True, True, code != "ORCH-P002")
    assert json.loads(orch("deploy", *words, "--json").out)["errors"][0]["code"] == code


def test_a_plan_of_orch_plan_is_read(orch: Orch, folder: Path) -> None:
    assert orch("plan", "flow.py", "--engine", "sim", "--out", "p.json").code == 0
    assert Plan.load(folder / "p.json").cluster.engines
    ended = orch("deploy", "p.json", "--dry-run", "--name", "mine")
    assert (ended.code, ended.out.startswith("The deployment `mine` starts:")) == (0, True)


class TestOnRay:
    """Engines of a plan on the Ray of the session."""

    pytestmark = pytest.mark.ray

    @pytest.fixture
    def address(self, ray_session: RaySession, folder: Path) -> Iterator[str]:
        sim = {"kind": "sim", "model": "m", "options": {"time_scale": 0}}
        for count in (1, 2):
            site = Site(engine="main", device="cpu", tensor_parallel=1, replicas=count)
            spec = EngineSpec(name="main", **sim)
            plan([spec], devices=[cpu(count=4)], sites=[site], ops=[op("llm_1", "engine:main")]).save(
                folder / f"{count}.json"
            )
        (folder / "c.toml").write_text(CLUSTER)
        yield ray_session.address
        for name in names():
            asyncio.run(Deployment.found(name).down(0.0))

    def test_a_plan_is_started_looked_at_scaled_compared_and_taken_down(
        self, orch: Orch, folder: Path, address: str
    ) -> None:
        on = ("--ray-address", address)
        assert orch("deploy", "2.json", "--diff", *on).out == "main: 2 started (new)\n"
        started = orch("deploy", "1.json", *on)
        assert (started.code, "`answer` serves with 1 replica:" in started.out) == (0, True)
        assert orch("deploy", "2.json", "--diff", *on).out == "main: 1 started, 1 serving on (replicas 1 -> 2)\n"
        ran = orch("run", "flow.py", "--cluster", "c.toml", "-i", "question=how?", "--ephemeral", *on)
        assert "`main` is served by 1 replica of the deployment `answer`" in ran.err
        assert ran.code == 0
        scaled = json.loads(orch("deploy", "--scale", "main=2", "--json", *on).out)
        assert (scaled["name"], len(scaled["replicas"]), scaled["trouble"]) == ("answer", 2, None)
        assert "serves with 2 replicas" in orch("deploy", *on).out
        assert "ORCH-R128" in orch("deploy", "--scale", "other=2", *on).err
        assert json.loads(orch("deploy", "--down", "--json", *on).out) == {"ok": True, "name": "answer", "down": True}
        assert "ORCH-R126" in orch("deploy", *on).err
        assert "ORCH-R126" in orch("deploy", "1.json", "--down", *on).err
