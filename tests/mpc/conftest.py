from collections.abc import Iterator

import pytest

from mpc import loops


@pytest.fixture(scope="module", params=["loop", "passes"])
def either_way(request: pytest.FixtureRequest) -> Iterator[None]:
    """What a test shows holds for the compiled loops and for array operations alone."""
    if request.param == "loop" and not loops.available:
        pytest.skip("no compiler was at hand when the package was installed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loops, "available", request.param == "loop")
        yield
