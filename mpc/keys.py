"""Key types: X25519 for agreement, Ed25519 for identities, and what an agreement may become.

A key is parsed when it is built, so whoever holds one of these types holds a usable key. Secrets come from the bytes of
a `Randomness`, never from a library's own generator: a seeded session is the same to the byte.
"""

import hmac
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from mpc.hashing import Part, digest, kdf, quick_digest
from mpc.prg import Seed
from mpc.randomness import Randomness
from mpc.work import count

KEY_BYTES: Final = 32

_SIGNED_KEPT: Final = 8

_P25519: Final = 2**255 - 19

# Every canonical u of a point of order 1, 2, 4 or 8 on Curve25519 or its twist: any agreement with one is zero.
_LOW_ORDER_U: Final = frozenset(
    {
        0,
        1,
        _P25519 - 1,
        325606250916557431795983626356110631294008115727848805560023387167927233504,
        39382357235489614581723060781553021112529911719440698176882885853963445705823,
    }
)

# The same for Ed25519's y: a signature under such a key says nothing about who made it.
_LOW_ORDER_Y: Final = frozenset(
    {
        0,
        1,
        _P25519 - 1,
        2707385501144840649318225287225658788936804267575313519463743609750303402022,
        55188659117513257062467267217118295137698188065244968500265048394206261417927,
    }
)


class KeyRefused(ValueError):
    """Bytes that are no acceptable key: wrong length, not canonical or of low order. Whoever sent them misbehaves."""


class BadSignature(Exception):
    """The signature does not verify under this key, label and parts. Nothing it covers may be believed."""


_known_good: ContextVar[set[tuple[bytes, bytes, str, tuple[Part, ...]]] | None] = ContextVar("known", default=None)


@contextmanager
def good_signatures_remembered() -> Iterator[None]:
    """Meanwhile a signature that was good under a key, for a label and parts, is not checked again under these.

    For many parties in one process, who are all shown the same signatures. A bad one is checked and refused each time.
    """
    before = _known_good.set(set())
    try:
        yield
    finally:
        _known_good.reset(before)


@dataclass(frozen=True, slots=True)
class AgreementKey:
    """An X25519 public key: 32 bytes, canonical and not of low order, else KeyRefused. [RFC 7748]"""

    raw: bytes

    def __post_init__(self) -> None:
        _require_length(self.raw)
        _require_coordinate(int.from_bytes(self.raw, "little"), low_order=_LOW_ORDER_U)

    def __repr__(self) -> str:
        return f"AgreementKey({self.raw.hex()})"


@dataclass(frozen=True, slots=True)
class VerifyKey:
    """An Ed25519 public key, a party's identity: 32 bytes, canonical, not of low order, else KeyRefused. [RFC 8032]"""

    raw: bytes
    _key: Ed25519PublicKey = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _require_length(self.raw)
        y = int.from_bytes(self.raw, "little") & ~(1 << 255)  # the top bit is the sign of x
        _require_coordinate(y, low_order=_LOW_ORDER_Y)
        object.__setattr__(self, "_key", Ed25519PublicKey.from_public_bytes(self.raw))

    def __repr__(self) -> str:
        return f"VerifyKey({self.raw.hex()})"

    @property
    def fingerprint(self) -> str:
        """The digest of the key in hex, in groups of four, for two people to read to each other."""
        text = digest("identity", self.raw).hex()
        return " ".join(text[i : i + 4] for i in range(0, len(text), 4))

    def verify(self, signature: bytes, label: str, *parts: Part) -> None:
        """Returns when `signature` is this identity's over the label and the parts; raises BadSignature otherwise."""
        count(checks=1)
        known, asked = _known_good.get(), (self.raw, signature, label, parts)
        if known is not None and asked in known:
            return
        try:
            self._key.verify(signature, _signed(label, *parts))
        except InvalidSignature as exc:
            raise BadSignature(f"not a signature of this key over {label!r}") from exc
        if known is not None:
            known.add(asked)


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class _Secret:
    """32 secret bytes that do not print, compare in constant time and are no key of a dict."""

    raw: bytes

    def __post_init__(self) -> None:
        _require_length(self.raw)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(<{KEY_BYTES} secret bytes>)"

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and isinstance(other, _Secret) and hmac.compare_digest(self.raw, other.raw)

    @classmethod
    def generate(cls, rand: Randomness) -> Self:
        return cls(rand.bytes(KEY_BYTES))

    @classmethod
    def from_bytes(cls, raw: bytes) -> Self:
        """Raises KeyRefused unless `raw` is 32 bytes."""
        return cls(raw)


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class AgreementSecret(_Secret):
    """An X25519 secret key of one session and one use. [RFC 7748]"""

    _key: X25519PrivateKey = field(init=False)

    def __post_init__(self) -> None:
        _require_length(self.raw)
        object.__setattr__(self, "_key", X25519PrivateKey.from_private_bytes(self.raw))

    @property
    def public(self) -> AgreementKey:
        count(agreements=1)
        return AgreementKey(self._key.public_key().public_bytes_raw())


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class SigningKey(_Secret):
    """An Ed25519 secret key, the secret of an identity: kept for years, used under many labels. [RFC 8032]"""

    _key: Ed25519PrivateKey = field(init=False)

    def __post_init__(self) -> None:
        _require_length(self.raw)
        object.__setattr__(self, "_key", Ed25519PrivateKey.from_private_bytes(self.raw))

    @property
    def verify_key(self) -> VerifyKey:
        return VerifyKey(self._key.public_key().public_bytes_raw())

    def sign(self, label: str, *parts: Part) -> bytes:
        """64 bytes, the same every time, over the injective digest of the label and the parts."""
        count(signatures=1)
        return self._key.sign(_signed(label, *parts))


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class ChannelKey(_Secret):
    """The key of a channel: it seals one message (see `mpc.sealing`), or is what keys of one message each come from."""


