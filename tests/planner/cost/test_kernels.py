import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.planner.catalogue import load
from orchestrator.planner.cost.fit_kernels import LOG2_MIB, TOKENS, condense
from orchestrator.planner.cost.kernels import MIB, KernelTable, table

GRID = KernelTable((0.0, 2.0), (0.0, 4.0), ((np.log(4.0), np.log(2.0)), (np.log(2.0), np.log(1.0))))


def test_the_grid_s_points_are_met_and_between_them_the_logarithm_is_linear() -> None:
    assert GRID.ratio(1, MIB) == pytest.approx(4.0)
    assert GRID.ratio(4, 16 * MIB) == pytest.approx(1.0)
    assert GRID.ratio(2, MIB) == pytest.approx(np.sqrt(4.0 * 2.0))
    assert GRID.ratio(2, 4 * MIB) == pytest.approx(2.0)


def test_beyond_its_edges_a_table_is_constant() -> None:
    assert GRID.ratio(0.1, 1.0) == GRID.ratio(1, MIB)
    assert GRID.ratio(1e6, 1e15) == GRID.ratio(4, 16 * MIB)


@given(st.floats(0.5, 1e5), st.floats(1e3, 1e11), st.sampled_from(["h100-sxm", "b200-sxm", "l40s", "a100-sxm-80gb"]))
def test_shipped_ratios_are_those_of_kernels_that_cannot_beat_their_roofline_by_much(
    tokens: float, weight_bytes: float, device: str
) -> None:
    found = table(device, "", "bf16")
    assert found is not None
    assert 0.8 < found.ratio(tokens, weight_bytes) < 200


def test_a_generation_stands_in_and_a_stranger_has_no_table() -> None:
    assert table("gb300", "blackwell", "fp8") == table("b200-sxm", "blackwell", "fp8")
    assert table("h100-sxm", "hopper", "fp4") == table("h100-sxm", "hopper", "bf16")
    assert table("mi300x", "mi300x", "bf16") is None


def test_condensing_finds_the_ratio_kernels_were_made_with() -> None:
    device = load("h100-sxm").device("d")
    shapes = [
        (m, n, 4096, 1e3 * 1.7 * max(n * 4096 * 2 / 3.35e12, 2 * m * n * 4096 / 9.89e14))
        for m in (1, 2, 4, 64, 512, 4096, 8192)
        for n in (1024, 1536, 2048, 8192, 16384, 65536)
    ]
    grid = np.array(condense(device, "bf16", np.array(shapes, dtype=float)))
    assert grid.shape == (len(TOKENS), len(LOG2_MIB))
    assert grid == pytest.approx(np.full(grid.shape, 1.7))
