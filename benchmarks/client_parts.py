"""What a client of a complete graph does for one peer, piece by piece: what its floor counts, and what comes above it.

    python -m benchmarks.client_parts

Microseconds, the fastest of many runs, n = 1000, m = 100,000; the curious variant. At the end the
whole client over its number of peers, and what no piece above accounts for: decoding, sets, records, the interpreter.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Final, NamedTuple

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from rich.console import Console
from rich.table import Table

from benchmarks.mask_passes import cipher
from mpc.field import PrimeField
from mpc.hashing import encode_parts
from mpc.keys import AgreementKey, AgreementSecret, ChannelKey
from mpc.prg import Seed, accumulate
from mpc.randomness import SeededRandomness
from mpc.sealing import open_sealed, seal
from protocols.errors import PartyId
from protocols.messages import AdvertiseKeys
from protocols.secagg.shares import SHARE_BYTES
from protocols.session import Variant
from protocols.wire import Codec
from veilsum.bench import floors
from veilsum.bench.clients import complete
from veilsum.bench.measuring import Work, by_turns

PARTIES: Final = 1000
ELEMENTS: Final = 100_000
TOGETHER: Final = 64  # of each piece, at a time
RUNS: Final = 15
RAND = SeededRandomness(b"parts")  # of keys that protect nothing


class Piece(NamedTuple):
    """Of what a client does for one peer: how often, and `many(count)`, so many of it as one piece of work."""

    name: str
    often: int
    many: Callable[[int], Work]
    counted: bool = False  # by the floor
    of_mask: int = 0  # how often it is in the making of one mask


def pieces() -> Iterator[Piece]:
    """All but the mask's own."""
    key, secret, digest = AgreementSecret.generate(RAND).public.raw, bytes(32), bytes(32)
    keystream = partial(_keystream, 4 * ELEMENTS)
    yield Piece("X25519", 2, floors.agreements, counted=True)
    yield Piece("HKDF-SHA256", 3, floors.derivations, counted=True, of_mask=1)
    yield Piece("AES-128-CTR of one mask", 1, keystream, counted=True, of_mask=1)
    yield Piece("what keys are derived for, encoded", 2, _times(encode_parts, "pair", 32, digest, 5, 7, key, key))
    yield Piece("public keys taken from bytes", 2, _times(X25519PublicKey.from_public_bytes, key))
    yield Piece("they are checked", 4, _times(AgreementKey, key))
    channel, bundle = ChannelKey(secret), bytes(2 * SHARE_BYTES)
    sealed = seal(channel, bundle, digest, 5, 7)
    yield Piece("a bundle sealed", 1, _times(seal, channel, bundle, digest, 5, 7))
    yield Piece("a bundle opened", 1, _times(open_sealed, channel, sealed, digest, 5, 7))
    yield Piece("a cipher set up", 1, _times(cipher), of_mask=1)
    codec, entry = Codec(AdvertiseKeys), AdvertiseKeys(PartyId(5), key, key, b"")
    yield Piece("its entry decoded", 1, _times(codec.decode, codec.encode(entry)))


def _times(call: Callable[..., object], *arguments: object) -> Callable[[int], Work]:
    def many(count: int) -> Work:
        return lambda: [call(*arguments) for _ in range(count)]

    return many


def _keystream(size: int, count: int) -> Work:
    return partial(floors.aes, size * count)


def _masks(field: PrimeField, count: int) -> Work:
    seeds = [Seed(RAND.bytes(32)) for _ in range(count)]
    return partial(accumulate, field.zeros(ELEMENTS), field, "parts", plus=seeds, minus=[])


def main() -> None:
    hearing, found = complete(PARTIES, ELEMENTS, Variant.CURIOUS), list(pieces())
    masks = _masks(hearing.setting.params.spec.field, TOGETHER)
    *each, mask = _fastest([*(piece.many(TOGETHER) for piece in found), masks], TOGETHER)
    inside = sum(one * piece.of_mask for one, piece in zip(each, found, strict=True))
    rows = [(piece.name, piece.often, one) for one, piece in zip(each, found, strict=True)]
    rows.append(("its mask cut, looked at, added", 1, mask - inside))
    floor = sum(one * piece.often for one, piece in zip(each, found, strict=True) if piece.counted)
    above = sum(often * one for _, often, one in rows) - floor
    (whole,) = _fastest([hearing.work], hearing.peers)
    table = Table("piece", "a peer", "us each", "us")
    for name, often, one in rows:
        table.add_row(name, str(often), f"{one:.1f}", f"{often * one:.1f}")
    ends = {"the floor": floor, "above it, by pieces": above, "the whole client": whole}
    for name, value in (ends | {"no piece above": whole - floor - above}).items():
        table.add_row(name, "", "", f"{value:.1f}")
    Console().print(table)


def _fastest(works: list[Work], count: int) -> list[float]:
    """Microseconds of one of the `count` that each work does."""
    return [1e6 * min(taken) / count for taken in by_turns(works, RUNS)]


if __name__ == "__main__":
    main()
