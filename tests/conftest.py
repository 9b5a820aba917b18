from pathlib import Path

import pytest
import torch
from hypothesis import settings

from tests.browser import chromium, visit  # noqa: F401  # fixtures: one browser for all tests that need one

# The same examples on every run, and no stopwatch: two busy cores are no reason to fail.
settings.register_profile("lrp", deadline=None, derandomize=True)
settings.load_profile("lrp")


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Doctests live in src: of the files under tests/, only test_*.py are collected."""
    tests = Path(__file__).parent
    is_helper = collection_path.suffix == ".py" and not collection_path.name.startswith("test_")
    return True if is_helper and tests in collection_path.parents else None
