"""The whole protocol as one readable function: no driver, no network, only who says what to whom, in order."""

from collections.abc import Callable, Mapping

from mpc.field import FieldVector
from mpc.keys import SigningKey
from mpc.randomness import Randomness
from protocols.errors import SERVER, PartyId
from protocols.machine import Aggregate, Envelope, Finished
from protocols.secagg.client import Client
from protocols.secagg.server import Server
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
    """The sum of `inputs`; the input of a party lost after it shared its keys is not in it.

    identities: of every party, and under SERVER the coordinator's. rand: the randomness of each client. The active
    variant: the curious one has no round 3, and is refused with a ValueError.
    [Bonawitz et al., CCS 2017, figure 4]
    """
    if params.variant is not Variant.ACTIVE:
        raise ValueError("the story is that of the active variant")
    server = Server(params, identity=identities[SERVER], members=terms.members)
    clients = {me: Client(me, identity=identities[me], terms=terms, rand=rand(me)) for me in inputs}

    def ask(envelopes: list[Envelope]) -> None:
        """What the server says reaches the clients; what they answer reaches the server."""
        for envelope in envelopes:
            for recipient in envelope.recipients:
                for answer in clients[recipient].receive(SERVER, envelope.message):
                    server.receive(recipient, answer.message)

    # Round 0, AdvertiseKeys: each client checks the invitation against its own terms and answers with signed keys.
    ask(server.start())

    # Round 1, ShareKeys: the server shows everybody U1. Each checks it, and shares its two secrets among all of U1.
    roster = server.close_round()
    for me, vector in inputs.items():
        clients[me].set_input(vector)
    ask(roster)

    # Round 2, MaskedInputCollection: the bundles of U2 are opened, and only then the masked input leaves.
    bundles = server.close_round()
    if lost_before_masking is not None:
        bundles = [envelope for envelope in bundles if lost_before_masking not in envelope.recipients]
    ask(bundles)

    # Round 3, ConsistencyCheck: U3 is fixed, shown once and signed by everybody who is in it.
    survivors = server.close_round()
    if lost_before_masking is not None:
        del clients[lost_before_masking]
        survivors = [e for e in survivors if lost_before_masking not in e.recipients]  # nobody is left to be told
    ask(survivors)

    # Round 4, Unmasking: with t signatures on its own U3, a client reveals one secret of each member of U2.
    ask(server.close_round())

    # The masks come off, and everybody hears the sum.
    ask(server.close_round())
    assert isinstance(server.outcome, Finished)
    return server.outcome.aggregate
