"""Proofs that a party cheated in an accountable session, checked by somebody who has the consortium's file alone.

    verdict = check(proof_from_bytes(data), consortium)      # or NotProven: nobody is convicted

An honest party is never convicted, whatever the coordinator, the dealers and the holders do together: each verdict
rests on what the convicted one signed itself, and what no honest party signs: see
`docs/decisions/0022-who-cheated-is-shown-by-what-it-signed.md`.
"""

from collections.abc import Mapping
from typing import Final, Protocol, runtime_checkable

from mpc.keys import VerifyKey
from mpc.merkle import MerkleTree
from protocols.errors import PartyId
from protocols.evidence import Verdict
from protocols.roster import Consortium
from protocols.secagg import bindings
from protocols.secagg.proofs import Court, NotProven, Offence, Proof, Scene
from protocols.secagg_plus import bindings as sparse
from protocols.secagg_plus.degrees import graph_for
from protocols.session import SessionParams
from protocols.wire import Codec

__all__ = [
    "GivesProofs",
    "NotProven",
    "Offence",
    "Proof",
    "check",
    "court_of",
    "judge",
    "proof_from_bytes",
    "proof_to_bytes",
]

_CODEC: Final = Codec(Proof)


@runtime_checkable
class GivesProofs(Protocol):
    """A server's machine of a protocol that can be accountable."""

    @property
    def proofs(self) -> tuple[Proof, ...]:
        """Of who cheated in its session; complete when that is over. Several may be of one verdict."""


def proof_to_bytes(proof: Proof) -> bytes:
    """Shares and a lost party's mask secret are in it: of a session that is over, and known to its coordinator."""
    return _CODEC.encode(proof)


def proof_from_bytes(data: bytes) -> Proof:
    """Raises WireError."""
    proof: Proof = _CODEC.decode(data)
    return proof


def check(proof: Proof, consortium: Consortium) -> Verdict:
    """Who cheated, and how. Raises NotProven."""
    subject = proof.scene.params.subject
    if (subject.consortium, subject.version) != (consortium.digest, consortium.version):
        raise NotProven(f"this session was not one of {consortium.name}, version {consortium.version}")
    return judge(proof, consortium.members_by_id)


def judge(proof: Proof, members: Mapping[PartyId, VerifyKey]) -> Verdict:
    """The same, for a session that is known to be of these members. Raises NotProven."""
    proof.verify(court_of(proof.scene, members))
    return proof.verdict


def court_of(scene: Scene, members: Mapping[PartyId, VerifyKey]) -> Court:
    """What follows from a scene. Raises NotProven where it is of no accountable session."""
    params, entries = scene.params, scene.entries
    u1 = {entry.client: entry for entry in entries}
    if not params.accountable or [entry.client for entry in entries] != sorted(u1) or not u1:
        raise NotProven("this is no accountable session, or its parties are not in order")
    return Court(members, _session(scene), _threshold(params, len(u1)), u1)


def _session(scene: Scene) -> bytes:
    """D, in either form of roster."""
    params, entries = scene.params, scene.entries
    if params.protocol == "secagg":
        return bindings.session_digest(params, entries)
    u1 = frozenset(entry.client for entry in entries)
    return sparse.session_digest(params, u1, MerkleTree([sparse.entry_leaf(entry) for entry in entries]).root)


def _threshold(params: SessionParams, parties: int) -> int:
    if params.protocol == "secagg":
        return params.threshold_for(parties)
    try:
        return graph_for(params, parties).threshold
    except ValueError as exc:
        raise NotProven(f"no session has these numbers: {exc}") from exc
