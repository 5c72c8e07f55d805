"""The vectors in `tests/vectors`: made again they are the same to the byte, and real machines replay them."""

import json
import runpy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mpc import prg, shamir
from mpc.encoding import Counter, Encoding, Metric, uniform
from mpc.field import M31, FieldVector, PrimeField
from mpc.keys import SigningKey
from mpc.prg import Seed
from protocols.errors import SERVER, DropReason, PartyId, PeerMisbehaved, ProtocolError
from protocols.machine import Aborted, Envelope, Finished
from protocols.messages import CODEC, Message
from protocols.secagg import Client, Server
from protocols.session import SessionParams, Subject, Terms, Variant, VectorSpec
from protocols.wire import Codec

VECTORS = Path(__file__).parents[1] / "vectors"
SESSIONS = ["secagg_active.json", "secagg_curious.json", "secagg_accountable.json"]
SPEECH = {kind.__name__ for kind in Message.__args__} - {"Abort"}

Operation = dict[str, Any]


def load(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((VECTORS / name).read_text())
    return document


class Replayed:
    """The random bytes of a vector, in the pieces in which they are asked for."""

    seeded = True

    def __init__(self, drawn: str) -> None:
        self.left = bytes.fromhex(drawn)

    def bytes(self, count: int) -> bytes:
        assert count <= len(self.left), "more randomness than the vector has"
        piece, self.left = self.left[:count], self.left[count:]
        return piece


@pytest.mark.slow
def test_the_vectors_made_again_are_the_same_to_the_byte() -> None:
    scripts = sorted(VECTORS.glob("regenerate*.py"))
    made = {name: text for script in scripts for name, text in runpy.run_path(str(script))["generate"]().items()}
    assert made.keys() == {path.name for path in VECTORS.glob("*.json")}
    for name, text in made.items():
        assert (VECTORS / name).read_text() == text, f"{name}: run its tests/vectors/regenerate*.py and say why"


def test_the_vectors_are_small() -> None:
    assert all(path.stat().st_size < 100_000 for path in VECTORS.glob("*.json"))


# mpc


def rows(operation: Operation) -> dict[int, FieldVector]:
    field = PrimeField(operation["modulus"])
    return {int(point): field.vector(share) for point, share in operation["shares"].items()}


def encoding_of(spec: Mapping[str, Any]) -> Encoding:
    return Encoding(
        spans=uniform(spec["length"], spec["clip"]),
        clients=spec["clients"],
        field=PrimeField(spec["modulus"]),
        bits=spec["bits"],
        max_weight=spec["max_weight"],
        metrics=tuple(Metric(*metric) for metric in spec["metrics"]),
        counters=tuple(Counter(*counter) for counter in spec["counters"]),
    )


def expand(op: Operation) -> Operation:
    seed, field = Seed(bytes.fromhex(op["seed"])), PrimeField(op["modulus"])
    return {"elements": prg.expand(seed, op["label"], field, op["start"], op["stop"]).tolist()}


def accumulate(op: Operation) -> Operation:
    field = PrimeField(op["modulus"])
    total = field.vector(op["vector"])
    plus, minus = ([Seed(bytes.fromhex(seed)) for seed in op[sign]] for sign in ("plus", "minus"))
    prg.accumulate(total, field, op["label"], plus=plus, minus=minus)
    return {"elements": total.tolist()}


def split(op: Operation) -> Operation:
    field, rand = PrimeField(op["modulus"]), Replayed(op.get("randomness", ""))
    secrets = field.vector(op["secrets"])
    shares = shamir.split(secrets, threshold=op["threshold"], points=op["points"], field=field, rand=rand)
    assert not rand.left
    return {"shares": shares.tolist()}


def reconstruct(op: Operation) -> Operation:
    field = PrimeField(op["modulus"])
    return {"secrets": shamir.reconstruct(rows(op), threshold=op["threshold"], field=field).tolist()}


def correct(op: Operation) -> Operation:
    corrected = shamir.correct(rows(op), threshold=op["threshold"], field=PrimeField(op["modulus"]))
    return {"secrets": corrected.secrets.tolist(), "wrong": sorted(corrected.wrong)}


def to_limbs(op: Operation) -> Operation:
    return {"limbs": shamir.to_limbs(bytes.fromhex(op["secret"])).tolist()}


def from_limbs(op: Operation) -> Operation:
    return {"secret": shamir.from_limbs(M31.vector(op["limbs"])).hex()}


def encode(op: Operation) -> Operation:
    update = np.array([float(value) for value in op["update"]], dtype=np.float32)
    vector = encoding_of(op["encoding"]).encode(
        update,
        weight=op["weight"],
        metrics=op["metrics"],
        counters=op["counters"],
        rand=Replayed(op.get("randomness", "00" * 32)),
    )
    return {"vector": vector.tolist()}


def decode(op: Operation) -> Operation:
    encoding = encoding_of(op["encoding"])
    decoded = encoding.decode_sum(encoding.field.vector(op["vector"]))
    mean = [float(value) for value in decoded.mean]
    counts = {"total_weight": decoded.total_weight, "clipped": decoded.clipped}
    return {"mean": mean, "metrics": decoded.metrics, "counters": decoded.counters} | counts


RUN: dict[str, Callable[[Operation], Operation]] = {
    run.__name__: run for run in (expand, accumulate, split, reconstruct, correct, to_limbs, from_limbs, encode, decode)
}


@pytest.mark.parametrize("name", ["mpc_prg.json", "mpc_shamir.json", "mpc_encoding.json"])
def test_every_operation_gives_what_the_vector_says_or_fails_by_that_name(name: str) -> None:
    for operation in load(name)["operations"]:
        run = RUN[operation["do"]]
        if operation.get("success", True):
            results = run(operation)
            assert results == {key: operation[key] for key in results}
        else:
            with pytest.raises(ValueError) as refusal:
                run(operation)
            assert type(refusal.value).__name__ == operation["error"]


def test_the_encoded_vectors_sum_to_the_one_that_is_decoded() -> None:
    operations = load("mpc_encoding.json")["operations"]
    summands = [op["vector"] for op in operations if op["do"] == "encode" and "vector" in op]
    total = next(op["vector"] for op in operations if op["do"] == "decode")
    assert [sum(column) % M31.modulus for column in zip(*summands, strict=True)] == total


# secagg


class Replay:
    """A vector's session, set up from the file and nothing else. Another protocol's has its own codec and machines."""

    codec: Codec = CODEC
    client_of: Any = Client
    server_of: Any = Server

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        session = document["session"]
        coordinator = SigningKey.from_bytes(bytes.fromhex(document["coordinator"]))
        identities = {
            PartyId(one["party"]): SigningKey.from_bytes(bytes.fromhex(one["identity"])) for one in document["parties"]
        }
        params = session_params(session, coordinator)
        assert params.digest.hex() == session["digest"]
        members = {party: identity.verify_key for party, identity in identities.items()}
        terms = Terms(
            params.subject, members, params.spec, params.colluding, params.cohort, params.variant, params.protocol,
            rounds_per_epoch=params.rounds_per_epoch, accountable=params.accountable,
        )  # fmt: skip
        self.randomness = {PartyId(one["party"]): Replayed(one["randomness"]) for one in document["parties"]}
        self.machines: dict[PartyId, Any] = {SERVER: self._server(params, identity=coordinator, members=members)}
        for one in document["parties"]:
            me = PartyId(one["party"])
            client = self._client(me, identity=identities[me], terms=terms, rand=self.randomness[me])
            client.set_input(params.spec.field.vector(one["input"]))
            self.machines[me] = client

    def _server(self, params: SessionParams, **given: Any) -> Any:
        return self.server_of(params, **given)

    def _client(self, me: PartyId, **given: Any) -> Any:
        return self.client_of(me, **given)

    def do(self, operation: Operation) -> list[Envelope]:
        machine = self.machines[party(operation["who"])]
        match operation["do"]:
            case "start":
                said = machine.start()
            case "close":
                said = machine.close_round()
            case "drop":
                said = machine.drop(PartyId(operation["party"]), DropReason(operation["reason"]))
            case "receive":
                said = machine.receive(party(operation["from"]), self.codec.decode(self.bytes_of(operation)))
        envelopes: list[Envelope] = said
        return envelopes

    def bytes_of(self, operation: Operation) -> bytes:
        """Spoiled bytes stand in the operation itself, a message of the session by its place."""
        if "bytes" in operation:
            return bytes.fromhex(operation["bytes"])
        message = self.document["messages"][operation["message"]]
        assert message["from"] == operation["from"]
        assert operation["who"] in message["to"]
        return bytes.fromhex(message["bytes"])


def session_params(session: Mapping[str, Any], coordinator: SigningKey) -> SessionParams:
    subject = Subject(
        consortium=bytes.fromhex(session["consortium"]),
        version=session["version"],
        coordinator=coordinator.verify_key.raw,
        model=bytes.fromhex(session["model"]),
        config=bytes.fromhex(session["config"]),
        last_record=bytes.fromhex(session["last_record"]),
    )
    return SessionParams(
        subject,
        VectorSpec(session["length"], PrimeField(session["modulus"])),
        bytes.fromhex(session["nonce"]),
        session["colluding"],
        session["threshold"],
        session["cohort"],
        Variant(session["variant"]),
        session["protocol"],
        session["wire"],
        session.get("losses", 0),
        rounds_per_epoch=session.get("rounds_per_epoch", 1),
        accountable=session.get("accountable", False),
    )


def party(name: int | str) -> PartyId:
    return SERVER if name == "server" else PartyId(int(name))


def written(who: int | str, envelope: Envelope, codec: Codec) -> dict[str, Any]:
    to = ["server" if one == SERVER else one for one in envelope.recipients]
    name, data = type(envelope.message).__name__, codec.encode(envelope.message)
    return {"from": who, "to": to, "class": name, "bytes": data.hex()}


@pytest.mark.parametrize("name", SESSIONS)
def test_real_machines_say_in_every_step_exactly_the_bytes_of_the_vector(name: str) -> None:
    require_every_step(Replay(load(name)))


def require_every_step(replay: Replay) -> None:
    document = replay.document
    for operation in document["operations"]:
        if operation.get("success", True):
            said = [written(operation["who"], envelope, replay.codec) for envelope in replay.do(operation)]
            assert said == [document["messages"][place] for place in operation["says"]]
        else:
            require_refusal(replay, operation)
    assert not any(rand.left for rand in replay.randomness.values())
    for expected in document["outcomes"]:
        require_outcome(replay.machines[party(expected["who"])].outcome, expected)


def require_refusal(replay: Replay, operation: Operation) -> None:
    machine = replay.machines[party(operation["who"])]
    before = machine.snapshot()
    with pytest.raises(ProtocolError) as refusal:
        replay.do(operation)
    assert type(refusal.value).__name__ == operation["error"], operation["note"]
    if isinstance(refusal.value, PeerMisbehaved):
        assert refusal.value.reason.value == operation["reason"], operation["note"]
    assert machine.snapshot() == before


def require_outcome(outcome: Any, expected: Mapping[str, Any]) -> None:
    if "sum" in expected:
        assert isinstance(outcome, Finished)
        assert outcome.aggregate.vector.tolist() == expected["sum"]
        assert sorted(outcome.aggregate.included) == expected["included"]
    elif "aborted" in expected:
        assert isinstance(outcome, Aborted)
        assert outcome.reason.value == expected["aborted"]
    else:
        assert outcome is None


@pytest.mark.parametrize("name", SESSIONS)
def test_the_sum_of_the_vector_is_that_of_the_inputs_that_it_includes(name: str) -> None:
    document = load(name)
    modulus, aggregate = document["session"]["modulus"], document["outcomes"][0]
    inputs = [one["input"] for one in document["parties"] if one["party"] in aggregate["included"]]
    assert [sum(column) % modulus for column in zip(*inputs, strict=True)] == aggregate["sum"]
    assert len(inputs) == len(document["parties"]) - 1


@pytest.mark.parametrize(("name", "missing"), [
    ("secagg_active.json", set()),
    ("secagg_curious.json", {"Confirm", "UnmaskRequest", "FallbackRequest", "FallbackShares"}),
])  # fmt: skip
def test_the_vectors_hold_every_message_and_for_each_what_is_refused(name: str, missing: set[str]) -> None:
    document = load(name)
    assert {message["class"] for message in document["messages"]} == SPEECH - missing
    refused = [op for op in document["operations"] if not op.get("success", True)]
    spoiled = {type(CODEC.decode(bytes.fromhex(op["bytes"]))).__name__ for op in refused if op["error"] != "WireError"}
    assert spoiled >= SPEECH - missing
    assert {op["error"] for op in refused} == {"WireError", "PeerMisbehaved"}
