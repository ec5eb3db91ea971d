"""One tiny model, in a folder of its own, for all that is compared."""

from __future__ import annotations

import pytest
from parity_support import Ways


@pytest.fixture(scope="module")
def ways(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ways")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield Ways(folder)
