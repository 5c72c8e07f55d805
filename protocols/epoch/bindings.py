"""What the hashes, keys and signatures of an epoch are bound to. Domain separation in one place.

D_E names the epoch: its first invitation and its roster. D_r names a round of it: r, that round's own parameters, U2_r.
In round r, D_r stands where a single session has D2, so that its seeds and signatures are good for this round alone.
[PROTOCOLS 3F]
"""

from collections.abc import Mapping, Sequence

from mpc.field import M31
from mpc.hashing import digest, kdf
from mpc.keys import AgreementSecret, SigningKey, VerifyKey
from mpc.prg import Seed
from mpc.randomness import SeededRandomness
from mpc.shamir import LIMBS
from protocols.epoch.messages import AdvertiseKeys, Roster, RoundStart, ShareKeys
from protocols.errors import PartyId
from protocols.secagg.shares import pack_share
from protocols.session import SessionParams
from protocols.wire import PartySet, bitmap

# The ratchet: what a client has for a round follows from that round's root, and no root from a later one.


def next_root(root: Seed) -> Seed:
    """a^(r+1) from a^r."""
    return Seed(kdf(root.raw, "epoch next"))


def root_after(root: Seed, rounds: int) -> Seed:
    for _ in range(rounds):
        root = next_root(root)
    return root


def mask_secret(root: Seed) -> AgreementSecret:
    """s^r from a^r."""
    return AgreementSecret(kdf(root.raw, "epoch mask"))


def self_secret(root: Seed) -> bytes:
    """b^r from a^r: nine uniform elements of GF(2^31 - 1), packed."""
    return pack_share(M31.uniform(LIMBS, SeededRandomness(kdf(root.raw, "epoch self"))))


# Digests


def epoch_digest(params: SessionParams, entries: Sequence[AdvertiseKeys]) -> bytes:
    """D_E: the invitation to the first round and the whole roster, in order of id."""
    parts: list[bytes | int] = []
    for entry in entries:
        parts += [entry.client, entry.channel_key, *entry.mask_keys, entry.signature]
    return digest("epoch", params.digest, *parts)


def keys_digest(epoch: bytes, number: int) -> bytes:
    """What the keys of round r are committed to under, whoever takes part in it."""
    return digest("epoch keys", epoch, number)


def round_digest(epoch: bytes, number: int, params: SessionParams, u2: PartySet) -> bytes:
    """D_r."""
    return digest("round", epoch, number, params.digest, bitmap(u2))


# Names in a party's ledger, where the labels keep an epoch, its set-up and its rounds apart


def epoch_name(epoch: bytes) -> bytes:
    return digest("open epoch", epoch)


def set_up_name(params: SessionParams, own: AdvertiseKeys) -> bytes:
    """Our own keys with I, as in a single session: an invitation played back never names a session that was."""
    return digest("open set-up", params.digest, own.channel_key, *own.mask_keys)


def round_name(epoch: bytes, number: int) -> bytes:
    return digest("open round", epoch, number)


# Signatures. Each is over H(type label, digest, body); the labels differ, also from those of single sessions.


def sign_keys(
    identity: SigningKey, invite: bytes, client: PartyId, channel_key: bytes, mask_keys: Sequence[bytes]
) -> bytes:
    return identity.sign("epoch advertise keys", invite, client, channel_key, *mask_keys)


def verify_keys(identity: VerifyKey, invite: bytes, entry: AdvertiseKeys) -> None:
    label, keys = "epoch advertise keys", entry.mask_keys
    identity.verify(entry.signature, label, invite, entry.client, entry.channel_key, *keys)


def sign_roster(identity: SigningKey, epoch: bytes) -> bytes:
    return identity.sign("epoch roster", epoch)


def verify_roster(identity: VerifyKey, epoch: bytes, roster: Roster) -> None:
    identity.verify(roster.signature, "epoch roster", epoch)


def _shares_digest(commitments: Sequence[bytes], bundles: Mapping[PartyId, bytes]) -> bytes:
    parts: list[bytes | int] = [len(commitments), *commitments]
    for peer in sorted(bundles):
        parts += [peer, bundles[peer]]
    return digest("epoch bundles", *parts)


def sign_shares(
    identity: SigningKey, epoch: bytes, client: PartyId, commitments: Sequence[bytes], bundles: Mapping[PartyId, bytes]
) -> bytes:
    return identity.sign("epoch share keys", epoch, client, _shares_digest(commitments, bundles))


def verify_shares(identity: VerifyKey, epoch: bytes, client: PartyId, message: ShareKeys) -> None:
    body = (epoch, client, _shares_digest(message.commitments, message.bundles))
    identity.verify(message.signature, "epoch share keys", *body)


def sign_start(identity: SigningKey, shared: bytes) -> bytes:
    """shared: D_r."""
    return identity.sign("round start", shared)


def verify_start(identity: VerifyKey, shared: bytes, message: RoundStart) -> None:
    identity.verify(message.signature, "round start", shared)
