"""A large model through the facade, all parties in one process: seconds, and the most memory that they took together.

    python -m benchmarks.large_model --parameters 50000000 --parties 10

The last line is JSON: {"parameters", "parties", "seconds", "peak_gib", "bytes_each"}. The peak is the process's whole
resident memory, the interpreter and one party's parameters at a time included; bytes_each: what of it was not there
before the session began, for each parameter and party.
"""

import argparse
import json
import resource
import sys
import time
from pathlib import Path

import numpy as np

import veilsum

TOLERANCE = 2 * 2 / (2**16 - 1)  # two levels of 16 bits between -1 and 1


def main() -> None:
    parser = argparse.ArgumentParser(description="A large model through the facade: seconds and memory.")
    parser.add_argument("--parameters", type=int, default=50_000_000)
    parser.add_argument("--parties", type=int, default=10)
    given = parser.parse_args()
    print(json.dumps(measure(given.parameters, given.parties)))  # noqa: T201


def measure(parameters: int, parties: int) -> dict[str, float]:
    """One mean. Raises ValueError where it is not the mean."""
    idle, started = peak_bytes(), time.perf_counter()
    with veilsum.local(parties=parties, losses=1) as session:
        for party in range(parties):
            session.contribute(party, {"weight": weight_of(party, parameters, parties)})
        mean = session.mean()
    seconds = time.perf_counter() - started
    first = min(parameters, 1000)
    expected = sum(weight_of(party, first, parties) for party in range(parties)) / parties
    if np.abs(mean["weight"][:first] - expected).max() > TOLERANCE:
        raise ValueError("this is not the mean")
    return {
        "parameters": parameters,
        "parties": parties,
        "seconds": round(seconds, 1),
        "peak_gib": round(peak_bytes() / 2**30, 2),
        "bytes_each": round((peak_bytes() - idle) / parameters / parties, 2),
    }


def weight_of(party: int, parameters: int, parties: int) -> np.ndarray:
    """float32[parameters] in 0..1: another one for each party."""
    weight = np.arange(parameters, dtype=np.float32)
    weight %= 1000
    weight *= (party + 1) / (1000 * parties)
    return weight


def peak_bytes() -> int:
    """The most resident memory so far. What Linux says of resources begins with that of whoever started this."""
    if sys.platform == "linux":
        return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    main()
