from pathlib import Path

import pytest

from orchestrator.errors import PlanError
from orchestrator.planner.catalogue import catalogue, load, read_device_type
from orchestrator.planner.cluster import Device

GOOD = """\
kind = "gpu"
nvidia_smi = []

[memory_bytes]
value = 8e10
source = "data sheet"

[memory_bytes_per_s]
value = 2e12
source = "data sheet"

[node_devices]
value = 8
source = "data sheet"

[power_w]
value = 500
source = "data sheet"

[capex_usd]
value = 10_000
source = "an offer"

[flops.bf16]
value = 3e14
source = "data sheet"
"""
ASKED_FOR = {
    "a40", "a100-sxm-80gb", "a100-sxm-40gb", "a100-pcie-80gb", "a100-pcie-40gb", "rtx-a6000", "l4", "l40s", "h100-sxm",
    "h100-pcie", "h200-sxm", "b200-sxm", "gb200", "b300-sxm", "gb300", "mi300x", "gaudi3", "tpu-v5e", "x86",
}  # fmt: skip
DTYPES = {"bf16", "fp16", "fp32", "fp8", "fp4", "int8"}


def every_device() -> list[Device]:
    """One of each type; a CPU of one core."""
    return [kind.device(name, cores=1, memory_bytes=1e9) for name, kind in catalogue().items()]


def test_every_figure_of_every_device_has_a_source() -> None:
    assert set(catalogue()) == ASKED_FOR
    figures = set(Device.model_fields) - {"name", "type", "kind", "count", "cores", "flops", "sources", "memory_bytes"}
    for device in every_device():
        for dtype in device.flops:
            assert len(device.sources[f"flops.{dtype}"]) > 10
        for field in figures - ({"node_devices"} if "node_devices" not in device.sources else set()):
            assert getattr(device, field) is None or len(device.sources[field]) > 10


def test_every_accelerator_says_how_it_is_linked_and_what_it_computes_in() -> None:
    for device in every_device():
        assert set(device.flops) <= DTYPES
        assert "bf16" in device.flops
        if device.kind == "gpu":
            assert device.link_bytes_per_s is not None
            assert "node_devices" in device.sources
            assert device.inter_node_bytes_per_s is None or device.inter_node_bytes_per_s < device.link_bytes_per_s * 2


def test_narrower_types_are_never_slower_except_where_the_data_sheet_says_so() -> None:
    for device in every_device():
        peaks = device.flops
        assert peaks.get("fp16", peaks["bf16"]) == peaks["bf16"]
        assert peaks["bf16"] <= peaks.get("fp8", peaks["bf16"]) <= peaks.get("fp4", float("inf"))
        if device.name not in ("b300-sxm", "gb300"):
            assert peaks["bf16"] <= peaks.get("int8", peaks["bf16"])


@pytest.mark.parametrize(
    ("name", "dtype", "dense"),
    [
        ("h100-sxm", "bf16", 9.89e14),
        ("a100-sxm-80gb", "fp16", 3.12e14),
        ("b200-sxm", "fp4", 9e15),
        ("gaudi3", "fp8", 1.835e15),
        ("l4", "fp8", 2.425e14),
        ("tpu-v5e", "int8", 3.93e14),
    ],
)
def test_dense_figures_not_sparse_ones(name: str, dtype: str, dense: float) -> None:
    assert load(name).device("g").flops[dtype] == dense


def test_domains_of_fast_links() -> None:
    domains = {name: load(name).device("g").node_devices for name in ("h100-sxm", "gb200", "gb300", "tpu-v5e")}
    assert domains == {"h100-sxm": 8, "gb200": 72, "gb300": 72, "tpu-v5e": 256}


@pytest.mark.parametrize(
    ("name", "operating", "annuity"),
    [
        ("a40", 0.15, 0.22),
        ("a100-sxm-80gb", 0.25, 0.43),
        ("gaudi3", 0.49, 0.78),
        ("mi300x", 0.52, 0.97),
        ("h100-sxm", 0.60, 1.12),
        ("b200-sxm", 0.83, 1.74),
    ],
)
def test_both_prices_of_the_devices_of_arxiv_2507_19635(name: str, operating: float, annuity: float) -> None:
    device = load(name).device("g")
    assert device.operating_usd_per_hour == operating
    assert device.annuity_usd_per_hour == pytest.approx(annuity, abs=0.005)
    assert device.usd_per_hour == device.annuity_usd_per_hour
    assert "not a rental price" in device.sources["usd_per_hour"]


def test_an_absent_price_is_unknown() -> None:
    l4, a6000 = load("l4").device("g"), load("rtx-a6000").device("g")
    assert (l4.usd_per_hour, l4.operating_usd_per_hour, l4.annuity_usd_per_hour, l4.capex_usd) == (None,) * 4
    assert a6000.annuity_usd_per_hour is not None
    assert a6000.operating_usd_per_hour is None


def test_an_annuity_in_the_file_replaces_the_derived_one(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(GOOD + '[annuity_usd_per_hour]\nvalue = 0.5\nsource = "our accountant"\n')
    device = read_device_type(path).device("g")
    assert (device.usd_per_hour, device.sources["annuity_usd_per_hour"]) == (0.5, "our accountant")


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
        ('value = 3e14\nsource = "data sheet"', "value = 3e14", "ORCH-P004", "`flops.bf16.source` is missing", 24),
        ("value = 8e10", "value = -8e10", "ORCH-P005", "`memory_bytes.value`", 5),
        ("value = 8e10", "value = 0", "ORCH-P005", "`memory_bytes.value`", 5),
        ("value = 8e10", 'value = "80 GB"', "ORCH-P005", "`memory_bytes.value`", 5),
        ("value = 8e10", "value = nan", "ORCH-P005", "`memory_bytes.value`", 5),
        ("value = 2e12", "value = inf", "ORCH-P005", "`memory_bytes_per_s.value`", 9),
        ("value = 8\n", "value = 0\n", "ORCH-P005", "`node_devices.value`", 13),
        ("value = 8\n", "value = 7.5\n", "ORCH-P005", "`node_devices.value`", 13),
        ("value = 500", "value = -1", "ORCH-P005", "`power_w.value`", 17),
        ("value = 10_000", "value = nan", "ORCH-P005", "`capex_usd.value`", 21),
        ("value = 3e14", "value = 0.0", "ORCH-P005", "`flops.bf16.value`", 25),
        ("[memory_bytes]", "[memory]", "ORCH-P006", "`memory` is not a known field", 4),
        ("[flops.bf16]", "[flops.bf16", "ORCH-P002", "TOML", 24),
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
