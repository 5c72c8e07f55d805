"""What sets the protocols apart, in figures: how a client's work grows, what losses cost, who speaks how often."""

from typing import Any

from veilsum.bench import epochs, growth, losing, speaking
from veilsum.bench.measuring import Scale


def measure(scale: Scale) -> dict[str, Any]:
    """No floor beside them: what counts is how they grow."""
    return {
        **growth.measure(scale),
        **losing.measure(scale),
        **speaking.measure(scale),
        "epochs": epochs.measure(scale),
    }
