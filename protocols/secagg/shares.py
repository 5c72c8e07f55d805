"""Shares of a 256-bit secret as bytes: nine elements of GF(2^31 - 1), 31 bits each, lowest bit first, 35 bytes.

The encoding is that of `M31.pack`; this does whole columns of shares at once, which a session has n of in each message.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np

from mpc.field import M31, FieldError, FieldVector
from mpc.shamir import LIMBS
from protocols.errors import PartyId

SHARE_BYTES: Final = M31.packed_size(LIMBS)

_BITS: Final = M31.bits
_PLACES: Final = np.arange(_BITS, dtype=np.uint32)
_VALUES: Final = (1 << np.arange(_BITS)).astype(np.float64)


def pack_shares(rows: FieldVector) -> list[bytes]:
    """rows: (count, 9). One share a row."""
    bits = (rows[:, :, None] >> _PLACES & 1).astype(np.uint8).reshape(len(rows), LIMBS * _BITS)
    return [row.tobytes() for row in np.packbits(bits, axis=1, bitorder="little")]


def pack_share(row: FieldVector) -> bytes:
    """row: (9,). What b is stored and committed to as; every share has the same form."""
    (packed,) = pack_shares(row[None, :])
    return packed


def unpack_shares(shares: Sequence[bytes]) -> FieldVector:
    """(count, 9) elements. Raises FieldError unless each share is the packing of nine elements of the field."""
    if any(len(share) != SHARE_BYTES for share in shares):
        raise FieldError(f"a share is {SHARE_BYTES} bytes")
    packed = np.frombuffer(b"".join(shares), dtype=np.uint8).reshape(len(shares), SHARE_BYTES)
    bits = np.unpackbits(packed, axis=1, bitorder="little")
    if bits[:, LIMBS * _BITS :].any():
        raise FieldError("the filling bits of a share are not zero")
    limbs = bits[:, : LIMBS * _BITS].reshape(len(shares), LIMBS, _BITS) @ _VALUES  # exact: below 2^31
    return M31.check(limbs.astype(M31.dtype))


def split_bundles(plain: Mapping[PartyId, bytes]) -> dict[PartyId, tuple[bytes, bytes]]:
    """A self share and a mask share of each dealer whose bundle holds two; dealers of anything else are left out."""
    both = {dealer: (bundle[:SHARE_BYTES], bundle[SHARE_BYTES:]) for dealer, bundle in plain.items()}
    if _are_shares(share for pair in both.values() for share in pair):
        return both
    return {dealer: pair for dealer, pair in both.items() if _are_shares(pair)}


def _are_shares(shares: Iterable[bytes]) -> bool:
    try:
        unpack_shares(list(shares))
    except FieldError:
        return False
    return True