@dataclass(frozen=True, slots=True)
class Channel:
    """The sealing keys of a pair of parties, as one of the two holds them: for one message each way."""

    sending: ChannelKey
    receiving: ChannelKey


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class StorageKey(_Secret):
    """What the keys of a process's sealed files come from. It lives as long as the identity that it comes from."""


def agree_seed(mine: AgreementSecret, theirs: AgreementKey, *, purpose: str, context: tuple[Part, ...]) -> Seed:
    """The seed that both sides of a pair derive for this purpose and context, which must be the same on both sides.

    Raises KeyRefused when the agreement is zero.
    """
    return Seed(_agree(mine, theirs, purpose, context))


def agree_channel(
    mine: AgreementSecret, theirs: AgreementKey, *, purpose: str, context: tuple[Part, ...]
) -> ChannelKey:
    """The sealing key that both sides derive; name sender and recipient in `context`, one message a key.

    Raises KeyRefused when the agreement is zero.
    """
    return ChannelKey(_agree(mine, theirs, purpose, context))


def agree_both_ways(
    mine: AgreementSecret, theirs: AgreementKey, *, purpose: str, context: tuple[Part, ...], first: bool
) -> Channel:
    """Both sealing keys of a pair from one derivation. first: on one side of the pair alone, both know of which.

    Raises KeyRefused when the agreement is zero.
    """
    keys = _agree(mine, theirs, purpose, context, length=2 * KEY_BYTES)
    of_first, of_second = ChannelKey(keys[:KEY_BYTES]), ChannelKey(keys[KEY_BYTES:])
    return Channel(of_first, of_second) if first else Channel(of_second, of_first)


def _agree(
    mine: AgreementSecret, theirs: AgreementKey, purpose: str, context: tuple[Part, ...], length: int = KEY_BYTES
) -> bytes:
    """The agreement itself never leaves this function: with it every purpose's key could be derived."""
    count(agreements=1)
    try:
        shared = mine._key.exchange(X25519PublicKey.from_public_bytes(theirs.raw))
    except ValueError as exc:
        raise KeyRefused("the agreement is zero: the other key is of low order") from exc
    return kdf(shared, purpose, *context, length=length)


@lru_cache(maxsize=_SIGNED_KEPT, typed=True)
def _signed(label: str, *parts: Part) -> bytes:
    """Kept for a while: a quorum signs the same parts, and who checks them has the same to hash each time."""
    return quick_digest("signature", label, *parts)


def _require_length(raw: bytes) -> None:
    if not isinstance(raw, bytes) or len(raw) != KEY_BYTES:
        raise KeyRefused(f"a key is exactly {KEY_BYTES} bytes")


def _require_coordinate(value: int, *, low_order: frozenset[int]) -> None:
    if value >= _P25519:
        raise KeyRefused("the key is not canonical: its coordinate is not below 2^255 - 19")
    if value in low_order:
        raise KeyRefused("the key is a point of low order")
