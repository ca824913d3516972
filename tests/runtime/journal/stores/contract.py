"""What every store of runs must do. A file per store derives from :class:`Contract`, and says where runs are kept.

``open`` is called several times in a test: the stores that it gives share what they keep, as those of several
processes do.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from orchestrator.runtime.journal.stores.base import Store
from tests.runtime.journal.stores.contracts.claims import Claims
from tests.runtime.journal.stores.contracts.failing import Failing
from tests.runtime.journal.stores.contracts.listing import Listing
from tests.runtime.journal.stores.contracts.logs import Logs
from tests.runtime.journal.stores.contracts.notices import Notices
from tests.runtime.journal.stores.keeping import Place


class Contract(Logs, Claims, Notices, Listing, Failing):
    """Derive from it, and give it a fixture ``place``."""

    @pytest.fixture
    async def store(self, place: Place) -> AsyncIterator[Store]:
        store = await place.open()
        yield store
        await store.close()

    @pytest.fixture
    async def other(self, place: Place) -> AsyncIterator[Store]:
        other = await place.open()
        yield other
        await other.close()
