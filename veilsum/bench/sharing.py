"""Sharing one client's secrets and rebuilding a thousand, over pycryptodome's Shamir, secret by secret."""

from functools import partial
from itertools import cycle
from statistics import median
from typing import Any, Final

from Crypto.Protocol.SecretSharing import Shamir

from mpc.field import M31
from mpc.randomness import SystemRandomness
from mpc.shamir import LIMBS, reconstruct, split
from veilsum.bench.measuring import Scale, Work, by_turns, rounded, seconds

SECRETS: Final = 1000
PEER_BYTES: Final = 16  # the most that one of their secrets holds: 32 bytes are two of them
OWN: Final = 2  # secrets of a client: of its self mask and of its pairwise masks


def sizes(scale: Scale) -> tuple[int, int]:
    return (100, 51) if scale.quick else (1000, 501)


def measure_share(scale: Scale) -> dict[str, Any]:
    """Two secrets of 32 bytes. The other side shares one of 16 bytes, which is counted four times."""
    n, t = sizes(scale)
    rand = SystemRandomness()
    secrets = M31.uniform(OWN * LIMBS, rand)
    work = partial(split, secrets, threshold=t, points=range(1, n + 1), field=M31, rand=rand)
    return _beside(n, t, work, partial(Shamir.split, t, n, bytes(PEER_BYTES), False), 2 * OWN, scale)


def measure_reconstruct(scale: Scale) -> dict[str, Any]:
    """1000 secrets of 32 bytes from other holders each time. The other side rebuilds one of 16, counted 2000 times."""
    n, t = sizes(scale)
    rand = SystemRandomness()
    rows = split(M31.uniform(SECRETS * LIMBS, rand), threshold=t, points=range(1, n + 1), field=M31, rand=rand)
    theirs = Shamir.split(t, n, bytes(PEER_BYTES), False)[:t]
    first = cycle(range(n - t + 1))

    def work() -> None:
        start = next(first)
        shares = {1 + place: rows[place] for place in range(start, start + t)}
        reconstruct(shares, threshold=t, field=M31)

    return {"secrets": SECRETS, **_beside(n, t, work, partial(Shamir.combine, theirs, False), 2 * SECRETS, scale)}


def _beside(n: int, t: int, work: Work, one_of_theirs: Work, count: int, scale: Scale) -> dict[str, Any]:
    """Theirs is timed once: it takes many times longer."""
    own = median(by_turns([work], scale.times)[0])
    theirs = count * seconds(one_of_theirs)
    return {"n": n, "t": t, "ms": rounded(1e3 * own), "times_faster": rounded(theirs / own)}
