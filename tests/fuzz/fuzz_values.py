"""Bytes that others chose, where arithmetic begins: a value of its type, in its one form, or the named error."""

from collections.abc import Callable
from contextlib import suppress
from functools import cache

import numpy as np
from cryptography.hazmat.primitives.serialization import Encoding
from fuzz_target import Bytes, Target, require
from sessions import FIELDS

from mpc import merkle, sealing
from mpc.field import FieldError, PrimeField
from mpc.keys import (
    AgreementKey,
    AgreementSecret,
    BadSignature,
    ChannelKey,
    KeyRefused,
    SigningKey,
    VerifyKey,
    agree_seed,
)
from mpc.merkle import BadPath, MerkleTree
from mpc.packed import Packing
from mpc.randomness import SeededRandomness
from mpc.sealing import SealBroken
from mpc.shamir import CorruptSecret, SharingError, correct, from_limbs, reconstruct, to_limbs
from net.errors import TlsError
from net.tls import Pins, RootSecret, issue_leaf, load_root, new_root
from protocols.roster import Card, ConsortiumError
from protocols.secagg.shares import SHARE_BYTES, pack_shares, unpack_shares

_FIELDS = (*FIELDS.values(), PrimeField(2), PrimeField.with_bits(32), PrimeField.with_bits(17))
_LENGTHS = (0, 1, 7, 9, 64, 1000, 1001, 1500)

rand = SeededRandomness(b"fuzzed values")
_SIGNING, _SECRET = SigningKey.generate(rand.child("signing")), AgreementSecret.generate(rand.child("agreement"))
_ROOT = RootSecret.generate(rand.child("root"))
_SEAL, _LEAVES = ChannelKey.generate(rand.child("seal")), [bytes([place]) * 32 for place in range(11)]
_TREE = MerkleTree(_LEAVES)


def vectors(data: bytes) -> None:
    """The first two bytes choose field and length. Bytes -> the one vector that packs to them, or FieldError."""
    choices = Bytes(data)
    chosen, length = choices.choice(_FIELDS), choices.choice(_LENGTHS)
    packed = choices.rest()
    for tried in (packed, packed.ljust(chosen.packed_size(length), b"\0")[: chosen.packed_size(length)]):
        try:
            vector = chosen.unpack(tried, length)
        except FieldError:
            continue
        chosen.check(vector)
        require(len(vector) == length and chosen.pack(vector) == tried, "another vector than these bytes are")


