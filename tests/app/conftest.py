from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.app.serving import Served, serving


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The app in a process of its own, with small models."""
    with serving(tmp_path_factory.mktemp("app")) as app:
        yield app
