from __future__ import annotations

import pytest

from tests.crosspoint.toys import ToyPairs


@pytest.fixture
def toy_pairs() -> type[ToyPairs]:
    return ToyPairs
