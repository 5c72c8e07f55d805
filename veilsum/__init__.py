"""Secure aggregation for federated learning: the sum of the updates, and nothing else.

The public names are loaded when they are first used, so that the command line starts quickly.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fl_integration.aggregation import AggregationError, Mean, local
    from fl_integration.estimator import SecureFederatedClassifier
    from veilsum.ceremony.mean_section import mean_table
    from veilsum.facade import connect, serve

__version__ = "0.1.0"
__all__ = [
    "AggregationError",
    "Mean",
    "SecureFederatedClassifier",
    "__version__",
    "connect",
    "local",
    "mean_table",
    "serve",
]

_HOMES = {
    "AggregationError": "fl_integration.aggregation",
    "Mean": "fl_integration.aggregation",
    "SecureFederatedClassifier": "fl_integration.estimator",
    "connect": "veilsum.facade",
    "local": "fl_integration.aggregation",
    "mean_table": "veilsum.ceremony.mean_section",
    "serve": "veilsum.facade",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
