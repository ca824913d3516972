"""The words of pages that are sent in place of an answer."""

from __future__ import annotations

import pytest

from orchestrator.runtime.engines.endpoint.statuses import words


@pytest.mark.parametrize(
    "page",
    [
        "<html><head><style>p { color: red }</style></head><p>gone <!-- since May --> fishing</p></html>",
        "<!DOCTYPE html><SCRIPT>if (a < b) alert('no')</SCRIPT><h1>gone</h1>fishing",
        "<html>gone fishing<script>var x = 1; <!-- and so on",
        "<html><p>gone</p>fishing<!-- cut off before its",
    ],
)
def test_a_page_says_what_its_reader_would_see(page: str) -> None:
    assert words(page) == "gone fishing"


def test_a_bracket_that_is_no_tag_stays() -> None:
    assert words("<html><p>3 < 4 requests a second</p></html>") == "3 < 4 requests a second"
