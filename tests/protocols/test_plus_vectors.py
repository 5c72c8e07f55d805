"""`tests/vectors/secagg_plus.json`: real machines replay it (`test_vectors.py` makes it again, as all vectors)."""

from dataclasses import replace
from typing import Any, get_args

from test_vectors import Operation, Replay, Replayed, load, party, require_outcome, require_refusal, session_params

from mpc.keys import SigningKey
from protocols.errors import SERVER, DropReason, PartyId
from protocols.machine import Envelope
from protocols.secagg_plus import Client, Server
from protocols.secagg_plus.messages import CODEC, Message
from protocols.session import Terms

NAME = "secagg_plus.json"


class SparseReplay(Replay):
    """A vector's session, set up from the file and nothing else."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document, session = document, document["session"]
        coordinator = SigningKey(bytes.fromhex(document["coordinator"]))
        identities = {PartyId(one["party"]): SigningKey(bytes.fromhex(one["identity"])) for one in document["parties"]}
        params = replace(session_params(session, coordinator), losses=session["losses"])
        assert params.digest.hex() == session["digest"]
        members = {one: identity.verify_key for one, identity in identities.items()}
        terms = Terms(
            params.subject, members, params.spec, params.colluding, params.cohort, params.variant, params.protocol
        )
        self.randomness = {PartyId(one["party"]): Replayed(one["randomness"]) for one in document["parties"]}
        self.machines = {SERVER: Server(params, identity=coordinator, members=members)}
        for one in document["parties"]:
            me = PartyId(one["party"])
            self.machines[me] = Client(me, identity=identities[me], terms=terms, rand=self.randomness[me])
            self.machines[me].set_input(params.spec.field.vector(one["input"]))

    def do(self, operation: Operation) -> list[Envelope]:
        machine = self.machines[party(operation["who"])]
        match operation["do"]:
            case "receive":
                return machine.receive(party(operation["from"]), CODEC.decode(self.bytes_of(operation)))
            case "drop":
                return machine.drop(PartyId(operation["party"]), DropReason(operation["reason"]))
        return super().do(operation)


def test_real_machines_say_in_every_step_exactly_the_bytes_of_the_vector() -> None:
    document = load(NAME)
    replay = SparseReplay(document)
    for operation in document["operations"]:
        if operation.get("success", True):
            said = [CODEC.encode(envelope.message).hex() for envelope in replay.do(operation)]
            assert said == [document["messages"][place]["bytes"] for place in operation["says"]]
        else:
            require_refusal(replay, operation)
    assert not any(rand.left for rand in replay.randomness.values())
    for expected in document["outcomes"]:
        require_outcome(replay.machines[party(expected["who"])].outcome, expected)


def test_the_vector_holds_every_message_and_for_each_what_is_refused() -> None:
    document, speech = load(NAME), {kind.__name__ for kind in get_args(Message)} - {"Abort"}
    assert {message["class"] for message in document["messages"]} == speech
    refused = [one for one in document["operations"] if not one.get("success", True)]
    spoiled = {
        type(CODEC.decode(bytes.fromhex(one["bytes"]))).__name__ for one in refused if one["error"] != "WireError"
    }
    assert spoiled == speech


def test_the_sum_of_the_vector_is_that_of_the_inputs_that_it_includes() -> None:
    document = load(NAME)
    modulus, aggregate = document["session"]["modulus"], document["outcomes"][0]
    inputs = [one["input"] for one in document["parties"] if one["party"] in aggregate["included"]]
    assert [sum(column) % modulus for column in zip(*inputs, strict=True)] == aggregate["sum"]
    assert len(inputs) == len(document["parties"]) - 1
