"""Real machines of one epoch in one room: a session after the other, each with its own model and inputs."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from conversation import Room

from mpc.hashing import digest
from mpc.randomness import Randomness
from protocols.epoch import Client, ClientEpoch, Server, ServerEpoch
from protocols.epoch.messages import CODEC
from protocols.errors import SERVER, PartyId
from protocols.exchange import Exchange, Tap
from protocols.ledger import NOTHING_ANSWERED, Ledger
from protocols.machine import Aborted, Aggregate, Finished, Machine
from protocols.messages import Round
from protocols.wire import PartySet


def parties(*numbers: int) -> PartySet:
    return frozenset(map(PartyId, numbers))


@dataclass
class EpochRoom(Room):
    """`clients` parties and a server that hold `rounds` sums after one set-up.

    step: how many sessions were begun. epochs, ledgers: of each party, as the last session left them. server_epoch: of
    the server.
    """

    rounds: int = 4
    step: int = 0
    epochs: dict[PartyId, ClientEpoch | None] = field(default_factory=dict)
    ledgers: dict[PartyId, Ledger] = field(default_factory=dict)
    server_epoch: ServerEpoch | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.params = replace(self.params, rounds_per_epoch=self.rounds)
        self.terms = replace(self.terms, rounds_per_epoch=self.rounds)

    def next_step(self) -> None:
        """Another model, nonce and inputs."""
        self.step += 1
        subject = replace(self.params.subject, model=digest("model", self.seed, self.step))
        self.params = replace(self.params, subject=subject, nonce=digest("nonce", self.seed, self.step))
        self.terms = replace(self.terms, subject=subject)
        drawn = self.rand.child(f"inputs {self.step}")
        self.inputs = {party: self.field.uniform(self.length, drawn) for party in self.parties}

    def epoch_client(self, me: PartyId, *, rand: Randomness | None = None, **given: Any) -> Client:
        """With its input set, and with what the session before left."""
        stream = rand or self.rand.child(f"client {me} of step {self.step}")
        built = {
            "terms": self.terms,
            "epoch": self.epochs.get(me),
            "ledger": self.ledgers.get(me, NOTHING_ANSWERED),
        } | given
        client = Client(me, identity=self.identities[me], rand=stream, **built)
        client.set_input(self.inputs[me])
        return client

    def epoch_server(self, present: PartySet | None = None, **given: Any) -> Server:
        members = {party: key for party, key in self.terms.members.items() if present is None or party in present}
        built = {"params": self.params, "members": members, "epoch": self.server_epoch} | given
        return Server(identity=self.identities[SERVER], **built)

    def machines(self) -> dict[PartyId, Machine]:
        """Those of the next session."""
        return {SERVER: self.epoch_server()} | {me: self.epoch_client(me) for me in self.parties}

    def hold(
        self,
        vanish: Mapping[int, Round] | None = None,
        *,
        tap: Tap | None = None,
        present: PartySet | None = None,
    ) -> "Held":
        """The next session, of those who are present, to its end."""
        self.next_step()
        there = [party for party in self.parties if present is None or party in present]
        machines: dict[PartyId, Machine] = {SERVER: self.epoch_server(present)}
        return self.hold_these(machines | {me: self.epoch_client(me) for me in there}, vanish, tap=tap)

    def hold_these(
        self, machines: Mapping[PartyId, Machine], vanish: Mapping[int, Round] | None = None, *, tap: Tap | None = None
    ) -> "Held":
        """The session that these machines were made for."""
        gone = {PartyId(party): round_ for party, round_ in (vanish or {}).items()}
        exchange = Exchange(machines, CODEC, vanish=gone, tap=tap)
        exchange.run()
        held = Held(self, dict(machines), exchange)
        self._keep(held)
        return held

    def _keep(self, held: "Held") -> None:
        self.server_epoch = held.server.epoch
        for party, machine in held.machines.items():
            if party != SERVER:
                self.epochs[party], self.ledgers[party] = machine.epoch, machine.ledger


class LaterRoom(EpochRoom):
    """As an `EpochRoom` whose first round is over: the session at hand begins with what that one left."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.hold().require_exact(*self.parties)
        self.next_step()


@dataclass
class Held:
    """A session that has been held. `machines` are all, lost ones too."""

    room: EpochRoom
    machines: dict[PartyId, Any]
    exchange: Exchange

    @property
    def server(self) -> Server:
        server: Server = self.machines[SERVER]
        return server

    def require_exact(self, *included: int) -> Aggregate:
        """The sum over exactly these, and everybody who is left has it too."""
        outcome = self.server.outcome
        assert isinstance(outcome, Finished), outcome
        assert outcome.aggregate.included == set(included)
        assert np.array_equal(outcome.aggregate.vector, self.room.plain_sum(outcome.aggregate.included))
        for party in self.server_told:
            told = self.machines[party].outcome
            assert isinstance(told, Finished), told
            assert np.array_equal(told.aggregate.vector, outcome.aggregate.vector)
        return outcome.aggregate

    @property
    def server_told(self) -> list[PartyId]:
        outcome = self.server.outcome
        assert isinstance(outcome, Finished)
        return [party for party in outcome.aggregate.included if party in self.exchange.machines]

    def require_no_result(self) -> None:
        left = self.exchange.machines.values()
        assert all(isinstance(machine.outcome, Aborted) for machine in left)
