"""`tests/vectors/committee.json`: real machines replay it from the file alone, to the byte."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from test_mesh_vectors import Replayed, do, hexed, params_of, require_outcome, require_refusal

from mpc.keys import SigningKey
from protocols.committee import Member, Server
from protocols.committee.messages import CODEC, Message
from protocols.errors import SERVER, PartyId
from protocols.machine import Envelope
from protocols.session import Terms

VECTORS = Path(__file__).parents[1] / "vectors"
NOT_SAID = {"Abort"}  # nothing of it happens there


def document() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((VECTORS / "committee.json").read_text())
    return loaded


def machines_of(vector: dict[str, Any]) -> tuple[dict[int, Any], list[Replayed]]:
    session, streams = vector["session"], []
    params = replace(params_of(session), losses=session["losses"])
    assert params.digest.hex() == session["digest"]
    identities = {PartyId(one["party"]): SigningKey(bytes.fromhex(one["identity"])) for one in vector["parties"]}
    members = {party: identity.verify_key for party, identity in identities.items()}
    terms = Terms(
        params.subject, members, params.spec, params.colluding, params.cohort, params.variant, params.protocol
    )
    coordinator = SigningKey(hexed(session, "coordinator_identity"))
    machines: dict[int, Any] = {SERVER: Server(params, identity=coordinator, members=members)}
    for one in vector["parties"]:
        me, stream = PartyId(one["party"]), Replayed(one["randomness"])
        machines[me] = Member(me, identity=identities[me], terms=terms, rand=stream)
        machines[me].set_input(params.spec.field.vector(one["input"]))
        streams.append(stream)
    return machines, streams


def done(machine: Any, vector: dict[str, Any], operation: dict[str, Any]) -> list[Envelope]:
    return machine.close_round() if operation["do"] == "close" else do(machine, vector, operation, CODEC)


@pytest.mark.slow
def test_real_machines_say_in_every_step_exactly_the_bytes_of_the_vector() -> None:
    vector = document()
    machines, streams = machines_of(vector)
    for operation in vector["operations"]:
        machine = machines[operation["who"]]
        if not operation.get("success", True):
            require_refusal(machine, vector, operation, CODEC)
            continue
        says = done(machine, vector, operation)
        if operation["says"] != "lost":
            expected = [vector["messages"][place] for place in operation["says"]]
            assert [CODEC.encode(one.message).hex() for one in says] == [one["bytes"] for one in expected]
            assert [list(one.recipients) for one in says] == [one["to"] for one in expected]
    assert not any(stream.left for stream in streams)
    for expected in vector["outcomes"]:
        require_outcome(machines[expected["who"]], expected)


def test_the_sum_of_the_vector_is_that_of_all_inputs_and_one_member_never_learns_it() -> None:
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
    assert {"bad-signature", "bad-key"} <= {one["reason"] for one in refused}
