"""What secagg+ binds beyond secagg: its roster is a tree, and a masked input is signed. [PROTOCOLS 3B]

Everything after D is bound as in `protocols/secagg/bindings.py`. I names the protocol, so no D is one of secagg's.
"""

from hashlib import sha256

from mpc import merkle
from mpc.hashing import digest
from mpc.keys import SigningKey, VerifyKey
from protocols.messages import AdvertiseKeys
from protocols.secagg_plus.messages import Roster, SignedInput
from protocols.session import SessionParams
from protocols.wire import PartySet, bitmap


def session_digest(params: SessionParams, u1: PartySet, root: bytes) -> bytes:
    """D: the invitation, who is in the roster (so how many leaves it has), and the root over their keys."""
    return digest("sparse session", params.digest, bitmap(u1), root)


def entry_leaf(entry: AdvertiseKeys) -> bytes:
    return merkle.leaf("roster entry", entry.client, entry.channel_key, entry.mask_key, entry.signature)


def sign_roster(identity: SigningKey, session: bytes) -> bytes:
    return identity.sign("sparse roster", session)


def verify_roster(identity: VerifyKey, session: bytes, roster: Roster) -> None:
    identity.verify(roster.signature, "sparse roster", session)


def sign_input(identity: SigningKey, shared: bytes, masked: bytes) -> bytes:
    return identity.sign("input", shared, sha256(masked).digest())


def verify_input(identity: VerifyKey, shared: bytes, signed: SignedInput) -> None:
    identity.verify(signed.signature, "input", shared, signed.hash)


def signed_input(masked: bytes, signature: bytes) -> SignedInput:
    return SignedInput(sha256(masked).digest(), signature)
