"""The whole protocol as one readable function: no driver, no network, only who says what to whom, in order."""

from collections.abc import Callable, Mapping

from mpc.field import FieldVector
from mpc.keys import SigningKey
from mpc.randomness import Randomness
from protocols.errors import SERVER, PartyId
from protocols.lightsecagg.client import Client
from protocols.lightsecagg.server import Server
from protocols.machine import Aggregate, Envelope, Finished
from protocols.session import SessionParams, Terms, Variant


def story(
    inputs: Mapping[PartyId, FieldVector],
    *,
    params: SessionParams,
    terms: Terms,
    identities: Mapping[PartyId, SigningKey],
    rand: Callable[[PartyId], Randomness],
    lost_before_masking: PartyId | None = None,
) -> Aggregate:
    """The sum of `inputs`; the input of a party lost after it dealt its pieces is not in it.

    identities: of every party, and under SERVER the coordinator's. rand: the randomness of each client. The active
    variant: the curious one has no round 3, and is refused with a ValueError.
    [LightSecAgg, MLSys 2022, algorithm 1; PROTOCOLS 3E]
    """
    if params.variant is not Variant.ACTIVE:
        raise ValueError("the story is that of the active variant")
    server = Server(params, identity=identities[SERVER], members=terms.members)
    clients = {me: Client(me, identity=identities[me], terms=terms, rand=rand(me)) for me in inputs}

    def ask(envelopes: list[Envelope]) -> None:
        """What the server says reaches the clients; what they answer reaches the server, which may pass it on."""
        for envelope in envelopes:
            for recipient in envelope.recipients:
                for answer in clients[recipient].receive(SERVER, envelope.message):
                    passed_on.extend(server.receive(recipient, answer.message))

    passed_on: list[Envelope] = []

    # Round 0: each client checks the invitation against its own terms and answers with a signed key.
    ask(server.start())

    # Round 1: the server shows everybody U1. Each cuts a fresh mask in U - T pieces, puts T pieces of noise behind
    # them, and sends every other one value of the polynomials through all of these, sealed. No input is needed yet.
    ask(server.close_round())
    ask(passed_on)

    # Round 2: all pieces of U2 are opened, and only then the input under the mask leaves.
    for me, vector in inputs.items():
        clients[me].set_input(vector)
    dealers = server.close_round()
    if lost_before_masking is not None:
        del clients[lost_before_masking]
    ask([_without(envelope, lost_before_masking) for envelope in dealers])

    # Round 3: U3 is fixed, shown once and signed by everybody who is in it.
    ask([_without(envelope, lost_before_masking) for envelope in server.close_round()])

    # Round 4: with q signatures on its own U3, each gives the sum, over U3, of the pieces that it holds.
    ask(server.close_round())

    # Any U of these sums are values of the polynomial through the sum of the masks. It comes off.
    ask(server.close_round())
    assert isinstance(server.outcome, Finished)
    return server.outcome.aggregate


def _without(envelope: Envelope, lost: PartyId | None) -> Envelope:
    return Envelope(tuple(one for one in envelope.recipients if one != lost), envelope.message)
