"""The whole protocol as one readable function: no driver, no network, only who says what to whom, in order."""

from collections.abc import Callable, Mapping

from mpc.field import FieldVector
from mpc.keys import SigningKey
from mpc.randomness import Randomness
from protocols.committee.member import Member
from protocols.committee.server import Server
from protocols.errors import SERVER, PartyId
from protocols.machine import Aggregate, Envelope, Finished
from protocols.session import SessionParams, Terms


def story(
    inputs: Mapping[PartyId, FieldVector],
    *,
    params: SessionParams,
    terms: Terms,
    identities: Mapping[PartyId, SigningKey],
    rand: Callable[[PartyId], Randomness],
    lost_after_contributing: PartyId | None = None,
) -> Aggregate:
    """The sum of `inputs`; also of a client that is lost after it contributed, where it does not aggregate.

    identities: of every member, and under SERVER the coordinator's. rand: the randomness of each member.
    """
    server = Server(params, identity=identities[SERVER], members=terms.members)
    members = {me: Member(me, identity=identities[me], terms=terms, rand=rand(me)) for me in terms.members}

    def carry(envelopes: list[Envelope]) -> None:
        """What the server says reaches the members; what they answer reaches the server, which may send it on."""
        for envelope in envelopes:
            for recipient in envelope.recipients:
                if recipient in members:
                    for answer in members[recipient].receive(SERVER, envelope.message):
                        carry(server.receive(recipient, answer.message))

    # Round 0, the committee's keys: fresh for this session, signed by each aggregator, bound to a nonce not yet known.
    carry(server.start())

    # Round 1, the card: each client checks it, shares its input, seals one piece for each aggregator, and is done. The
    # server sends every piece on at once.
    card = server.close_round()
    for me, vector in inputs.items():
        members[me].set_input(vector)
    carry(card)
    if lost_after_contributing is not None:
        del members[lost_after_contributing]

    # Round 2, receipts: the server offers what came, each aggregator signs which of it it holds, and opens its nonce.
    carry(server.close_round())

    # Round 3, vows: the challenge follows from the receipts. Each aggregator signs the one that it will answer.
    carry(server.close_round())

    # Round 4, the degree check: with q vows for the same challenge, each gives its combinations of every share.
    carry(server.close_round())

    # Round 5, the certificate: whose values are on polynomials is U, for all alike. Each signs it, once.
    carry(server.close_round())

    # Round 6, the sum: with q signatures on U, each adds up its shares of U, once.
    carry(server.close_round())

    # The sums are shares of the sum. All hear it, with the certificate.
    carry(server.close_round())
    assert isinstance(server.outcome, Finished)
    return server.outcome.aggregate
