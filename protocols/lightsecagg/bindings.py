"""What every hash, key and signature of the protocol is bound to. Domain separation in one place.

I names the session as proposed, D adds the roster, D2 adds U2 (PROTOCOLS rule 1). A piece is sealed under D: what a
dealer gives does not depend on who else gives. From Dealers on everything is bound to D2.
"""

from collections.abc import Mapping, Sequence
from hashlib import sha256

from mpc.hashing import digest, kdf
from mpc.keys import AgreementSecret, Channel
from mpc.prg import Seed
from protocols import channels
from protocols.errors import PartyId
from protocols.evidence import Statement
from protocols.lightsecagg.messages import AdvertiseKey
from protocols.session import SessionParams
from protocols.wire import PartySet, bitmap

MASK_LABEL = "lightsecagg mask"
NOISE_LABEL = "lightsecagg noise"


def open_session(params: SessionParams, own: AdvertiseKey) -> bytes:
    """The name of a session in its party's ledger, from the step on in which its key is drawn."""
    return digest("lightsecagg open session", params.digest, own.channel_key)


def session_digest(params: SessionParams, entries: Sequence[AdvertiseKey]) -> bytes:
    """D: the invitation and the whole roster, in order of id."""
    rows = b"".join(_number(entry.client) + entry.channel_key + entry.signature for entry in entries)
    return digest("lightsecagg session", params.digest, rows)


def _number(party: PartyId) -> bytes:
    """Eight bytes: all rows of a list have one width, so that their concatenation is injective."""
    return party.to_bytes(8, "little")


def shared_digest(session: bytes, u2: PartySet) -> bytes:
    """D2: everything up to and with the set of those whose pieces have all gone out."""
    return digest("lightsecagg shared", session, bitmap(u2))


def mask_seed(session: bytes, owner: PartyId, deal_secret: Seed) -> Seed:
    """The seed of z. A client that is taken up again and shown the same roster deals the same bytes again."""
    return Seed(kdf(deal_secret.raw, MASK_LABEL, session, owner))


def noise_seed(session: bytes, owner: PartyId, deal_secret: Seed) -> Seed:
    """The seed of the T pieces beside z. Of z it says nothing, nor z of it."""
    return Seed(kdf(deal_secret.raw, NOISE_LABEL, session, owner))


def channel(session: bytes, me: PartyId, mine: AgreementSecret, peer: AdvertiseKey) -> Channel:
    """The keys of the two pieces between a pair of parties."""
    return channels.channel("lightsecagg channel", session, me, mine, peer.client, peer.channel_key)


def hash_piece(sealed: bytes) -> bytes:
    """What a dealer signs of a piece, beside whom it is for."""
    return sha256(sealed).digest()


def check_seed(shared: bytes, answers: Mapping[PartyId, bytes]) -> Seed:
    """The seed of the combinations in which wrong answers are looked for: it follows from all of them."""
    rows = b"".join(_number(party) + sha256(answers[party]).digest() for party in sorted(answers))
    return Seed(digest("lightsecagg check", shared, rows))


# What is signed.


def key_of(invite: bytes, client: PartyId, channel_key: bytes) -> Statement:
    """invite: I, the digest of the parameters."""
    return "lightsecagg key", invite, client, channel_key


def roster(session: bytes) -> Statement:
    return "lightsecagg roster", session


def dealt(session: bytes, dealer: PartyId, hashes: Mapping[PartyId, bytes]) -> Statement:
    rows = b"".join(_number(recipient) + hashes[recipient] for recipient in sorted(hashes))
    return "lightsecagg dealt", session, dealer, rows


def dealers(shared: bytes) -> Statement:
    return "lightsecagg dealers", shared


def survivors(shared: bytes, u3: PartySet) -> Statement:
    return "lightsecagg survivors", shared, bitmap(u3)


def confirmation(shared: bytes, u3: PartySet) -> Statement:
    return "lightsecagg confirm", shared, bitmap(u3)


def result(shared: bytes, included: PartySet, vector: bytes) -> Statement:
    return "lightsecagg result", shared, bitmap(included), sha256(vector).digest()
