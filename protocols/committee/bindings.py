"""What every digest, key and signature of the committee is bound to. Domain separation in one place. [PROTOCOLS rule 1]

    I <- D (the committee's keys) <- what is offered <- what is agreed on (all receipts)

Every label begins with "committee", which no other protocol's does.
"""

from collections.abc import Mapping, Sequence
from hashlib import sha256

from mpc.hashing import digest, kdf
from mpc.keys import AgreementKey, AgreementSecret, ChannelKey, SigningKey, VerifyKey, agree_channel
from mpc.prg import Seed
from protocols.committee.messages import AdvertiseKey, Card, Committee, Offer, Receipt, Result
from protocols.errors import PartyId
from protocols.evidence import Statement
from protocols.wire import PartySet, bitmap

NOISE = "committee noise"
MASKS = "committee masks"
CHALLENGE = "committee challenge"

HASH_BYTES = 32


def nonce_commitment(invite: bytes, aggregator: PartyId, nonce: bytes) -> bytes:
    """invite: I. A nonce is 32 uniform bytes, so the commitment hides it."""
    return digest("committee nonce", invite, aggregator, nonce)


def session_digest(invite: bytes, entries: Sequence[AdvertiseKey]) -> bytes:
    """D: the invitation and the committee's keys and commitments, in order."""
    rows = b"".join(_number(one.aggregator) + one.channel_key + one.commitment + one.signature for one in entries)
    return digest("committee session", invite, rows)


def envelope_digest(session: bytes, client: PartyId, ephemeral_key: bytes, hashes: bytes) -> bytes:
    """Of all that a client said: under D, by the hashes of its pieces."""
    return digest("committee envelope", session, client, ephemeral_key, hashes)


def offer_digest(session: bytes, clients: PartySet, envelopes: bytes) -> bytes:
    return digest("committee offer", session, bitmap(clients), envelopes)


def agreed_digest(offered: bytes, receipts: Mapping[PartyId, Receipt]) -> bytes:
    """All receipts, in order of their aggregators."""
    rows = b"".join(
        _number(party) + hash_bytes(bitmap(receipts[party].held)) + receipts[party].nonce for party in sorted(receipts)
    )
    return digest("committee receipts", offered, rows)


def challenge(offered: bytes, receipts: Mapping[PartyId, Receipt]) -> Seed:
    """rho: from what was fixed before any nonce was open, and the nonces; not from `held`, which is chosen after."""
    rows = b"".join(_number(party) + receipts[party].nonce for party in sorted(receipts))
    return Seed(digest("committee challenge", offered, rows))


def hash_bytes(raw: bytes) -> bytes:
    return sha256(raw).digest()


def _number(party: PartyId) -> bytes:
    """Eight bytes: all rows of a list have one width, so that their concatenation is injective."""
    return party.to_bytes(8, "little")


# Keys


def deal_seed(deal_secret: Seed, session: bytes) -> Seed:
    """Of a client's noise under D: restored and shown the same card it deals the same bytes again."""
    return Seed(kdf(deal_secret.raw, "committee deal", session))


def sealing_key(
    session: bytes, client: PartyId, aggregator: PartyId, mine: AgreementSecret, theirs: bytes, ephemeral_key: bytes
) -> ChannelKey:
    """The key of the one piece from client to aggregator, which both sides derive (PROTOCOLS rule 9)."""
    context = (session, client, aggregator, ephemeral_key)
    return agree_channel(mine, AgreementKey(theirs), purpose="committee contribution", context=context)


# Signatures. Each is over H(type label, digest, body).


def sign_key(identity: SigningKey, invite: bytes, aggregator: PartyId, channel_key: bytes, commitment: bytes) -> bytes:
    return identity.sign("committee key", invite, aggregator, channel_key, commitment)


def verify_key(identity: VerifyKey, invite: bytes, entry: AdvertiseKey) -> None:
    identity.verify(entry.signature, "committee key", invite, entry.aggregator, entry.channel_key, entry.commitment)


def sign_card(identity: SigningKey, session: bytes) -> bytes:
    return identity.sign("committee card", session)


def verify_card(identity: VerifyKey, session: bytes, card: Card | Committee) -> None:
    identity.verify(card.signature, "committee card", session)


def sign_contribution(identity: SigningKey, envelope: bytes) -> bytes:
    return identity.sign("committee contribution", envelope)


def verify_contribution(identity: VerifyKey, envelope: bytes, signature: bytes) -> None:
    identity.verify(signature, "committee contribution", envelope)


def sign_offer(identity: SigningKey, offered: bytes) -> bytes:
    return identity.sign("committee offer", offered)


def verify_offer(identity: VerifyKey, offered: bytes, offer: Offer) -> None:
    identity.verify(offer.signature, "committee offer", offered)


def sign_receipt(identity: SigningKey, offered: bytes, held: PartySet, nonce: bytes) -> bytes:
    return identity.sign("committee receipt", offered, bitmap(held), nonce)


def verify_receipt(identity: VerifyKey, offered: bytes, receipt: Receipt) -> None:
    identity.verify(receipt.signature, "committee receipt", offered, bitmap(receipt.held), receipt.nonce)


def sign_vow(identity: SigningKey, agreed: bytes) -> bytes:
    return identity.sign("committee vow", agreed)


def verify_vow(identity: VerifyKey, agreed: bytes, signature: bytes) -> None:
    identity.verify(signature, "committee vow", agreed)


def sign_values(identity: SigningKey, agreed: bytes, values: bytes) -> bytes:
    return identity.sign("committee check", agreed, hash_bytes(values))


def verify_values(identity: VerifyKey, agreed: bytes, values: bytes, signature: bytes) -> None:
    identity.verify(signature, "committee check", agreed, hash_bytes(values))


def sign_certificate(identity: SigningKey, invite: bytes, agreed: bytes, included: PartySet) -> bytes:
    return identity.sign(*certified(invite, agreed, included))


def verify_certificate(identity: VerifyKey, invite: bytes, agreed: bytes, included: PartySet, signature: bytes) -> None:
    identity.verify(signature, *certified(invite, agreed, included))


def certified(invite: bytes, agreed: bytes, included: PartySet) -> Statement:
    """Under I as well, so that a client, which was not shown the receipts, can check it."""
    return "committee certificate", invite, agreed, bitmap(included)


def sign_sum(identity: SigningKey, agreed: bytes, included: PartySet, share: bytes) -> bytes:
    return identity.sign("committee sum", agreed, bitmap(included), hash_bytes(share))


def verify_sum(identity: VerifyKey, agreed: bytes, included: PartySet, share: bytes, signature: bytes) -> None:
    identity.verify(signature, "committee sum", agreed, bitmap(included), hash_bytes(share))


def sign_result(identity: SigningKey, agreed: bytes, included: PartySet, vector: bytes) -> bytes:
    return identity.sign("committee result", agreed, bitmap(included), hash_bytes(vector))


def verify_result(identity: VerifyKey, result: Result) -> None:
    body = (result.agreed, bitmap(result.included), hash_bytes(result.vector))
    identity.verify(result.signature, "committee result", *body)
