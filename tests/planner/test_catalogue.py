from pathlib import Path

import pytest

from orchestrator.errors import PlanError
from orchestrator.planner.catalogue import catalogue, load, read_device_type

GOOD = """\
kind = "gpu"
nvidia_smi = []

[memory_bytes]
value = 8e10
source = "data sheet"

[memory_bytes_per_s]
value = 2e12
source = "data sheet"

[flops.bf16]
value = 3e14
source = "data sheet"
"""


def test_every_figure_of_every_device_has_a_source() -> None:
    assert set(catalogue()) >= {"x86", "h100-sxm", "h200-sxm", "a100-sxm-80gb", "l4", "l40s"}
    for name, kind in catalogue().items():
        device = kind.device(name, cores=2, memory_bytes=1e9)
        for dtype in device.flops:
            assert len(device.sources[f"flops.{dtype}"]) > 10
        for field in ("memory_bytes_per_s", "link_bytes_per_s", "usd_per_hour"):
            assert getattr(device, field) is None or len(device.sources[field]) > 10


def test_dense_figures_not_sparse_ones() -> None:
    assert load("h100-sxm").device("g").flops["bf16"] == 9.89e14


def test_an_absent_price_is_unknown() -> None:
    assert load("l4").device("g").usd_per_hour is None


def test_a_cpu_scales_with_its_cores_up_to_what_memory_gives() -> None:
    x86 = load("x86")
    two, many = x86.device("c", cores=2, memory_bytes=1e9), x86.device("c", cores=64, memory_bytes=1e9)
    assert many.flops["fp32"] == 32 * two.flops["fp32"]
    assert two.memory_bytes_per_s == 2e10
    assert many.memory_bytes_per_s == 2e11


@pytest.mark.parametrize("given", [{"cores": 4}, {"memory_bytes": 1e9}])
def test_a_cpu_needs_cores_and_memory(given: dict[str, int]) -> None:
    with pytest.raises(PlanError) as caught:
        load("x86").device("c", **given)  # type: ignore[arg-type]
    assert caught.value.code == "ORCH-P004"


def test_an_unknown_type_lists_the_known_ones() -> None:
    with pytest.raises(PlanError) as caught:
        load("h1000")
    assert caught.value.code == "ORCH-P007"
    assert "h100-sxm" in str(caught.value)


def test_the_good_file_is_good(tmp_path: Path) -> None:
    path = tmp_path / "good.toml"
    path.write_text(GOOD)
    assert read_device_type(path).device("g").memory_bytes == 8e10


@pytest.mark.parametrize(
    ("old", "new", "code", "field", "line"),
    [
        ('kind = "gpu"\n', "", "ORCH-P004", "`kind` is missing", None),
        ("value = 2e12\n", "", "ORCH-P004", "`memory_bytes_per_s.value` is missing", 8),
        ('value = 3e14\nsource = "data sheet"', "value = 3e14", "ORCH-P004", "`flops.bf16.source` is missing", 12),
        ("value = 8e10", "value = -8e10", "ORCH-P005", "`memory_bytes.value`", 5),
        ("value = 8e10", "value = 0", "ORCH-P005", "`memory_bytes.value`", 5),
        ("value = 8e10", 'value = "80 GB"', "ORCH-P005", "`memory_bytes.value`", 5),
        ("value = 8e10", "value = nan", "ORCH-P005", "`memory_bytes.value`", 5),
        ("[memory_bytes]", "[memory]", "ORCH-P006", "`memory` is not a known field", 4),
        ("[flops.bf16]", "[flops.bf16", "ORCH-P002", "TOML", 12),
    ],
)
def test_a_bad_device_file_names_code_file_field_and_line(
    tmp_path: Path, old: str, new: str, code: str, field: str, line: int | None
) -> None:
    path = tmp_path / "bad.toml"
    assert old in GOOD
    path.write_text(GOOD.replace(old, new))
    with pytest.raises(PlanError) as caught:
        read_device_type(path)
    found = [each for each in caught.value.diagnostics if field in each.message]
    assert [each.code for each in found] == [code]
    where = found[0].where
    assert where is not None
    assert where.file == str(path)
    assert line is None or where.line == line


def test_all_mistakes_of_a_file_are_reported_together(tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(GOOD.replace("value = 8e10", "value = -1").replace("value = 2e12", "speed = 2e12"))
    with pytest.raises(PlanError) as caught:
        read_device_type(path)
    assert sorted(each.code for each in caught.value.diagnostics) == ["ORCH-P004", "ORCH-P005", "ORCH-P006"]
