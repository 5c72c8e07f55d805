"""Of the whole suite."""

import re
from pathlib import Path

import pytest

_SLOW_AS_A_WHOLE = re.compile(r"^pytestmark = pytest\.mark\.slow\b", re.MULTILINE)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """A module that is slow as a whole is not imported for the quick suite: some import a framework, which takes
    seconds on each worker."""
    if config.getoption("markexpr") != "not slow" or collection_path.suffix != ".py":
        return None
    return True if _SLOW_AS_A_WHOLE.search(collection_path.read_text(encoding="utf-8")) else None
