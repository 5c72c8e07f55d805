"""Packing a vector for the wire and unpacking it, over copying it."""

from functools import partial
from typing import Any

from mpc.field import PrimeField
from mpc.randomness import SystemRandomness
from veilsum.bench import floors
from veilsum.bench.measuring import Scale, compare, rounded


def measure(scale: Scale) -> dict[str, Any]:
    """10 million elements of 26 bits (quick: 1 million). Bytes are those in memory, once for each way."""
    field, elements = PrimeField.with_bits(26), 1_000_000 if scale.quick else 10_000_000
    vector = field.uniform(elements, SystemRandomness())
    packed = field.pack(vector)
    packing = compare(partial(field.pack, vector), floors.copying(vector.nbytes), scale.times)
    unpacking = compare(partial(field.unpack, packed, elements), floors.copying(vector.nbytes), scale.times)
    total = 2 * vector.nbytes / 1e9
    return {
        "gbps": rounded(total / (packing.seconds + unpacking.seconds)),
        "memcpy_gbps": rounded(total / (packing.floor_seconds + unpacking.floor_seconds)),
    }
