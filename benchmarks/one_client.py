"""One client's work in a session of n, without the n - 1 others, round by round.

    python -m benchmarks.one_client

One in twenty colludes and one in twenty is lost before its input leaves; see `veilsum/bench/lone.py`.
"""

import time

from veilsum.bench.lone import Hearing
from veilsum.bench.sessions import Setting

SIZES = (100, 300, 1_000, 10_000)
LARGEST_COMPLETE = 1_000
ELEMENTS = 10_000


def main() -> None:
    for protocol in ("secagg", "secagg+"):
        for n in SIZES:
            if protocol == "secagg+" or n <= LARGEST_COMPLETE:
                took = measure(n, protocol)
                rounds = ", ".join(f"{name} {seconds * 1e3:.0f}" for name, seconds in took)
                total = sum(seconds for _, seconds in took)
                print(f"{protocol} n = {n:,}: {total * 1e3:.0f} ms ({rounds})")  # noqa: T201


def measure(n: int, protocol: str) -> list[tuple[str, float]]:
    """The name of each message that the client hears, and its seconds of processor time from there to its answer."""
    few = n // 20
    hearing = Hearing.of(Setting.of(n, ELEMENTS, protocol=protocol, colluding=few, losses=few))
    took, start = [], time.process_time()
    for name in hearing.steps():
        took.append((name, time.process_time() - start))
        start = time.process_time()
    return took


if __name__ == "__main__":
    main()
