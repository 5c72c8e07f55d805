"""What ten sums cost in an epoch, against ten single sessions: messages, bytes and CPU seconds, counted.

    python -m benchmarks.epochs

All parties and the server run in this one process, so the CPU seconds are those of all of them together.
"""

from veilsum.bench.epochs import ROUNDS, compare

SIZES = ((5, 1_000), (5, 100_000), (20, 1_000))  # parties, elements


def main() -> None:
    print("| parties | elements | | messages up | bytes up | bytes down | CPU seconds, everybody |")  # noqa: T201
    print("| --- | --- | --- | --- | --- | --- | --- |")  # noqa: T201
    for parties, length in SIZES:
        both = compare(parties, length, times=1)
        for name, cost in zip((f"{ROUNDS} sessions", "one epoch"), both, strict=True):
            figures = f"{cost.messages} | {cost.bytes_up:,} | {cost.bytes_down:,} | {cost.cpu_seconds:.2f}"
            print(f"| {parties} | {length:,} | {name} | {figures} |")  # noqa: T201


if __name__ == "__main__":
    main()
