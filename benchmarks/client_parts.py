"""What a client of a complete graph does for one peer, piece by piece: what its floor counts, and what comes above it.

    python -m benchmarks.client_parts

Microseconds of processor time, the fastest of many runs, n = 1000, m = 100,000; the curious variant. At the end the
whole client over its number of peers, and what no piece above accounts for: decoding, sets, records, the interpreter.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES128
from cryptography.hazmat.primitives.ciphers.modes import ECB
from rich.console import Console
from rich.table import Table

from mpc.hashing import encode_parts
from mpc.keys import AgreementKey, AgreementSecret, ChannelKey
from mpc.prg import Seed, accumulate
from mpc.randomness import SeededRandomness
from mpc.sealing import open_sealed, seal
from protocols.messages import AdvertiseKeys
from protocols.secagg.shares import SHARE_BYTES
from protocols.session import Variant
from protocols.wire import Codec
from veilsum.bench import floors
from veilsum.bench.clients import complete
from veilsum.bench.measuring import Work, by_turns

PARTIES: Final = 1000
ELEMENTS: Final = 100_000
TOGETHER: Final = 64  # masks made in one call
RAND = SeededRandomness(b"parts")  # of keys that protect nothing

Piece = tuple[str, float, Callable[[int], Work]]  # name, how often for a peer, and so many of it as one piece of work


def pieces() -> Iterator[tuple[bool, Piece]]:
    """Each, and whether the floor counts it."""
    key, secret, digest = AgreementSecret.generate(RAND).public.raw, bytes(32), bytes(32)
    yield True, ("X25519", 2, floors.agreements)
    yield True, ("HKDF-SHA256, the three that are counted", 3, floors.derivations)
    yield True, ("AES-128-CTR of one mask", 1, lambda count: partial(floors.aes, count * 4 * ELEMENTS))
    yield False, ("HKDF-SHA256, two more", 2, floors.derivations)
    yield False, ("what keys are derived for, encoded", 5, _times(encode_parts, "bundle", 32, digest, 5, 7))
    yield False, ("public keys taken from bytes", 2, _times(X25519PublicKey.from_public_bytes, key))
    yield False, ("they are checked", 4, _times(AgreementKey, key))
    channel, bundle = ChannelKey(secret), bytes(2 * SHARE_BYTES)
    sealed = seal(channel, bundle, digest, 5, 7)
    yield False, ("a bundle sealed", 1, _times(seal, channel, bundle, digest, 5, 7))
    yield False, ("a bundle opened", 1, _times(open_sealed, channel, sealed, digest, 5, 7))
    yield False, ("a cipher set up", 1, _times(lambda: Cipher(AES128(bytes(16)), ECB()).encryptor()))
    codec, entry = Codec(AdvertiseKeys), AdvertiseKeys(5, key, key, b"")  # type: ignore[arg-type]
    yield False, ("its entry decoded", 1, _times(codec.decode, codec.encode(entry)))
    yield False, ("its mask cut, looked at, added", 1, _added)


def _times(call: Callable[..., object], *arguments: object) -> Callable[[int], Work]:
    def many(count: int) -> Work:
        return lambda: [call(*arguments) for _ in range(count)]

    return many


def _added(count: int) -> Work:
    """Masks made and added, less what is measured apart: AES, its key, its cipher."""
    field = complete(10, 10, Variant.CURIOUS).setting.params.spec.field
    seeds = [Seed(RAND.bytes(32)) for _ in range(count)]
    return partial(accumulate, field.zeros(ELEMENTS), field, "parts", plus=seeds, minus=[])


def main() -> None:
    table, counted, above, apart = Table("piece", "a peer", "us each", "us"), 0.0, 0.0, 0.0
    found = list(pieces())
    taken = by_turns([many(TOGETHER) for _, (_, _, many) in found], 15)
    for (floor, (name, often, _)), times in zip(found, taken, strict=True):
        each = 1e6 * min(times) / TOGETHER
        if name.startswith(("AES", "a cipher")) or (name.startswith("HKDF") and floor):
            apart += each  # what making a mask holds of these
        if name.startswith("its mask"):
            each = max(0.0, each - apart)
        table.add_row(name, str(often), f"{each:.1f}", f"{often * each:.1f}")
        counted, above = counted + floor * often * each, above + (not floor) * often * each
    hearing = complete(PARTIES, ELEMENTS, Variant.CURIOUS)
    whole = 1e6 * min(by_turns([hearing.work], 9)[0]) / hearing.peers
    for name, value in (("the floor", counted), ("above it, by pieces", above), ("the whole client", whole)):
        table.add_row(name, "", "", f"{value:.1f}")
    table.add_row("no piece above", "", "", f"{whole - counted - above:.1f}")
    Console().print(table)


if __name__ == "__main__":
    main()
