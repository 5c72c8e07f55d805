"""The same work by libraries that others publish, where they are installed: `pip install "veilsum[bench]"`.

Only times are compared: what each library is for, and against whom, is its own matter.
"""

import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from statistics import median
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from mpc.field import M31, PrimeField
from mpc.prg import SEED_BYTES, Seed, accumulate
from mpc.randomness import SystemRandomness
from mpc.shamir import LIMBS, reconstruct, split
from veilsum.bench.masks import SEEDS, length, masking
from veilsum.bench.measuring import Scale, Work, by_turns, rounded, seconds
from veilsum.bench.sharing import OWN, sizes


def measure(scale: Scale) -> dict[str, Any]:
    """By the library's name; those that are not installed are left out."""
    return {name: compared(scale) for name, compared in PEERS.items() if find_spec(name)}


def _flwr(scale: Scale) -> dict[str, Any]:
    """One mask, expanded and added; a client's two secrets of 32 bytes shared."""
    peer = import_module("flwr.common.secure_aggregation.secaggplus_utils")
    adding = import_module("flwr.common.secure_aggregation.ndarrays_arithmetic")
    sharing = import_module("flwr.common.secure_aggregation.crypto.shamir")
    elements, field, seed = length(scale), PrimeField.with_bits(26), bytes(SEED_BYTES)
    vector = [np.zeros(elements, dtype=np.int64)]

    def mask() -> None:
        adding.parameters_addition(vector, peer.pseudo_rand_gen(seed, field.modulus, [(elements,)]))

    many, _ = masking(26, elements)
    alone = partial(accumulate, field.zeros(elements), field, "bench", plus=[Seed(seed)], minus=[])
    theirs, own, one = map(median, by_turns([mask, many, alone], scale.times))
    n, t = sizes(scale)
    shared = OWN * seconds(partial(sharing.create_shares, bytes(32), t, n))
    return {
        "mask_ms": rounded(1e3 * theirs),
        "mask_times_faster": rounded(theirs / (own / SEEDS)),
        "single_mask_times_faster": rounded(theirs / one),
        "share_times_faster": rounded(shared / _own_share(scale)),
    }


def _mpyc(scale: Scale) -> dict[str, Any]:
    """Shares of one element of GF(2^31 - 1), and their recombination, times the 18 that a client's secrets take."""
    thresha, field = _without_arguments("mpyc.thresha"), import_module("mpyc.finfields").GF(M31.modulus)
    n, t = sizes(scale)
    rows = thresha.random_split(field, [field(5)], t - 1, n)
    points = [(place + 1, [field(int(rows[place][0]))]) for place in range(t)]
    shared = OWN * LIMBS * seconds(partial(thresha.random_split, field, [field(5)], t - 1, n))
    rebuilt = OWN * LIMBS * seconds(partial(thresha.recombine, field, points))
    dealt = split(M31.uniform(OWN * LIMBS, RAND), threshold=t, points=range(1, n + 1), field=M31, rand=RAND)
    own = partial(reconstruct, {place + 1: dealt[place] for place in range(t)}, threshold=t, field=M31)
    return {
        "share_times_faster": rounded(shared / _own_share(scale)),
        "reconstruct_times_faster": rounded(rebuilt / _median(own, scale)),
    }


def _without_arguments(name: str) -> Any:
    """Import what reads the command line of whoever imports it."""
    arguments, sys.argv = sys.argv, sys.argv[:1]
    try:
        return import_module(name)
    finally:
        sys.argv = arguments


def _galois(scale: Scale) -> dict[str, Any]:
    """The matrix product in GF(2^31 - 1) that sharing a client's secrets is, without the random coefficients."""
    n, t = sizes(scale)
    field = import_module("galois").GF(M31.modulus)
    left, right = M31.uniform(n * t, RAND).reshape(n, t), M31.uniform(t * OWN * LIMBS, RAND).reshape(t, -1)
    a, b = field(left.astype(np.int64)), field(right.astype(np.int64))
    theirs, own = map(median, by_turns([lambda: a @ b, lambda: M31.matmul(left, right)], scale.times))
    return {"matrix_product_ms": rounded(1e3 * theirs), "matrix_product_times_faster": rounded(theirs / own)}


def _own_share(scale: Scale) -> float:
    n, t = sizes(scale)
    secrets = M31.uniform(OWN * LIMBS, RAND)
    return _median(partial(split, secrets, threshold=t, points=range(1, n + 1), field=M31, rand=RAND), scale)


def _median(work: Work, scale: Scale) -> float:
    return median(by_turns([work], scale.times)[0])


RAND: Final = SystemRandomness()
PEERS: Final[MappingProxyType[str, Callable[[Scale], dict[str, Any]]]] = MappingProxyType(
    {"flwr": _flwr, "mpyc": _mpyc, "galois": _galois}
)
