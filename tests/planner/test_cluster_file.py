from pathlib import Path

import pytest

from orchestrator.errors import PlanError
from orchestrator.planner.cluster import Cluster, Device
from orchestrator.planner.cluster_file import read_cluster

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
    return read_cluster(path)


def test_a_figure_in_the_file_overrides_the_catalogue_and_says_so(tmp_path: Path) -> None:
    cluster = read(tmp_path, GOOD)
    gpus = cluster.device("gpus")
    assert (gpus.count, gpus.usd_per_hour, gpus.memory_bytes_per_s) == (2, 2.49, 3.35e12)
    assert gpus.sources["usd_per_hour"] == "the cluster file"
    assert "NVIDIA" in gpus.sources["memory_bytes_per_s"]
    assert cluster.device("cpu").flops["fp32"] == 16 * 8e10


OWN_TYPE = """\
kind = "gpu"
nvidia_smi = []
memory_bytes = { value = 64e9, source = "label" }
memory_bytes_per_s = { value = 1e12, source = "measured" }
flops.bf16 = { value = 1e14, source = "measured" }
"""


def one_device(folder: Path, lines: str) -> Device:
    return read(folder, f'[[device]]\nname = "g"\n{lines}\n').device("g")


@pytest.mark.parametrize(
    ("lines", "price", "said"),
    [
        ('type = "h100-sxm"', 1.116, "$25,000 over 4 years"),
        ('type = "h100-sxm"\nprice = "annuity"', 1.116, "$25,000 over 4 years"),
        ('type = "h100-sxm"\nprice = "operating"', 0.60, "as printed"),
        ('type = "h100-sxm"\nprice = "operating"\nusd_per_hour = 2.49', 2.49, "the cluster file"),
        ('type = "h100-sxm"\noperating_usd_per_hour = 0.7\nprice = "operating"', 0.7, "the cluster file"),
        ('type = "h200-sxm"\ncapex_usd = 25_000', 1.116, "$25,000 over 4 years"),
        ('type = "h100-sxm"\ncapex_usd = 50_000', 1.952, "$50,000 over 4 years"),
        ('type = "h100-sxm"\ncapex_usd = 50_000\nannuity_usd_per_hour = 3', 3.0, "the cluster file"),
    ],
)
def test_what_a_plan_pays(tmp_path: Path, lines: str, price: float, said: str) -> None:
    device = one_device(tmp_path, lines)
    assert device.usd_per_hour == pytest.approx(price, abs=0.001)
    assert said in device.sources["usd_per_hour"]


def test_a_price_that_nobody_knows_stays_unknown(tmp_path: Path) -> None:
    assert one_device(tmp_path, 'type = "h200-sxm"').usd_per_hour is None
    assert one_device(tmp_path, 'type = "h200-sxm"\nprice = "operating"\ncapex_usd = 1').usd_per_hour is None


def test_a_device_file_beside_the_cluster_file(tmp_path: Path) -> None:
    (tmp_path / "devices").mkdir()
    (tmp_path / "devices" / "mine.toml").write_text(OWN_TYPE)
    device = one_device(tmp_path, 'type = "devices/mine.toml"\ncount = 3\nlink_bytes_per_s = 5e10')
    assert (device.type, device.count, device.memory_bytes, device.link_bytes_per_s) == ("mine", 3, 64e9, 5e10)
    assert device.sources["flops.bf16"] == "measured"


