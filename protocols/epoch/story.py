"""An epoch as one readable function: no driver, no network, only who says what to whom, in order."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from mpc.field import FieldVector
from mpc.keys import SigningKey
from mpc.randomness import Randomness
from protocols.epoch.client import Client
from protocols.epoch.epochs import ClientEpoch, ServerEpoch
from protocols.epoch.server import Server
from protocols.errors import SERVER, PartyId
from protocols.ledger import NOTHING_ANSWERED, Ledger
from protocols.machine import Aggregate, Envelope, Finished
from protocols.session import SessionParams, Terms


@dataclass(frozen=True, slots=True)
class Step:
    """One training step: what is summed, and each party's input and own terms."""

    inputs: Mapping[PartyId, FieldVector] = field(repr=False)
    params: SessionParams
    terms: Terms


def story(
    steps: Sequence[Step], *, identities: Mapping[PartyId, SigningKey], rand: Callable[[PartyId], Randomness]
) -> Iterator[Aggregate]:
    """The sum of the inputs of each step, in order.

    identities: of every party, and under SERVER the coordinator's. rand: the randomness of each client.
    [PROTOCOLS 3F; in each round Bonawitz et al., CCS 2017, figure 4]
    """
    server_epoch: ServerEpoch | None = None
    epochs: dict[PartyId, ClientEpoch | None] = {}
    ledgers: dict[PartyId, Ledger] = {}
    for step in steps:
        server = Server(step.params, identity=identities[SERVER], members=step.terms.members, epoch=server_epoch)
        clients = {
            me: Client(
                me, identity=identities[me], terms=step.terms, rand=rand(me),
                ledger=ledgers.get(me, NOTHING_ANSWERED), epoch=epochs.get(me),
            )
            for me in step.inputs
        }  # fmt: skip
        for me, vector in step.inputs.items():
            clients[me].set_input(vector)
        yield _hold(server, clients, set_up=server_epoch is None)
        # The round is over, for good: what is kept can open the rounds to come, and none that was.
        server_epoch = server.epoch
        epochs = {me: client.epoch for me, client in clients.items()}
        ledgers = {me: client.ledger for me, client in clients.items()}


def _hold(server: Server, clients: Mapping[PartyId, Client], *, set_up: bool) -> Aggregate:
    def ask(envelopes: list[Envelope]) -> None:
        """What the server says reaches the clients; what they answer reaches the server."""
        for envelope in envelopes:
            for recipient in envelope.recipients:
                for answer in clients[recipient].receive(SERVER, envelope.message):
                    server.receive(recipient, answer.message)

    started = server.start()
    if set_up:
        # AdvertiseKeys: each client answers the invitation with the keys of all rounds, under one signature.
        ask(started)
        # ShareKeys: everybody sees U1, and shares the two secrets of every round in one bundle a peer.
        ask(server.close_round())
        started = server.close_round()

    # RoundStart: what is summed and over whom, signed. A client takes its keys of this round out of the epoch, moves
    # the epoch on, and the masked input leaves. In the first round it opens the bundles before.
    ask(started)

    # Confirm, UnmaskShares and the sum: as in a single session.
    ask(server.close_round())
    ask(server.close_round())
    ask(server.close_round())
    assert isinstance(server.outcome, Finished)
    return server.outcome.aggregate
