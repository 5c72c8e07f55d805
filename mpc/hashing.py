"""Labelled hashing and key derivation: one injective encoding under both, and the one place of domain separation.

Every digest, derived key and associated data of the engine names its purpose in a label, so that a value made for one
purpose is never valid for another. Parts are tagged with their type: 1, "1" and b"1" are three different parts.
"""

from functools import lru_cache
from hashlib import sha256
from typing import TypeAlias

from Crypto.Hash import cSHAKE256
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

Part: TypeAlias = bytes | str | int

DIGEST_BYTES = 32

_DOMAIN = "veilsum"
_INT_BYTES = 8
_INT_END = 1 << (8 * _INT_BYTES)
_INT_HEAD = (1 + _INT_BYTES).to_bytes(_INT_BYTES, "little") + b"i"
_LABELS = 64
_SHA256 = SHA256()
_END_OF_TUPLE = b"\x01\x00\x02"  # right_encode(256), the bits of a digest

_cshake = cSHAKE256._new  # type: ignore[attr-defined]  # with a function's name: not in its public face


def digest(label: str, *parts: Part) -> bytes:
    """32 bytes: TupleHash256 of the label and the parts, customised with the project's name. [NIST SP 800-185]

    Injective in (label, parts): no two different tuples hash the same input. Raises TypeError for a part of another
    type, bool among them, and ValueError for an integer outside 0..2^64-1.
    """
    # TupleHash256 itself absorbs its parts one call each, which costs twice what hashing them does
    encoded = [_counted_head(len(part)) + part if type(part) is bytes else _counted(part) for part in (label, *parts)]
    hashed: bytes = _cshake(b"".join(encoded) + _END_OF_TUPLE, _DOMAIN.encode(), b"TupleHash").read(DIGEST_BYTES)
    return hashed


def quick_digest(label: str, *parts: Part) -> bytes:
    """32 bytes: SHA-256 of `encode_parts`, as injective as `digest`; raises as it does. [FIPS 180-4]

    For what is hashed once for each signature or each pair of parties: measured, 5 us against 35 us.
    """
    return sha256(encode_parts(label, *parts)).digest()


def kdf(secret: bytes, label: str, *context: Part, length: int = 32) -> bytes:
    """`length` bytes derived from a secret for one purpose: HKDF-SHA256, no salt. [RFC 5869]

    The info is the injective encoding of label, length and context. HKDF and not KMAC256, because this runs once for
    each pair of parties and again for each keystream: measured, 7 us against 38 us. Raises as `digest` does.
    """
    return expand_key(secret, encode_parts(label, length, *context), length)


def expand_key(secret: bytes, info: bytes, length: int) -> bytes:
    """`kdf` where `info`, the encoding of label, length and context, was made before."""
    return HKDF(algorithm=_SHA256, length=length, salt=None, info=info).derive(secret)


def encode_parts(label: str, *parts: Part) -> bytes:
    """The injective encoding of a label and parts behind the project's name; raises as `digest` does."""
    # most parts are bytes: those are told apart right here, since this runs for every part of every key
    return _begun(label) + b"".join(
        [_prefixed_head(len(part)) + part if type(part) is bytes else _prefixed(part) for part in parts]
    )


@lru_cache(maxsize=_LABELS)
def _begun(label: str) -> bytes:
    return _prefixed(_DOMAIN) + _prefixed(label)


def _counted(part: Part) -> bytes:
    body = _tagged(part)
    return _count_head(len(body)) + body


@lru_cache(maxsize=_LABELS)
def _counted_head(length: int) -> bytes:
    """What `_counted` puts before a part that is so many bytes."""
    return _count_head(1 + length) + b"b"


def _count_head(length: int) -> bytes:
    """What stands before a string in encode_string of SP 800-185: its length in bits, as few bytes as it takes behind
    their number."""
    bits = 8 * length
    size = (bits.bit_length() + 7) // 8
    return bytes([size]) + bits.to_bytes(size, "big")


def _prefixed(part: Part) -> bytes:
    if type(part) is int and 0 <= part < _INT_END:
        return _INT_HEAD + part.to_bytes(_INT_BYTES, "little")
    body = _tagged(part)
    return len(body).to_bytes(_INT_BYTES, "little") + body


@lru_cache(maxsize=_LABELS)
def _prefixed_head(length: int) -> bytes:
    """What `_prefixed` puts before a part that is so many bytes."""
    return (1 + length).to_bytes(_INT_BYTES, "little") + b"b"


def _tagged(part: Part) -> bytes:
    """The part's bytes behind one byte that says its type."""
    if isinstance(part, bytes):
        return b"b" + part
    if isinstance(part, str):
        return b"s" + part.encode()
    if isinstance(part, int) and not isinstance(part, bool):
        return b"i" + _fixed_width(part)
    raise TypeError(f"a part is bytes, str or int, not {type(part).__name__}")


def _fixed_width(number: int) -> bytes:
    if not 0 <= number < _INT_END:
        raise ValueError(f"an integer part lies in 0..2^64-1, not {number}")
    return number.to_bytes(_INT_BYTES, "little")
