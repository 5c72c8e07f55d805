"""Writes the vectors beside this file: `python tests/vectors/regenerate.py`. Seeded, so nothing changes unless we do.

Each file has a list of operations, in order; those with `"success": false` must fail with the named error and change
nothing. `test_vectors.py` replays them, from the files alone. Bytes are in hex, updates in decimal text, both exact.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "protocols"))  # for `conversation`

from conversation import Room
from writing import Document, but_the_first, name_of, outcome_of, text

from mpc import prg, shamir
from mpc.encoding import Counter, Encoding, Metric, uniform
from mpc.field import M31, M61, PrimeField
from mpc.prg import Seed
from mpc.randomness import SeededRandomness
from protocols.errors import SERVER, DropReason, PartyId, PeerMisbehaved, ProtocolError
from protocols.machine import Envelope
from protocols.messages import (
    CODEC,
    AdvertiseKeys,
    Confirm,
    DeliverShares,
    DroppedReveal,
    FallbackRequest,
    FallbackShares,
    Invitation,
    MaskedInput,
    Result,
    Roster,
    Round,
    ShareKeys,
    Survivors,
    UnmaskRequest,
    UnmaskShares,
)
from protocols.secagg import Client
from protocols.session import WIRE, Variant
from protocols.wire import Codec

HERE = Path(__file__).parent

Operation = dict[str, Any]


def generate() -> dict[str, str]:
    """File name -> its text."""
    documents = {
        "mpc_prg.json": prg_vectors(),
        "mpc_shamir.json": shamir_vectors(),
        "mpc_encoding.json": encoding_vectors(),
        "secagg_active.json": session_vectors(Variant.ACTIVE),
        "secagg_curious.json": session_vectors(Variant.CURIOUS),
    }
    return {name: text(document) for name, document in documents.items()}


def _attempt(operation: Operation, run: Callable[[], Operation]) -> Operation:
    """The operation with what came of it: results, or the name of the error."""
    try:
        return operation | run()
    except (ValueError, ProtocolError) as exc:
        return operation | {"success": False, "error": type(exc).__name__}


class Recording:
    """A seeded stream that notes what was drawn from it."""

    seeded = True

    def __init__(self, stream: SeededRandomness) -> None:
        self._stream = stream
        self.drawn = b""

    def bytes(self, count: int) -> bytes:
        fresh = self._stream.bytes(count)
        self.drawn += fresh
        return fresh


# mpc


def prg_vectors() -> Document:
    rand = SeededRandomness(b"vectors: prg")
    fields = [PrimeField(5), PrimeField(251), PrimeField(65537), PrimeField.with_bits(26), M31, M61]
    operations = []
    for field in fields:
        seed = rand.bytes(32)
        for start, stop in ((0, 12), (1000, 1004), (7, 7)):
            operations.append(_expand(seed, "self mask", field.modulus, start, stop))
    operations.append(_expand(seed, "pairwise mask", M61.modulus, 0, 4))
    operations += [_accumulate(field, rand) for field in fields]
    for seed, modulus, start, stop in (
        (bytes(31), 251, 0, 4), (bytes(33), 251, 0, 4), (bytes(32), 250, 0, 4), (bytes(32), 2**61 + 1, 0, 4),
        (bytes(32), 251, 4, 3), (bytes(32), 251, -1, 3),
    ):  # fmt: skip
        operations.append(_expand(seed, "self mask", modulus, start, stop))
    return {"what": "seed and label -> elements of a field, and signed sums of them", "operations": operations}


def _expand(seed: bytes, label: str, modulus: int, start: int, stop: int) -> Operation:
    operation = {
        "do": "expand", "seed": seed.hex(), "label": label, "modulus": modulus, "start": start, "stop": stop
    }  # fmt: skip
    return _attempt(
        operation,
        lambda: {"elements": prg.expand(Seed(seed), label, PrimeField(modulus), start, stop).tolist()},
    )


def _accumulate(field: PrimeField, rand: SeededRandomness) -> Operation:
    plus, minus = ([Seed(rand.bytes(32)) for _ in range(count)] for count in (2, 3))
    vector = field.uniform(6, rand)
    total = vector.copy()
    prg.accumulate(total, field, "pairwise mask", plus=plus, minus=minus)
    return {
        "do": "accumulate", "label": "pairwise mask", "modulus": field.modulus, "vector": vector.tolist(),
        "plus": [seed.raw.hex() for seed in plus], "minus": [seed.raw.hex() for seed in minus],
        "elements": total.tolist(),
    }  # fmt: skip


def shamir_vectors() -> Document:
    rand = SeededRandomness(b"vectors: shamir")
    operations = []
    for field, threshold, points in ((M31, 3, [1, 2, 3, 4, 5, 6, 7]), (M61, 2, [2, 9, 4]), (PrimeField(251), 1, [5])):
        operations += _sharing(field, threshold, points, rand)
    secret = rand.bytes(32)
    limbs = shamir.to_limbs(secret).tolist()
    operations += [{"do": "to_limbs", "secret": secret.hex(), "limbs": limbs}]
    operations += [_from_limbs(limbs), _from_limbs([2**30, *limbs[1:]]), _from_limbs([*limbs[:8], 2**16])]
    for threshold, points in ((3, [1, 2]), (0, [1, 2]), (1, [0, 1]), (1, [1, 1]), (1, [251])):
        operations.append(_split(PrimeField(251), threshold, points, [7, 8], rand))
    return {"what": "t-of-n sharing of field elements, and secrets as limbs", "operations": operations}


def _sharing(field: PrimeField, threshold: int, points: list[int], rand: SeededRandomness) -> Iterator[Operation]:
    split = _split(field, threshold, points, field.uniform(4, rand).tolist(), rand)
    shares = dict(zip(map(str, points), split["shares"], strict=True))
    spoiled = {point: [(share[0] + 1) % field.modulus, *share[1:]] for point, share in shares.items()}
    first = next(iter(shares))
    yield split
    yield _join("reconstruct", field, threshold, shares)
    yield _join("reconstruct", field, threshold, dict(list(shares.items())[: threshold - 1]))
    yield _join("correct", field, threshold, shares)
    yield _join("correct", field, threshold, shares | {first: spoiled[first]})
    if len(shares) > threshold:
        half = dict(list(spoiled.items())[: 1 + (len(shares) - threshold) // 2])
        yield _join("correct", field, threshold, shares | {point: [1, *half[point][1:]] for point in half})


def _split(
    field: PrimeField, threshold: int, points: list[int], secrets: list[int], rand: SeededRandomness
) -> Operation:
    stream = Recording(rand.child(f"{field.modulus} {threshold}"))
    operation = {
        "do": "split", "modulus": field.modulus, "threshold": threshold, "points": points, "secrets": secrets
    }  # fmt: skip

    def run() -> Operation:
        shares = shamir.split(field.vector(secrets), threshold=threshold, points=points, field=field, rand=stream)
        return {"randomness": stream.drawn.hex(), "shares": shares.tolist()}

    return _attempt(operation, run)


def _join(do: str, field: PrimeField, threshold: int, shares: dict[str, list[int]]) -> Operation:
    operation = {"do": do, "modulus": field.modulus, "threshold": threshold, "shares": shares}
    rows = {int(point): field.vector(share) for point, share in shares.items()}

    def run() -> Operation:
        if do == "reconstruct":
            return {"secrets": shamir.reconstruct(rows, threshold=threshold, field=field).tolist()}
        corrected = shamir.correct(rows, threshold=threshold, field=field)
        return {"secrets": corrected.secrets.tolist(), "wrong": sorted(corrected.wrong)}

    return _attempt(operation, run)


def _from_limbs(limbs: list[int]) -> Operation:
    operation = {"do": "from_limbs", "limbs": limbs}
    return _attempt(operation, lambda: {"secret": shamir.from_limbs(M31.vector(limbs)).hex()})


SPEC: dict[str, Any] = {
    "length": 6, "clip": 1.5, "clients": 3, "modulus": M31.modulus, "bits": 16, "max_weight": 8,
    "metrics": [["loss", 0.0, 4.0]], "counters": [["rows", 10**12]],
}  # fmt: skip


def encoding_of(spec: dict[str, Any]) -> Encoding:
    """The encoding that a vector file describes."""
    plain = {key: spec[key] for key in ("clients", "bits", "max_weight")}
    return Encoding(
        **plain,
        spans=uniform(spec["length"], spec["clip"]),
        field=PrimeField(spec["modulus"]),
        metrics=tuple(Metric(*metric) for metric in spec["metrics"]),
        counters=tuple(Counter(*counter) for counter in spec["counters"]),
    )


def encoding_vectors() -> Document:
    rand = SeededRandomness(b"vectors: encoding")
    field = PrimeField(SPEC["modulus"])
    updates = [
        [0.0, 1.5, -1.5, 0.25, -0.125, 1.0],
        [2.0, -3.0, 0.5, 0.0, 0.0009765625, -1.0],
        [0.75, 0.75, 0.75, -0.75, -0.75, 0.0],
    ]
    inputs = [
        (update, weight, 0.5 * weight, 10**12 - weight) for update, weight in zip(updates, (1, 8, 3), strict=True)
    ]
    encoded = [_encode(SPEC, *one, rand.child(str(place))) for place, one in enumerate(inputs)]
    total = field.zeros(len(encoded[0]["vector"]))
    for one in encoded:
        total = field.add(total, field.vector(one["vector"]))
    refused = [
        _encode(SPEC, [float("inf"), *updates[0][1:]], 1, 0.5, 1, rand),
        _encode(SPEC, updates[0][:-1], 1, 0.5, 1, rand),
        _encode(SPEC, updates[0], 9, 0.5, 1, rand),
        _encode(SPEC, updates[0], 1, 0.5, 10**12 + 1, rand),
        _encode(SPEC | {"clients": 5000}, updates[0], 1, 0.5, 1, rand),
        _encode(SPEC | {"bits": 33}, updates[0], 1, 0.5, 1, rand),
        _decode(total.tolist()[:-1]),
        _decode([0] * len(total)),
        _decode([M31.modulus - 1] * len(total)),
    ]
    operations = [*encoded, _decode(total.tolist()), *refused]
    return {"what": "updates, weights and counters <-> field vectors", "operations": operations}


def _encode(
    spec: dict[str, Any], update: list[float], weight: int, loss: float, rows: int, rand: SeededRandomness
) -> Operation:
    stream = Recording(rand)
    operation = {
        "do": "encode", "encoding": spec, "update": [str(value) for value in update], "weight": weight,
        "metrics": {"loss": loss}, "counters": {"rows": rows},
    }  # fmt: skip

    def run() -> Operation:
        vector = encoding_of(spec).encode(
            np.array(update, dtype=np.float32), weight=weight, metrics={"loss": loss}, counters={"rows": rows},
            rand=stream,
        )  # fmt: skip
        return {"randomness": stream.drawn.hex(), "vector": vector.tolist()}

    return _attempt(operation, run)


def _decode(vector: list[int]) -> Operation:
    def run() -> Operation:
        decoded = encoding_of(SPEC).decode_sum(M31.vector(vector))
        return {
            "mean": [float(value) for value in decoded.mean], "total_weight": decoded.total_weight,
            "clipped": decoded.clipped, "metrics": decoded.metrics, "counters": decoded.counters,
        }  # fmt: skip

    return _attempt({"do": "decode", "encoding": SPEC, "vector": vector}, run)


# secagg: one session, every message of it, and after each the ways in which it is refused

WITNESS = PartyId(1)  # whose messages, both ways, are also shown spoiled
Spoiled = tuple[str, Any]  # what is wrong, and the message


def session_vectors(variant: Variant) -> Document:
    """One party is lost before it masks, and party 0 before it reveals: in the active variant, a fallback."""
    active = variant is Variant.ACTIVE
    room = Room(
        clients=5 if active else 4,
        variant=variant,
        length=4,
        field=PrimeField.with_bits(26) if active else M61,
        seed=b"vectors: " + variant.value.encode(),
    )
    vanish = {room.parties[-1]: Round.MASKED_INPUT, room.parties[0]: Round.UNMASK}
    return Scribe(room, vanish).write()


class Scribe:
    """Holds the session and writes down every call, with what came of it. Another protocol's has its own `codec`,
    `client_of`, `spoil` and `out_of_place`."""

    codec: Codec = CODEC
    client_of: Any = Client

    def __init__(self, room: Any, vanish: Mapping[PartyId, StrEnum]) -> None:
        self._room, self._vanish = room, vanish
        self._streams = {me: Recording(room.rand.child(f"client {me}")) for me in room.parties}
        self._clients: dict[PartyId, Any] = {me: self._client(me) for me in room.parties}
        self._server = self._make_server()
        self._messages: list[Document] = []
        self._operations: list[Operation] = []

    def spoil(self, message: Any) -> Iterator[Spoiled]:
        return spoil(message)

    def out_of_place(self, message: Any) -> Any:
        return _out_of_place(message)

    def _make_server(self) -> Any:
        return self._room.server()

    def _client(self, me: PartyId) -> Any:
        room = self._room
        client = self.client_of(me, identity=room.identities[me], terms=room.terms, rand=self._streams[me])
        client.set_input(room.inputs[me])
        return client

    def write(self) -> Document:
        self._hold()
        room, subject, spec = self._room, self._room.params.subject, self._room.params.spec
        machines: dict[PartyId, Any] = {SERVER: self._server, **self._clients}
        return {
            "what": "one session: every message, who -> whom, and what is refused on the way",
            "session": {
                "protocol": room.params.protocol, "wire": room.params.wire, "variant": room.params.variant.value,
                "length": spec.length, "modulus": spec.field.modulus, "nonce": room.params.nonce.hex(),
                "colluding": room.params.colluding, "threshold": room.params.threshold, "cohort": room.params.cohort,
                "consortium": subject.consortium.hex(), "version": subject.version, "model": subject.model.hex(),
                "config": subject.config.hex(), "last_record": subject.last_record.hex(),
                "digest": room.params.digest.hex(),
                **({"accountable": True} if room.params.accountable else {}),
            },
            "coordinator": room.identities[SERVER].raw.hex(),
            "parties": [
                {
                    "party": me, "identity": room.identities[me].raw.hex(), "input": room.inputs[me].tolist(),
                    "randomness": self._streams[me].drawn.hex(),
                }
                for me in room.parties
            ],
            "messages": self._messages,
            "operations": self._operations,
            "outcomes": [{"who": name_of(who), **outcome_of(one.outcome)} for who, one in machines.items()],
        }  # fmt: skip

    def _hold(self) -> None:
        envelopes = self._note({"do": "start", "who": "server"}, SERVER, self._server.start())
        while envelopes:
            passed_on: list[tuple[int, Envelope]] = []
            for sender, place, message in list(self._to_clients(envelopes)):
                passed_on += self._to_server(sender, place, message)
            assert not list(self._to_clients(passed_on))
            if self._server.outcome is not None:
                return
            envelopes = self._note({"do": "close", "who": "server"}, SERVER, self._server.close_round())

    def _to_clients(self, sent: list[tuple[int, Envelope]]) -> Iterator[tuple[PartyId, int, Any]]:
        for place, envelope in sent:
            for party in envelope.recipients:
                message = envelope.message
                if party == WITNESS:
                    self._refuse(party, SERVER, message)
                answers = self._clients[party].receive(SERVER, message)
                operation = {"do": "receive", "who": party, "from": "server", "message": place}
                for at, answer in self._note(operation, party, answers):
                    yield party, at, answer.message

    def _to_server(self, sender: PartyId, place: int, message: Any) -> list[tuple[int, Envelope]]:
        """What the server passes on at once."""
        if message.round == self._vanish.get(sender):
            operation = {"do": "drop", "who": "server", "party": sender, "reason": DropReason.VANISHED.value}
            return self._note(operation, SERVER, self._server.drop(sender, DropReason.VANISHED))
        if sender == WITNESS:
            self._refuse(SERVER, sender, message)
        operation = {"do": "receive", "who": "server", "from": sender, "message": place}
        passed_on = self._note(operation, SERVER, self._server.receive(sender, message))
        if sender == WITNESS:
            self._show(SERVER, sender, "a second answer", self.codec.encode(message))
        return passed_on

    def _note(self, operation: Operation, who: PartyId, says: list[Envelope]) -> list[tuple[int, Envelope]]:
        first = len(self._messages)
        for envelope in says:
            self._messages.append(
                {
                    "from": name_of(who), "to": list(map(name_of, envelope.recipients)),
                    "class": type(envelope.message).__name__, "bytes": self.codec.encode(envelope.message).hex(),
                }
            )  # fmt: skip
        self._operations.append(operation | {"says": list(range(first, len(self._messages)))})
        return list(enumerate(says, start=first))

    def _refuse(self, who: PartyId, sender: PartyId, message: Any) -> None:
        """Before the good message, the ways to spoil it: on the wire, out of its round, and in what it says."""
        good = self.codec.encode(message)
        self._show(who, sender, "a byte left over", good + b"\0")
        self._show(who, sender, "cut", good[:-1])
        self._show(who, sender, "of another version", good[:1] + b"\2" + good[2:])
        self._show(who, sender, "a message of another round", self.codec.encode(self.out_of_place(message)))
        for note, spoiled in self.spoil(message):
            self._show(who, sender, note, self.codec.encode(spoiled))

    def _show(self, who: PartyId, sender: PartyId, note: str, data: bytes) -> None:
        machine = self._server if who == SERVER else self._clients[who]
        operation = {"do": "receive", "who": name_of(who), "from": name_of(sender), "note": note, "bytes": data.hex()}
        before = machine.snapshot()
        try:
            machine.receive(sender, self.codec.decode(data))
        except ProtocolError as exc:
            reason = exc.reason.value if isinstance(exc, PeerMisbehaved) else None
            self._operations.append(operation | {"success": False, "error": type(exc).__name__, "reason": reason})
        else:
            raise AssertionError(f"not refused: {note}")
        assert machine.snapshot() == before


def spoil(message: Any) -> Iterator[Spoiled]:
    """What is wrong -> the message with only that wrong. Nothing is signed again."""
    if getattr(message, "signature", b""):
        yield "another signature", replace(message, signature=bytes(64))
        yield "no signature", replace(message, signature=b"")
    yield from _spoil_of_server(message)
    yield from _spoil_of_client(message)


def _spoil_of_server(message: Any) -> Iterator[Spoiled]:
    match message:
        case Invitation(params):
            yield "another vector", Invitation(replace(params, spec=replace(params.spec, length=5)))
            yield "the wire of real sessions", Invitation(replace(params, wire=WIRE))
            foreign = replace(params.subject, model=bytes(32))
            yield "another model", Invitation(replace(params, subject=foreign))
        case Roster(entries):
            yield "without our entry", replace(message, entries=entries[:1] + entries[2:])
            yield "out of order", replace(message, entries=entries[::-1])
            one_key = replace(entries[-1], mask_key=entries[-1].channel_key)
            yield "one key twice", replace(message, entries=(*entries[:-1], one_key))
        case DeliverShares(u2=u2, bundles=bundles):
            yield "U2 without us", replace(message, u2=u2 - {WITNESS})
            yield "a bundle missing", replace(message, bundles=but_the_first(bundles))
            yield "no bundle opens", replace(message, bundles=dict.fromkeys(bundles, bytes(86)))
        case Survivors(u3):
            yield "another U3 than was signed", replace(message, u3=u3 | {PartyId(9)})
            yield "too few", replace(message, u3=frozenset({PartyId(0), WITNESS}))
        case UnmaskRequest(confirmations):
            yield "too few confirmations", UnmaskRequest(dict(list(confirmations.items())[:2]))
            yield "one of another", UnmaskRequest(confirmations | {PartyId(0): confirmations[WITNESS]})
            yield "from outside U3", UnmaskRequest(confirmations | {PartyId(4): bytes(64)})
        case FallbackRequest():
            yield "nobody", FallbackRequest(frozenset())
            yield "a survivor", FallbackRequest(frozenset({WITNESS}))
        case Result(included=included, vector=vector):
            yield "another sum", replace(message, vector=vector[:-1])
            yield "over more", replace(message, included=included | {PartyId(9)})


def _spoil_of_client(message: Any) -> Iterator[Spoiled]:
    match message:
        case AdvertiseKeys():
            yield "in another party's name", replace(message, client=PartyId(2))
            yield "a key of low order", replace(message, mask_key=bytes(32))
            yield "one key twice", replace(message, mask_key=message.channel_key)
        case ShareKeys(bundles=bundles):
            yield "a bundle missing", replace(message, bundles=but_the_first(bundles))
        case MaskedInput(masked):
            yield "too short", MaskedInput(masked[:-1])
            yield "too long", MaskedInput(masked + b"\0")
            yield "outside the field", MaskedInput(b"\xff" * len(masked))
        case UnmaskShares(reveals):
            yield "a reveal missing", UnmaskShares(but_the_first(reveals))
            yield "a leaf of a survivor", UnmaskShares(reveals | {PartyId(0): DroppedReveal(bytes(32))})
        case FallbackShares():
            yield "nothing", FallbackShares({})


def _out_of_place(message: Any) -> Any:
    """A small message that nobody waits for where `message` fits."""
    return FallbackShares({}) if not isinstance(message, FallbackShares) else Confirm(b"")


if __name__ == "__main__":
    for name, text in generate().items():
        (HERE / name).write_text(text)
