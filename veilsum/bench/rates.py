"""What computing costs on this machine, for the simulator: `python -m veilsum.bench.rates` prints a file of rates.

Each is the best of many calls, on one core; a simulation reads the file and measures nothing itself.
"""

import sys
import time
from collections.abc import Callable
from dataclasses import asdict

import numpy as np

from mpc.field import M31
from mpc.keys import AgreementKey, AgreementSecret, ChannelKey, SigningKey, agree_seed
from mpc.prg import Seed, accumulate
from mpc.randomness import SeededRandomness
from mpc.sealing import seal
from protocols.messages import CODEC, Confirm, MaskedInput
from simulations.rates import Rates

_RAND = SeededRandomness(b"rates")  # of keys that protect nothing
_SEEDS = [Seed(bytes([place]) * 32) for place in range(16)]  # as many as a client opens at once, more or less
_PASSES = 5  # another program may disturb one of them
_SMALL, _LARGE = 1_000, 1_000_000


def best(call: Callable[[], object], *, times: int = 30) -> float:
    """Seconds of the fastest of so many calls."""
    found = float("inf")
    for _ in range(times):
        started = time.perf_counter()
        call()
        found = min(found, time.perf_counter() - started)
    return found


def measure() -> Rates:
    """One pass: about a second."""
    mine, theirs = AgreementSecret.generate(_RAND), AgreementSecret.generate(_RAND).public.raw
    identity, channel = SigningKey.generate(_RAND), ChannelKey(bytes(32))
    verify_key, signed = identity.verify_key, identity.sign("rates", bytes(32))
    stream, stream_byte = (seconds / len(_SEEDS) for seconds in _line(_accumulate, M31.itemsize))
    sealed, sealed_byte = _line(lambda size: seal(channel, bytes(size)), 1)
    left, right = np.ones((64, 500), dtype=M31.dtype), np.ones((500, 900), dtype=M31.dtype)
    message, message_byte = _message_costs()
    return Rates(
        agreement=best(lambda: agree_seed(mine, AgreementKey(theirs), purpose="rates", context=())),
        signature=best(lambda: identity.sign("rates", bytes(32))),
        check=best(lambda: verify_key.verify(signed, "rates", bytes(32))),
        stream=stream,
        stream_byte=stream_byte,
        seal=sealed,
        sealed_byte=sealed_byte,
        product=best(lambda: M31.matmul(left, right), times=10) / (64 * 500 * 900),
        message=message,
        message_byte=message_byte,
    )


def _line(call: Callable[[int], object], unit: int) -> tuple[float, float]:
    """Seconds of a call, and of each byte beside it: from a small one and a large one."""
    small, large = best(lambda: call(_SMALL)), best(lambda: call(_LARGE), times=5)
    slope = max(large - small, 0.0) / ((_LARGE - _SMALL) * unit)
    return max(small - slope * _SMALL * unit, 0.0), slope


def _accumulate(length: int) -> None:
    accumulate(M31.zeros(length), M31, "rates", plus=_SEEDS, minus=[])


def _message_costs() -> tuple[float, float]:
    """Coding both ways, and packing or unpacking a vector of it."""
    small = CODEC.encode(Confirm(bytes(64)))
    vector = M31.uniform(_LARGE, _RAND)
    large = CODEC.encode(MaskedInput(M31.pack(vector)))
    each = best(lambda: CODEC.encode(CODEC.decode(small))) / 2
    return each, best(lambda: M31.unpack(CODEC.decode(large).masked, _LARGE), times=10) / len(large)


def main() -> None:
    sys.stdout.write("# Seconds, one core. Written by: python -m veilsum.bench.rates\n")
    passes = [asdict(measure()) for _ in range(_PASSES)]
    for name in passes[0]:
        sys.stdout.write(f"{name} = {min(one[name] for one in passes):.3g}\n")


if __name__ == "__main__":
    main()
