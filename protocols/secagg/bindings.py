"""What every hash, key and signature of the protocol is bound to. Domain separation in one place.

I names the session as proposed, D adds the roster, D2 adds U2 (PROTOCOLS rule 1). Two parties that were shown different
models, parameters or rosters hold different digests, derive different keys and cannot open each other's bundles.
"""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Final

from mpc.hashing import digest, kdf
from mpc.keys import (
    AgreementKey,
    AgreementSecret,
    BadSignature,
    Channel,
    SigningKey,
    VerifyKey,
    agree_seed,
)
from mpc.prg import Seed
from protocols import channels
from protocols.errors import PartyId
from protocols.evidence import Statement
from protocols.messages import AdvertiseKeys, Confirm, DeliverShares, Result, Roster, Round, Survivors
from protocols.session import SessionParams
from protocols.wire import PartySet, bitmap

_REVEALS: Final = {Round.UNMASK: "unmask shares", Round.FALLBACK: "fallback shares"}


def open_session(params: SessionParams, own: AdvertiseKeys) -> bytes:
    """The name of a session in its party's ledger, from the step on in which its keys are drawn."""
    return digest("open session", params.digest, own.channel_key, own.mask_key)


def session_digest(params: SessionParams, entries: Sequence[AdvertiseKeys]) -> bytes:
    """D: the invitation and the whole roster, in order of id."""
    parts: list[bytes | int] = []
    for entry in entries:
        parts += [entry.client, entry.channel_key, entry.mask_key, entry.signature]
    return digest("session", params.digest, *parts)


def shared_digest(session: bytes, u2: PartySet) -> bytes:
    """D2: everything up to and with the set of those that shared their keys."""
    return digest("shared", session, bitmap(u2))


def self_seed(shared: bytes, owner: PartyId, self_secret: bytes) -> Seed:
    """The seed of the self mask under this U2. `self_secret` is b: 9 uniform elements of GF(2^31 - 1), packed."""
    return Seed(kdf(self_secret, "self", shared, owner))


def self_commitment(session: bytes, owner: PartyId, self_secret: bytes) -> bytes:
    """Makes a wrongly rebuilt b visible. b has over 270 bits, so the commitment hides it."""
    return digest("b", session, owner, self_secret)


def channel(session: bytes, me: PartyId, mine: AgreementSecret, peer: AdvertiseKeys) -> Channel:
    """The keys of the two bundles between a pair of parties."""
    return channels.channel("channel", session, me, mine, peer.client, peer.channel_key)


def leaf_seed(
    shared: bytes, me: PartyId, mine: AgreementSecret, my_key: bytes, peer: PartyId, peer_key: AgreementKey
) -> Seed:
    """The seed of the mask between two parties. Leaves alone are ever revealed, never the agreement (rule 3)."""
    (low, low_key), (high, high_key) = sorted(((me, my_key), (peer, peer_key.raw)))
    return agree_seed(mine, peer_key, purpose="pair", context=(shared, low, high, low_key, high_key))


# Signatures. Each is over H(type label, digest, body); the labels differ, so none can stand for another.


def sign_keys(identity: SigningKey, invite: bytes, client: PartyId, channel_key: bytes, mask_key: bytes) -> bytes:
    return identity.sign(*advertised(invite, AdvertiseKeys(client, channel_key, mask_key, b"")))


def verify_keys(identity: VerifyKey, invite: bytes, entry: AdvertiseKeys) -> None:
    identity.verify(entry.signature, *advertised(invite, entry))


def advertised(invite: bytes, entry: AdvertiseKeys) -> Statement:
    """invite: I, the digest of the parameters."""
    return "advertise keys", invite, entry.client, entry.channel_key, entry.mask_key


def sign_roster(identity: SigningKey, session: bytes) -> bytes:
    return identity.sign("roster", session)


def verify_roster(identity: VerifyKey, session: bytes, roster: Roster) -> None:
    identity.verify(roster.signature, "roster", session)


def bundles_digest(bundles: Mapping[PartyId, bytes]) -> bytes:
    parts: list[bytes | int] = []
    for peer in sorted(bundles):
        parts += [peer, bundles[peer]]
    return digest("bundles", *parts)


def sign_shares(identity: SigningKey, session: bytes, client: PartyId, commitment: bytes, dealt: bytes) -> bytes:
    """dealt: `bundles_digest`, or where dealers vouch for their shares, the root over these and the bundles."""
    return identity.sign("share keys", session, client, commitment, dealt)


def verify_shares(
    identity: VerifyKey, session: bytes, client: PartyId, signature: bytes, commitment: bytes, dealt: bytes
) -> None:
    identity.verify(signature, "share keys", session, client, commitment, dealt)


def sign_u2(identity: SigningKey, shared: bytes) -> bytes:
    return identity.sign("u2", shared)


def verify_u2(identity: VerifyKey, shared: bytes, message: DeliverShares) -> None:
    identity.verify(message.signature, "u2", shared)


def sign_survivors(identity: SigningKey, shared: bytes, u3: PartySet) -> bytes:
    return identity.sign("survivors", shared, bitmap(u3))


def verify_survivors(identity: VerifyKey, shared: bytes, message: Survivors) -> None:
    identity.verify(message.signature, "survivors", shared, bitmap(message.u3))


def sign_confirmation(identity: SigningKey, shared: bytes, u3: PartySet) -> bytes:
    return identity.sign(*confirmation(shared, u3))


def verify_confirmation(identity: VerifyKey, confirmed: Statement, confirm: Confirm) -> None:
    """confirmed: of `confirmation`, made once for all who confirm it."""
    identity.verify(confirm.signature, *confirmed)


def confirmation(shared: bytes, u3: PartySet) -> Statement:
    return "confirm", shared, bitmap(u3)


def sign_reveals(
    identity: SigningKey, shared: bytes, said_in: Round, holder: PartyId, count: int, root: bytes
) -> bytes:
    """said_in: UNMASK or FALLBACK. root: over so many reveals, each with the digest of the share that was accepted."""
    return identity.sign(_REVEALS[said_in], shared, holder, count, root)


def verify_reveals(
    identity: VerifyKey, shared: bytes, said_in: Round, holder: PartyId, count: int, root: bytes, signature: bytes
) -> None:
    """Raises BadSignature."""
    if said_in not in _REVEALS:
        raise BadSignature(f"nothing is revealed in the round {said_in.value}")
    identity.verify(signature, _REVEALS[said_in], shared, holder, count, root)


def sign_result(identity: SigningKey, shared: bytes, included: PartySet, vector: bytes) -> bytes:
    return identity.sign("result", shared, bitmap(included), sha256(vector).digest())


def verify_result(identity: VerifyKey, shared: bytes, result: Result) -> None:
    body = (shared, bitmap(result.included), sha256(result.vector).digest())
    identity.verify(result.signature, "result", *body)
