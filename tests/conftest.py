"""What all tests share: the real data where there are some, and a cache that is theirs alone."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest_plugins = ["tests.shared_runs"]

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test reads or fills the cache of the person who runs it."""
    before = os.environ.get("FOVEA_CACHE")
    os.environ["FOVEA_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    yield
    if before is None:
        del os.environ["FOVEA_CACHE"]
    else:
        os.environ["FOVEA_CACHE"] = before


@pytest.fixture(scope="session")
def root() -> Path:
    """The root of the repository."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data and weights (`FOVEA_TEST_DATA`); tests that need it are skipped where it is not."""
    folder = Path(os.environ.get("FOVEA_TEST_DATA", ROOT.parent / "shared"))
    if not folder.is_dir():
        pytest.skip("no real data here: FOVEA_TEST_DATA names no folder")
    return folder
