"""Configurations say all that was planned, in the words of those who read them, whatever engines are called."""

from __future__ import annotations

import json
import tomllib
from typing import Any

import yaml

from orchestrator.planner.cluster import EngineSpec
from orchestrator.planner.plan import Site
from orchestrator.runtime.deploy.emit import commands, compose_files, vllm_files
from orchestrator.runtime.deploy.layout import Layout, layout_of
from orchestrator.runtime.engines.registry import check_options
from tests.planner.clusters import cpu, gpu
from tests.runtime.deploy.plans import plan, vllm


def two_engines() -> Layout:
    sites = [
        Site(engine="big", device="gpu", tensor_parallel=2, pipeline_parallel=2, replicas=1, batch=64),
        Site(engine="small", device="gpu", tensor_parallel=1, replicas=3),
    ]
    engines = [vllm("big", options={"max_model_len": 8000, "extra": {"quantization": "fp8"}}), vllm("small")]
    return layout_of(plan(engines, devices=[cpu(), gpu(count=8)], sites=sites))


def read(files: dict[str, str], name: str) -> Any:
    return yaml.safe_load(files[name])


def test_the_configuration_of_an_engine_says_what_was_chosen() -> None:
    big = read(vllm_files(two_engines()), "big.yaml")
    assert (big["tensor-parallel-size"], big["pipeline-parallel-size"], big["max-num-seqs"]) == (2, 2, 64)
    assert (big["max-model-len"], big["quantization"]) == (8000, "fp8")
    assert big["served-model-name"] == ["m/llama", "big"]
    assert not {"replicas", "extra", "kv", "num-gpus"} & big.keys()


def test_each_replica_has_a_port_and_devices_of_its_own() -> None:
    found = list(commands(two_engines()))
    assert [each.split("--port ")[1] for each in found] == ["8000", "8001", "8002", "8003"]
    assert [each.partition("DEVICES=")[2].split()[0] for each in found] == ["0,1,2,3", "4", "5", "6"]
    script = vllm_files(two_engines())["serve.sh"]
    assert all(f"{each} & pids=" in script for each in found)


def test_devices_are_counted_anew_on_each_node() -> None:
    site = Site(engine="main", device="gpu", tensor_parallel=2, replicas=3)
    layout = layout_of(plan([vllm()], devices=[gpu(count=8, node_devices=4)], sites=[site]))
    assert [each.partition("DEVICES=")[2].split()[0] for each in commands(layout)] == ["0,1", "2,3", "0,1"]


def test_the_cluster_file_reaches_every_replica() -> None:
    for files in (vllm_files(two_engines()), compose_files(two_engines())):
        engines = [EngineSpec(**each) for each in tomllib.loads(files["engines.toml"])["engine"]]
        assert [each.name for each in engines] == ["big", "small"]
        assert engines[1].options["endpoints"] == [f"http://127.0.0.1:{port}/v1" for port in (8001, 8002, 8003)]
        for each in engines:
            check_options(each)


def test_how_programs_share_an_engine_is_said_where_it_is_asked() -> None:
    options = {"policy": "round-robin+fcfs", "tenants": {"a team": 2.0, "b": 1}}
    files = vllm_files(layout_of(plan([vllm(options=options)])))
    (table,) = tomllib.loads(files["engines.toml"])["engine"]
    assert {key: table["options"][key] for key in options} == options
    assert not {"policy", "tenants"} & read(files, "main.yaml").keys()
    check_options(EngineSpec(**table))


def test_compose_starts_each_replica_on_its_devices() -> None:
    services = read(compose_files(two_engines()), "compose.yaml")["services"]
    assert list(services) == ["big-1", "small-1", "small-2", "small-3"]
    (devices,) = services["small-2"]["deploy"]["resources"]["reservations"]["devices"]
    assert (devices["device_ids"], services["small-2"]["ports"]) == (["5"], ["127.0.0.1:8002:8000"])


def test_prefill_and_decode_apart_name_their_part_of_the_transfer() -> None:
    sites = [
        Site(engine="main", device="gpu", tensor_parallel=1, replicas=1, role=role) for role in ("prefill", "decode")
    ]
    files = vllm_files(layout_of(plan([vllm()], sites=sites)))
    roles = [read(files, f"main-{each}.yaml")["kv-transfer-config"]["kv_role"] for each in ("prefill", "decode")]
    assert roles == ["kv_producer", "kv_consumer"]


def test_a_cpu_engine_sees_no_gpu_option() -> None:
    files = vllm_files(layout_of(plan([vllm(device="cpu", options={"kv_cache_gib": 2})], devices=[cpu()])))
    assert read(files, "main.yaml")["enforce-eager"] is True
    assert "VLLM_CPU_KVCACHE_SPACE=2" in files["serve.sh"]
    assert "CUDA" not in files["serve.sh"]


def test_hostile_names_stay_inside_the_folder_and_inside_their_quotes() -> None:
    names = ["../../etc/x", "a\n- b: 1", "serve", 'quo"te', "Größe $HOME"]
    engines = [vllm(name, model=f"/models/{name}") for name in names]
    for files in (vllm_files(layout_of(plan(engines))), compose_files(layout_of(plan(engines)))):
        assert len(files) == len(engines) + 2
        assert all("/" not in name and not name.startswith(".") for name in files)
        named = [read(files, name)["served-model-name"] for name in files if name not in _OTHERS]
        assert sorted(each[1] for each in named) == sorted(names)
        assert {each["name"] for each in tomllib.loads(files["engines.toml"])["engine"]} == set(names)
    services = read(compose_files(layout_of(plan(engines))), "compose.yaml")["services"]
    assert "/models/Größe $$HOME" in json.dumps(services, ensure_ascii=False)


_OTHERS = ("serve.sh", "engines.toml", "compose.yaml")