def shares(data: bytes) -> None:
    """Bytes -> shares that pack to them, and secrets of 32 bytes rebuilt from them; or an error of sharing."""
    cut = [data[at : at + SHARE_BYTES] for at in range(0, len(data), SHARE_BYTES)]
    try:
        rows = unpack_shares(cut)
    except FieldError:
        return
    require(pack_shares(rows) == cut, "other shares than these bytes are")
    by_point = dict(enumerate(rows, 1))
    for rebuild in (reconstruct, lambda *a, **k: correct(*a, **k).secrets):
        try:
            limbs = rebuild(by_point, threshold=max(1, len(rows) // 2), field=FIELDS["M31"])
            secret = from_limbs(limbs)
        except (SharingError, CorruptSecret):
            continue
        require(np.array_equal(to_limbs(secret), limbs), "limbs that are another secret's")
    _packed_shares(data)


def _packed_shares(data: bytes) -> None:
    """The same bytes as packed shares over a small field: a vector whose shares they are, or nearly, or an error."""
    packing = Packing(PrimeField(251), shares=7, privacy=1, packed=2)
    values = [byte % 251 for byte in data[:14]]
    given = {place + 1: packing.field.vector(values[2 * place : 2 * place + 2]) for place in range(len(values) // 2)}
    try:
        found = packing.correct(given, 4)
    except SharingError:
        return
    require(len(found.wrong) <= (len(given) - packing.decode), "more wrong shares than can be corrected")


def keys(data: bytes) -> None:
    """Bytes -> a key of these bytes or KeyRefused; signatures and seals of any bytes -> good or the named error."""
    first, rest = data[:32], data[32:]
    for read in (AgreementKey, VerifyKey, SigningKey.from_bytes, AgreementSecret.from_bytes):
        _parsed(read, first)
        _parsed(read, data)
    with suppress(KeyRefused):
        agree_seed(_SECRET, AgreementKey(first), purpose="fuzz", context=())
    _refused(lambda: _SIGNING.verify_key.verify(data, "fuzz", rest), BadSignature)
    _refused(lambda: VerifyKey(first).verify(rest, "fuzz", rest), BadSignature, KeyRefused)
    _refused(lambda: sealing.open_sealed(_SEAL, data, rest), SealBroken)


def _parsed(read: Callable[[bytes], AgreementKey | VerifyKey], raw: bytes) -> None:
    try:
        require(read(raw).raw == raw, "a key of other bytes")
    except KeyRefused:
        return


def _refused(call: Callable[[], object], *errors: type[Exception]) -> None:
    """Nobody signed or sealed this."""
    try:
        call()
    except errors:
        return
    raise AssertionError("bytes that nobody signed or sealed were believed")


def paths(data: bytes) -> None:
    """The first two bytes are a place and a count. Any path leads to some root, or is BadPath; to ours only ours."""
    choices = Bytes(data)
    place, count = choices.randrange(20), choices.randrange(20)
    path = choices.rest()
    leaf = _LEAVES[place % len(_LEAVES)]
    try:
        root = merkle.root_from(leaf, place, count, path)
    except BadPath:
        return
    if count == len(_LEAVES):  # which a root does not say: whoever checks a path knows it
        require(root != _TREE.root or path == _TREE.path(place), "a path that is not ours leads to our root")


def cards(data: bytes) -> None:
    """Bytes -> a card of these bytes whose signature is good, or ConsortiumError; a root certificate or TlsError; the
    name of whoever signed this leaf, or TlsError."""
    try:
        card = Card.from_bytes(data)
    except ConsortiumError:
        pass
    else:
        require(card.to_bytes() == data, "a card of other bytes")
    with suppress(TlsError):
        load_root(data)
    with suppress(TlsError):
        _pins().who_signed(data)


@cache
def _root() -> bytes:
    return new_root("bank-1", _ROOT)


@cache
def _pins() -> Pins:
    return Pins.of([Card.issue("bank-1", _SIGNING, _root())])


def _vector_seeds() -> list[bytes]:
    return [
        bytes([kind, size]) + chosen.pack(chosen.uniform(length, rand.child(f"{kind}/{size}")))
        for kind, chosen in enumerate(_FIELDS)
        for size, length in enumerate(_LENGTHS)
    ]


def _share_seeds() -> list[bytes]:
    rows = FIELDS["M31"].uniform(9 * 5, rand.child("shares")).reshape(5, 9)
    zeros = np.zeros((3, 9), dtype=rows.dtype)
    return [b"".join(pack_shares(one)) for one in (rows[:1], rows, zeros)]


def _key_seeds() -> list[bytes]:
    good = (_SECRET.public.raw, _SIGNING.verify_key.raw, bytes(32), b"\1" + bytes(31), b"\xff" * 32)
    return [*good, *(key + _SIGNING.sign("other", key) for key in good), sealing.seal(_SEAL, b"said", b"otherwise")]


def _path_seeds() -> list[bytes]:
    return [bytes([place, len(_LEAVES)]) + _TREE.path(place) for place in range(len(_LEAVES))]


def _card_seeds() -> list[bytes]:
    leaf = issue_leaf(_root(), _ROOT, name="bank-1").certificate.public_bytes(Encoding.DER)
    return [Card.issue("bank-1", _SIGNING, _root()).to_bytes(), _root(), leaf, b"[" * 5000]


_CARD_WORDS = (
    b"[" * 2000,
    b'{"name":',
    b'"identity":"',
    b"\\ud800",
    b"1" * 5000,
    b"null",
    b"-1e999",
    b"NaN",
    b"\x30\x82",
)

TARGETS = (
    Target("value-vectors", vectors, _vector_seeds, 500),
    Target("value-shares", shares, _share_seeds, 200),
    Target("value-keys", keys, _key_seeds, 300),
    Target("value-paths", paths, _path_seeds, 1000),
    Target("value-cards", cards, _card_seeds, 1000, words=_CARD_WORDS),
)
