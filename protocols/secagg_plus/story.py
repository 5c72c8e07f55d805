"""The whole protocol as one readable function: no driver, no network, only who says what to whom, in order."""

from collections.abc import Callable, Mapping

from mpc.field import FieldVector
from mpc.keys import SigningKey
from mpc.randomness import Randomness
from protocols.errors import SERVER, PartyId
from protocols.machine import Aggregate, Envelope, Finished
from protocols.secagg_plus.client import Client
from protocols.secagg_plus.server import Server
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
    variant: the curious one chooses and confirms nothing, and is refused with a ValueError.
    [PROTOCOLS 3B, K; Bell et al., CCS 2020]
    """
    if params.variant is not Variant.ACTIVE:
        raise ValueError("the story is that of the active variant")
    server = Server(params, identity=identities[SERVER], members=terms.members)
    clients = {me: Client(me, identity=identities[me], terms=terms, rand=rand(me)) for me in inputs}
    for me, vector in inputs.items():
        clients[me].set_input(vector)

    def ask(envelopes: list[Envelope]) -> None:
        """What the server says reaches the clients that are there; what they answer reaches the server."""
        for envelope in envelopes:
            for recipient in envelope.recipients:
                if recipient in clients:
                    for answer in clients[recipient].receive(SERVER, envelope.message):
                        server.receive(recipient, answer.message)

    # Round 0, AdvertiseKeys: each client checks the invitation against its own terms and answers with signed keys.
    ask(server.start())

    # Round 0b, ChooseHolders: the server shows U1 and a root over its keys. Each client works out k and t from its own
    # terms, and draws the k parties that are to hold its shares; nobody else has a hand in it.
    ask(server.close_round())

    # Round 1, ShareKeys: the server tells each who drew it, and shows the keys of its peers, with their paths to the
    # root. Each shares its two secrets among its holders.
    ask(server.close_round())

    # Round 2, MaskedInput: the bundles of U2 are opened, and only then the masked input leaves, signed under U2. Masks
    # are with those that a client drew and those that drew it.
    if lost_before_masking is not None:
        del clients[lost_before_masking]
    ask(server.close_round())

    # Round 3, Confirm: U3 is fixed, shown once with what the peers in it signed, and signed by everybody in it.
    ask(server.close_round())

    # Round 4, Unmask: with t signatures of its own holders on its own U3, a client reveals one share of each owner.
    ask(server.close_round())

    # The masks come off, and everybody hears the sum.
    ask(server.close_round())
    assert isinstance(server.outcome, Finished)
    return server.outcome.aggregate
