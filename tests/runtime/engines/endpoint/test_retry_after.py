"""When an endpoint says it takes requests again."""

from __future__ import annotations

from email.utils import formatdate

import pytest

from orchestrator.runtime.engines.endpoint.retry_after import retry_after_s

NOW_S = 1_800_000_000.0


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": " 2.5 "}, 2.5),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "-4"}, 0.0),
        ({"retry-after": formatdate(NOW_S + 90, usegmt=True)}, 90.0),
        ({"retry-after": formatdate(NOW_S - 90, usegmt=True)}, 0.0),
        ({"retry-after": "Fri, 15 Jan 2027 09:00:00"}, 3600.0),
        ({"retry-after": "a while"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": f"Fri, 15 Jan {'9' * 30} 09:00:00 GMT"}, None),
        ({"x-ratelimit-reset": f"{'9' * 400}s"}, None),
        ({"retry-after-ms": "1500", "retry-after": "2"}, 1.5),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6m0s"}, 360.0),
        ({"x-ratelimit-remaining-requests": "9", "x-ratelimit-reset-requests": "6m0s"}, None),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "20ms"}, 0.02),
        ({"x-ratelimit-reset": str(NOW_S + 12)}, 12.0),
        ({"ratelimit-reset": "12"}, 12.0),
        ({"ratelimit-reset": "soon"}, None),
    ],
)
def test_headers(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_s(headers, NOW_S) == pytest.approx(seconds)
