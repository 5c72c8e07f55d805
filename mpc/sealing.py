"""Authenticated encryption of one message under a key of its own."""

from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from mpc.hashing import Part, encode_parts
from mpc.keys import ChannelKey
from mpc.work import count

SEAL_OVERHEAD: Final = 16
"""Bytes that sealing adds to a message."""

# A nonce keeps two messages under one key apart. Here a key is derived for one session, sender, recipient, purpose and
# round and seals one message, so there is no second one; a re-send is the same bytes. With a fixed nonce there is no
# counter to lose in a crash and no random nonce to collide.
_NONCE: Final = bytes(12)


class SealBroken(Exception):
    """The sealed bytes do not authenticate: changed, cut, for another pair or session, or under another key."""


def seal(key: ChannelKey, plaintext: bytes, *parts: Part) -> bytes:
    """AES-256-GCM: ciphertext and tag, SEAL_OVERHEAD bytes longer than the plaintext. [NIST SP 800-38D]

    parts: what both sides know (session, sender, recipient); bound as associated data, not sent.
    Seal one message with a key; two would reveal their difference and let tags be forged.
    """
    count(seals=1, sealed_bytes=len(plaintext))
    return AESGCM(key.raw).encrypt(_NONCE, plaintext, _associated(parts))


def open_sealed(key: ChannelKey, sealed: bytes, *parts: Part) -> bytes:
    """The plaintext; raises SealBroken unless key, bytes and parts are those of `seal`."""
    count(seals=1, sealed_bytes=len(sealed))
    try:
        return AESGCM(key.raw).decrypt(_NONCE, sealed, _associated(parts))
    except InvalidTag as exc:
        raise SealBroken("the sealed message does not authenticate") from exc


def _associated(parts: tuple[Part, ...]) -> bytes:
    return encode_parts("seal", *parts)
