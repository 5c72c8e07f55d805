"""No session tells a secret: nothing that its machines are made of prints one, and no error names one.

Sessions of every protocol, held in disorder and with changed messages, so that much is refused. At each step everything
that a machine holds is printed, and so is every error that was ever made; then all randomness that was drawn, every
secret that was held and every input are looked for in the text.
"""

import gc
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from random import Random
from typing import Any

import numpy as np
import pytest
from cases import CASES, AnyRoom, Case
from driving import Muddle, hold
from secret_forms import forms
from test_record_families import Drawn

from mpc.keys import _Secret
from mpc.prg import Seed
from protocols.errors import LocalProtocolError, PartyId, PeerMisbehaved, ProtocolError, WireError
from protocols.machine import Envelope

OURS = ("mpc.", "protocols.")
CONTAINERS = (dict, list, tuple, set, frozenset)
PUBLIC = ("tls_root", "signature", "digest", "config_digest", "sealed", "bundles", "commitments")
"""Fields that are long, and no secret: of cards and consortium files, sealed, or committed to."""
LEAST = 16  # bytes: anything shorter may be in a text by chance

QUICK = {"secagg-active", "secagg+-active", "epoch-later", "lightsecagg-active", "committee"}

every_case = pytest.mark.parametrize(
    "case", [pytest.param(case, id=case.name, marks=() if case.name in QUICK else pytest.mark.slow) for case in CASES]
)


def reachable(start: object) -> Iterator[object]:
    """Everything of our packages that hangs on this object, by its fields and through containers; itself first."""
    seen, waiting = set[int](), [start]
    while waiting:
        one = waiting.pop()
        ours = type(one).__module__.startswith(OURS)
        if id(one) in seen or not (ours or isinstance(one, CONTAINERS)):
            continue
        seen.add(id(one))
        if ours:
            yield one
        waiting += gc.get_referents(one)


def hidden(one: Any) -> Iterator[bytes]:
    """What the fields of a dataclass hold that it does not show: then nothing else may show it either."""
    for each in fields(one) if is_dataclass(one) else ():
        if not each.repr and each.name not in PUBLIC:
            held = getattr(one, each.name)
            yield from (held,) if isinstance(held, bytes) else ()
            yield from (part for part in held.values() if isinstance(part, bytes)) if isinstance(held, dict) else ()


def elements(vector: Any) -> set[str]:
    """What the beginning of a vector looks like in a text."""
    first = vector[:4].tolist()
    return {" ".join(map(str, first)), ", ".join(map(str, first))}


class Told:
    """All texts of a session, and all that must be in none of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.texts: set[str] = set()
        self.errors: list[ProtocolError] = []
        self.secrets: set[bytes] = set()
        self._drawn = Drawn(monkeypatch).secrets
        make, errors = ProtocolError.__new__, self.errors

        def noted(cls: type[ProtocolError], *given: Any) -> ProtocolError:
            error = make(cls, *given)
            errors.append(error)
            return error

        monkeypatch.setattr(ProtocolError, "__new__", noted)

    def look_at(self, machine: object) -> None:
        for one in reachable(machine):
            self.texts.add(repr(one))
            if isinstance(one, Seed | _Secret):
                self.secrets.add(one.raw)
            self.secrets |= set(hidden(one))

    def everything(self) -> str:
        return "\n".join(self.texts | {text for error in self.errors for text in texts_of(error)})

    def wanted(self, room: AnyRoom) -> set[str]:
        """What none of it may hold."""
        secrets = self.secrets | {identity.raw for identity in room.identities.values()} | self._drawn
        wanted = {form for secret in secrets if len(secret) >= LEAST for form in forms(secret)}
        for vector in room.inputs.values():
            assert np.any(vector)
            packed = room.field.pack(vector)
            wanted |= elements(vector) | forms(packed[:32]) | forms(vector.tobytes()[:32])
        return wanted


def found(wanted: set[str], text: str) -> set[str]:
    """Which of these stand in the text, however its lines are broken."""
    plain = " ".join(text.split())
    return {form for form in wanted if form in plain}


def texts_of(error: BaseException) -> Iterator[str]:
    """Its text and that of all that it came from."""
    yield from (str(error), repr(error))
    for before in (error.__cause__, error.__context__):
        if before is not None:
            yield from texts_of(before)


class Watched(Muddle):
    """A disorder in which each machine is looked at after each of its calls, and so is all that it says."""

    def __init__(self, told: Told, room: AnyRoom, case: Case, chance: Random) -> None:
        self._told = told
        super().__init__(room, case, chance, flips=True)

    def _post(self, sender: PartyId, envelopes: list[Envelope]) -> None:
        self._told.look_at([self.machines[sender], envelopes])
        super()._post(sender, envelopes)


def in_order(told: Told, room: AnyRoom, case: Case) -> None:
    """The same for a session that loses a party when its input leaves, so that what it left is opened."""
    machines = room.machines()

    def look(sender: PartyId, recipient: PartyId, data: bytes) -> None:
        told.look_at([machines[sender], case.family.codec.decode(data)])

    hold(room, case, {3: case.family.input_stage}, machines=machines, tap=look)
    told.look_at(list(machines.values()))


def require_found_where_told(told: Told, room: AnyRoom) -> None:
    wanted, party = told.wanted(room), room.parties[0]
    secret, vector = room.identities[party].raw, room.inputs[party]
    for leak in (vector, vector.tolist(), secret, secret.hex(), max(told.secrets)):
        assert found(wanted, told.everything() + repr({"of": leak}))


@every_case
def test_nothing_that_a_session_is_made_of_prints_a_secret(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    told, room, orderly = Told(monkeypatch), case.make(length=40), case.make(length=40, seed=b"in order")
    Watched(told, room, case, Random(7)).run(disorder=60)  # noqa: S311  # what comes next is no secret
    in_order(told, orderly, case)
    assert len(told.texts) > 50
    assert len(told.secrets) > 10  # held by somebody at some time
    assert any(isinstance(error, PeerMisbehaved) for error in told.errors)
    for one in (room, orderly):
        assert found(told.wanted(one), told.everything()) == set()
        require_found_where_told(told, one)


def test_a_state_that_prints_its_seed_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Seed, "__repr__", lambda seed: f"Seed({seed.raw!r})")
    case = next(case for case in CASES if case.name == "secagg-active")
    told, room = Told(monkeypatch), case.make(length=40)
    Watched(told, room, case, Random(7)).run()  # noqa: S311
    assert found(told.wanted(room), told.everything())


def test_an_error_that_names_a_secret_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    told, room = Told(monkeypatch), next(iter(CASES)).make(length=40)
    secret = room.identities[room.parties[0]].raw
    try:
        try:
            raise WireError(f"no such key: {secret.hex()}")
        except WireError as exc:
            raise LocalProtocolError("no message") from exc
    except LocalProtocolError:
        pass
    assert found(told.wanted(room), told.everything())
