"""`tests/vectors/mesh.json`: made again it is the same to the byte, and real peers replay it."""

import json
from pathlib import Path
from typing import Any

import pytest

from mpc.field import PrimeField
from mpc.keys import SigningKey
from protocols.errors import DropReason, PartyId, PeerMisbehaved, ProtocolError
from protocols.machine import Envelope, Finished
from protocols.mesh import Peer
from protocols.mesh.messages import CODEC, Message
from protocols.session import SessionParams, Subject, Terms, Variant, VectorSpec
from protocols.wire import Codec

VECTORS = Path(__file__).parents[1] / "vectors"
NOT_SAID = {"Lacking", "HeldShares", "Fetch", "Result", "Equivocation", "Abort"}  # nothing of it happens there


def document() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((VECTORS / "mesh.json").read_text())
    return loaded


class Replayed:
    """The random bytes of the vector, in the pieces in which they are asked for."""

    seeded = True

    def __init__(self, drawn: str) -> None:
        self.left = bytes.fromhex(drawn)

    def bytes(self, count: int) -> bytes:
        assert count <= len(self.left), "more randomness than the vector has"
        piece, self.left = self.left[:count], self.left[count:]
        return piece


def hexed(session: dict[str, Any], name: str) -> bytes:
    return bytes.fromhex(session[name])


def params_of(session: dict[str, Any]) -> SessionParams:
    subject = Subject(
        hexed(session, "consortium"), session["version"], hexed(session, "coordinator"), hexed(session, "model"),
        hexed(session, "config"), hexed(session, "last_record"),
    )  # fmt: skip
    spec = VectorSpec(session["length"], PrimeField(session["modulus"]))
    return SessionParams(
        subject, spec, hexed(session, "nonce"), session["colluding"], session["threshold"], session["cohort"],
        Variant(session["variant"]), session["protocol"], session["wire"],
    )  # fmt: skip


def peers_of(vector: dict[str, Any]) -> tuple[dict[int, Peer], list[Replayed]]:
    params, streams, peers = params_of(vector["session"]), [], {}
    assert params.digest.hex() == vector["session"]["digest"]
    identities = {PartyId(one["party"]): SigningKey(bytes.fromhex(one["identity"])) for one in vector["parties"]}
    members = {party: identity.verify_key for party, identity in identities.items()}
    terms = Terms(
        params.subject, members, params.spec, params.colluding, params.cohort, params.variant, params.protocol
    )
    for one in vector["parties"]:
        me, stream = PartyId(one["party"]), Replayed(one["randomness"])
        peers[one["party"]] = Peer(me, identity=identities[me], terms=terms, params=params, rand=stream)
        peers[one["party"]].set_input(params.spec.field.vector(one["input"]))
        streams.append(stream)
    return peers, streams


def do(peer: Any, vector: dict[str, Any], operation: dict[str, Any], codec: Codec = CODEC) -> list[Envelope]:
    says: list[Envelope]
    match operation["do"]:
        case "start":
            says = peer.start()
        case "drop":
            says = peer.drop(PartyId(operation["party"]), DropReason(operation["reason"]))
        case _:
            written = operation.get("bytes") or vector["messages"][operation["message"]]["bytes"]
            says = peer.receive(PartyId(operation["from"]), codec.decode(bytes.fromhex(written)))
    return says


def test_real_peers_say_in_every_step_exactly_the_bytes_of_the_vector() -> None:
    vector = document()
    peers, streams = peers_of(vector)
    for operation in vector["operations"]:
        peer = peers[operation["who"]]
        if not operation.get("success", True):
            require_refusal(peer, vector, operation)
            continue
        says = do(peer, vector, operation)
        if operation["says"] != "lost":
            expected = [vector["messages"][place] for place in operation["says"]]
            assert [CODEC.encode(one.message).hex() for one in says] == [one["bytes"] for one in expected]
            assert [list(one.recipients) for one in says] == [one["to"] for one in expected]
    assert not any(stream.left for stream in streams)
    for expected in vector["outcomes"]:
        require_outcome(peers[expected["who"]], expected)


def require_refusal(peer: Any, vector: dict[str, Any], operation: dict[str, Any], codec: Codec = CODEC) -> None:
    before = peer.snapshot()
    with pytest.raises(ProtocolError) as refusal:
        do(peer, vector, operation, codec)
    assert type(refusal.value).__name__ == operation["error"], operation["note"]
    if isinstance(refusal.value, PeerMisbehaved):
        assert refusal.value.reason.value == operation["reason"], operation["note"]
    assert peer.snapshot() == before


def require_outcome(peer: Any, expected: dict[str, Any]) -> None:
    if "sum" in expected:
        assert isinstance(peer.outcome, Finished)
        assert peer.outcome.aggregate.vector.tolist() == expected["sum"]
        assert sorted(peer.outcome.aggregate.included) == expected["included"]
    else:
        assert peer.outcome is None


def test_the_sum_of_the_vector_is_that_of_all_inputs_and_one_peer_never_learns_it() -> None:
    vector = document()
    inputs = [one["input"] for one in vector["parties"]]
    total = [sum(column) % vector["session"]["modulus"] for column in zip(*inputs, strict=True)]
    assert [one["sum"] for one in vector["outcomes"] if "sum" in one] == [total] * 3


def test_the_vector_holds_every_message_and_for_each_what_is_refused() -> None:
    vector = document()
    names = {kind.__name__ for kind in Message.__args__} - NOT_SAID
    assert {message["class"] for message in vector["messages"]} == names
    refused = [one for one in vector["operations"] if not one.get("success", True)]
    assert {one["error"] for one in refused} == {"WireError", "PeerMisbehaved"}
    assert {"bad-signature", "split-view"} <= {one["reason"] for one in refused}