def test_a_mistake_in_a_device_file_is_shown_there(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(OWN_TYPE.replace("1e12", "-1e12").replace("64e9", "nan"))
    with pytest.raises(PlanError) as caught:
        one_device(tmp_path, 'type = "mine.toml"')
    found = {(each.code, each.message.split(":")[0]): each.where for each in caught.value.diagnostics}
    assert set(found) == {("ORCH-P005", "`memory_bytes.value`"), ("ORCH-P005", "`memory_bytes_per_s.value`")}
    where = found["ORCH-P005", "`memory_bytes_per_s.value`"]
    assert where is not None
    assert (where.file, where.line) == (str(tmp_path / "mine.toml"), 4)


def test_a_device_file_that_is_not_there_is_shown_in_the_cluster_file(tmp_path: Path) -> None:
    with pytest.raises(PlanError) as caught:
        one_device(tmp_path, 'type = "none.toml"')
    where = caught.value.diagnostics[0].where
    assert caught.value.code == "ORCH-P001"
    assert where is not None
    assert (where.file, where.line) == (str(tmp_path / "cluster.toml"), 3)


@pytest.mark.parametrize("text", ["", "device = []\n"])
def test_an_empty_cluster_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(PlanError) as caught:
        read(tmp_path, text)
    assert caught.value.code == "ORCH-P004"
    assert "the cluster is empty" in caught.value.message


@pytest.mark.parametrize("bad", ["-1", "0", "nan", "inf", '"much"'])
@pytest.mark.parametrize(
    "field",
    [
        "memory_bytes", "memory_bytes_per_s", "link_bytes_per_s", "inter_node_bytes_per_s", "node_devices",
        "pcie_bytes_per_s", "power_w", "capex_usd", "operating_usd_per_hour", "annuity_usd_per_hour", "usd_per_hour",
        "flops.bf16",
    ],
)  # fmt: skip
def test_a_figure_that_cannot_be_is_named(tmp_path: Path, field: str, bad: str) -> None:
    with pytest.raises(PlanError) as caught:
        one_device(tmp_path, f'type = "h100-sxm"\n{field} = {bad}')
    [found] = caught.value.diagnostics
    assert (found.code, found.where and found.where.line) == ("ORCH-P005", 4)
    assert f"`device.0.{field}`" in found.message


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
        ("usd_per_hour = 2.49", 'price = "rental"', "ORCH-P005", "`device.0.price`", 5),
        ("usd_per_hour = 2.49", "usd_per_hour = 0", "ORCH-P005", "`device.0.usd_per_hour`", 5),
        ("cores = 16", "core = 16", "ORCH-P006", "`device.1.core` is not a known field", 10),
        ("cores = 16\n", "", "ORCH-P004", "needs `cores`", 9),
        ('type = "h100-sxm"', 'type = "h100"', "ORCH-P007", "no device type 'h100'", 3),
        ('kind = "vllm"', 'kind = "vlm"', "ORCH-P005", "`engine.0.kind`", 15),
        ('device = "gpus"', 'device = "gpu"', "ORCH-P005", "'gpu', which is not one of the devices", 17),
        ('name = "cpu"', 'name = "gpus"', "ORCH-P005", "two devices have the same name: gpus", 8),
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


@pytest.mark.parametrize(
    ("old", "new", "fix"),
    [
        ("cores = 16", "core = 16", "did you mean `cores`?"),
        ("[[engine]]", "[[engines]]", "did you mean `engine`?"),
        ('model = "', 'modell = "', "did you mean `model`?"),
        ("count = 2", "colour = 2", "what is known here: name, type, kind, count"),
        ('device = "gpus"', 'device = "gpu"', "did you mean `gpus`?"),
        ("[[engine]]", "[engine]", "write [[engine]], with two brackets"),
    ],
)
def test_what_is_misspelt_comes_with_what_was_meant(tmp_path: Path, old: str, new: str, fix: str) -> None:
    with pytest.raises(PlanError) as caught:
        read(tmp_path, GOOD.replace(old, new, 1))
    assert fix in str(caught.value)


def test_wrong_fields_and_wrong_names_are_said_at_once(tmp_path: Path) -> None:
    text = GOOD.replace("cores = 16", "core = 16").replace('device = "gpus"', 'device = "gpuz"')
    with pytest.raises(PlanError) as caught:
        read(tmp_path, text.replace('kind = "vllm"', 'kind = "vlm"'))
    said = str(caught.value)
    assert len(caught.value.diagnostics) == 3
    assert all(each in said for each in ("`device.1.core`", "`engine.0.kind`", "'gpuz', which is not one"))


def test_what_is_wrong_with_each_device_is_said_at_once(tmp_path: Path) -> None:
    text = """\
[[device]]
name = "a"
type = "h1000"

[[device]]
name = "b"
kind = "gpu"

[[device]]
name = "c"
type = "x86"
"""
    with pytest.raises(PlanError) as caught:
        read(tmp_path, text)
    found = [(each.code, each.where.line if each.where else 0) for each in caught.value.diagnostics]
    assert found == [("ORCH-P007", 3), ("ORCH-P004", 5), ("ORCH-P004", 5), ("ORCH-P004", 5), ("ORCH-P004", 11)]


def test_a_missing_file_is_coded(tmp_path: Path) -> None:
    with pytest.raises(PlanError) as caught:
        read_cluster(tmp_path / "none.toml")
    assert caught.value.code == "ORCH-P001"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("count = " + "9" * 4000, "less than or equal to 100000"),
        ("count = 1000000000", "less than or equal to 100000"),
        ("cores = 1000000000", "less than or equal to 100000"),
        ("node_devices = 1000000000", "less than or equal to 100000"),
        ("count = " + "9" * 5000, "not TOML of this world"),
        ("flops = " + "[" * 5000 + "]" * 5000, "not TOML of this world|a valid dictionary"),
    ],
)
def test_numbers_and_nesting_without_end_are_refused(tmp_path: Path, line: str, said: str) -> None:
    (tmp_path / "c.toml").write_text(f'[[device]]\nname = "gpu"\ntype = "h100-sxm"\n{line}\n')
    with pytest.raises(PlanError, match=said) as caught:
        read_cluster(tmp_path / "c.toml")
    assert caught.value.code in ("ORCH-P002", "ORCH-P005")


@pytest.mark.parametrize("price", ["inf", "nan", "-1", "0"])
def test_a_price_of_tokens_is_a_number(tmp_path: Path, price: str) -> None:
    for key in ("usd_per_million_input_tokens", "usd_per_million_output_tokens"):
        (tmp_path / "c.toml").write_text(f'[[engine]]\nname = "e"\nkind = "openai"\nmodel = "m"\n{key} = {price}\n')
        with pytest.raises(PlanError, match=key):
            read_cluster(tmp_path / "c.toml")


ENGINE = '[[engine]]\nname = "e"\nkind = "vllm"\nmodel = "org/model"\ndevice = "gpu"\n'


@pytest.mark.parametrize(
    ("devices", "said"),
    [
        ('[device]\nname = "gpu"\ntype = "h100-sxm"\n', "`device`: Input should be a valid tuple"),
        ('[[devices]]\nname = "gpu"\ntype = "h100-sxm"\n', "`devices` is not a known field"),
        ('[[device]]\ntype = "h100-sxm"\n', "`device.0.name` is missing"),
        ('[[device]]\nname = ""\ntype = "h100-sxm"\n', "`device.0.name`: String should have at least 1 character"),
        ('device = ["gpu"]\n', "`device.0` has to be a table"),
    ],
)
def test_no_engine_is_blamed_for_devices_that_cannot_be_read(tmp_path: Path, devices: str, said: str) -> None:
    with pytest.raises(PlanError) as caught:
        read(tmp_path, devices + ENGINE)
    assert [each.message for each in caught.value.diagnostics] == [said]


def test_an_engine_in_a_file_without_devices_has_none_to_run_on(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="engine 'e' runs on 'gpu', which is not one of the devices"):
        read(tmp_path, ENGINE)
