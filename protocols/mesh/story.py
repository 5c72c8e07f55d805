"""The whole protocol as one readable function: no driver, no network, only who says what to whom, in order."""

from collections.abc import Callable, Mapping

from mpc.field import FieldVector
from mpc.keys import SigningKey
from mpc.randomness import Randomness
from protocols.errors import DropReason, PartyId
from protocols.machine import Aggregate, Envelope, Finished
from protocols.mesh.messages import (
    ExplicitShare,
    HeldInputs,
    HeldSums,
    Hello,
    Holders,
    Inputs,
    InputVote,
    Output,
    PartialSum,
    Ready,
    Recover,
    Roster,
    Share,
    Sums,
    SumVote,
)
from protocols.mesh.peer import Peer
from protocols.session import SessionParams, Terms


def story(
    inputs: Mapping[PartyId, FieldVector],
    *,
    params: SessionParams,
    terms: Terms,
    identities: Mapping[PartyId, SigningKey],
    rand: Callable[[PartyId], Randomness],
    lost_after_voting: PartyId | None = None,
) -> Aggregate:
    """The sum of `inputs`, as every peer learns it; that of a peer lost after the inputs were certified is in it.

    identities: of every party. rand: the randomness of each. lost_after_voting: any but the proposer, whose successor
    goes on when its driver says so. [PROTOCOLS 3C]
    """
    peers = {me: Peer(me, identity=identities[me], terms=terms, params=params, rand=rand(me)) for me in inputs}
    unheard: list[tuple[PartyId, Envelope]] = []

    def say(me: PartyId, envelopes: list[Envelope]) -> None:
        unheard.extend((me, envelope) for envelope in envelopes)

    def hear(kind: type) -> None:
        """Every message of this class reaches those whom it is for; what they answer is heard later."""
        due = [(sender, envelope) for sender, envelope in unheard if isinstance(envelope.message, kind)]
        unheard[:] = [one for one in unheard if one not in due]
        for sender, envelope in due:
            for recipient in envelope.recipients:
                say(recipient, peers[recipient].receive(sender, envelope.message))

    # Round 0: each shows its key, signed. The lowest of all proposes the roster.
    for me, vector in inputs.items():
        peers[me].set_input(vector)
        say(me, peers[me].start())
    hear(Hello)

    # Round 1: each checks the roster, draws a seed for everybody in it and deals shares of all its seeds, sealed.
    hear(Roster)
    hear(Share)

    # Round 2: each tells the proposer of whom it holds. U2 are those that hold of one another.
    hear(Ready)

    # Round 3: the input less what the seeds for U2 stand for. It says nothing as long as one honest column is closed.
    hear(Holders)
    hear(ExplicitShare)

    # Round 4: U3 is listed by the hashes of the explicit shares, and each who holds them all signs that, once.
    hear(HeldInputs)
    hear(Inputs)
    hear(InputVote)

    # Round 5: with t signatures each opens the sum, over U3, of its column. It opens no other sum.
    if lost_after_voting is not None:
        del peers[lost_after_voting]
        unheard[:] = [(sender, envelope) for sender, envelope in unheard if sender != lost_after_voting]
        for me, peer in peers.items():
            say(me, peer.drop(lost_after_voting, DropReason.VANISHED))
        unheard[:] = [(sender, _without(envelope, lost_after_voting)) for sender, envelope in unheard]
    hear(PartialSum)

    # Round 6: the same again about these sums. Who is not in the list is in L.
    hear(HeldSums)
    hear(Sums)
    hear(SumVote)

    # Round 7: the columns of L come from their dealers, or from t shares.
    hear(Recover)

    # Round 8: e and P and the columns of L, added up. All say the same.
    hear(Output)
    outcomes = [peer.outcome for peer in peers.values()]
    assert all(isinstance(outcome, Finished) for outcome in outcomes)
    (first, *_) = (outcome.aggregate for outcome in outcomes if isinstance(outcome, Finished))
    return first


def _without(envelope: Envelope, lost: PartyId) -> Envelope:
    return Envelope(tuple(one for one in envelope.recipients if one != lost), envelope.message)
