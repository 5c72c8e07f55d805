"""A fingerprint in words, for two people to read to each other over the phone."""

from typing import Final

from mnemonic import Mnemonic

from mpc.keys import VerifyKey

FINGERPRINT_BYTES: Final = 16
"""What must be forged to pass for somebody else: 128 bits."""


def spoken(key: VerifyKey) -> str:
    """Twelve short English words: the first 128 bits of the key's fingerprint and a checksum over them.

    The list is that of BIP-39, made for this: no two of its words begin with the same four letters. The words are as
    public as the key.
    """
    return Mnemonic("english").to_mnemonic(bytes.fromhex(key.fingerprint)[:FINGERPRINT_BYTES])
