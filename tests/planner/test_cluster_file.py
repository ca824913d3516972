from pathlib import Path

import pytest

from orchestrator.errors import PlanError
from orchestrator.planner.cluster import Cluster

GOOD = """\
[[device]]
name = "gpus"
type = "h100-sxm"
count = 2
usd_per_hour = 2.49

[[device]]
name = "cpu"
type = "x86"
cores = 16
memory_bytes = 64e9

[[engine]]
name = "main"
kind = "vllm"
model = "Qwen/Qwen3-8B"
device = "gpus"
config = "qwen/config.json"
options = { tensor_parallel_size = 2 }
"""


def read(folder: Path, text: str) -> Cluster:
    path = folder / "cluster.toml"
    path.write_text(text)
    return Cluster.from_file(path)


def test_a_figure_in_the_file_overrides_the_catalogue_and_says_so(tmp_path: Path) -> None:
    cluster = read(tmp_path, GOOD)
    gpus = cluster.device("gpus")
    assert (gpus.count, gpus.usd_per_hour, gpus.memory_bytes_per_s) == (2, 2.49, 3.35e12)
    assert gpus.sources["usd_per_hour"] == "the cluster file"
    assert "NVIDIA" in gpus.sources["memory_bytes_per_s"]
    assert cluster.device("cpu").flops["fp32"] == 16 * 8e10


def test_config_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    assert read(tmp_path, GOOD).engine("main").config == str(tmp_path / "qwen/config.json")


def test_a_device_outside_the_catalogue(tmp_path: Path) -> None:
    text = '[[device]]\nname = "x"\nkind = "gpu"\nmemory_bytes = 1e9\nmemory_bytes_per_s = 1e9\n'
    text += "flops = { bf16 = 1e12 }\n"
    assert read(tmp_path, text).device("x").type == "custom"


@pytest.mark.parametrize(
    ("old", "new", "code", "said", "line"),
    [
        ("count = 2", "count = 0", "ORCH-P005", "`device.0.count`", 4),
        ("usd_per_hour = 2.49", "usd_per_hour = 0", "ORCH-P005", "`device.0.usd_per_hour`", 5),
        ("cores = 16", "core = 16", "ORCH-P006", "`device.1.core` is not a known field", 10),
        ("cores = 16\n", "", "ORCH-P004", "needs `cores`", 9),
        ('type = "h100-sxm"', 'type = "h100"', "ORCH-P007", "no device type 'h100'", 3),
        ('kind = "vllm"', 'kind = "vlm"', "ORCH-P005", "`engine.0.kind`", 15),
        ('device = "gpus"', 'device = "gpu"', "ORCH-P005", "'gpu', which is not one of the devices", 1),
        ('name = "cpu"', 'name = "gpus"', "ORCH-P005", "two devices have the same name: gpus", 1),
        ("[[engine]]", "[[engine]", "ORCH-P002", "TOML", 13),
    ],
)
def test_a_bad_cluster_file_names_code_field_and_line(
    tmp_path: Path, old: str, new: str, code: str, said: str, line: int
) -> None:
    assert old in GOOD
    with pytest.raises(PlanError) as caught:
        read(tmp_path, GOOD.replace(old, new))
    [found] = [each for each in caught.value.diagnostics if said in each.message]
    assert found.code == code
    assert found.where is not None
    assert (found.where.file, found.where.line) == (str(tmp_path / "cluster.toml"), line)


def test_a_missing_file_is_coded(tmp_path: Path) -> None:
    with pytest.raises(PlanError) as caught:
        Cluster.from_file(tmp_path / "none.toml")
    assert caught.value.code == "ORCH-P001"
