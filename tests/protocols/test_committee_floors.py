"""What a client of a committee cannot see for itself, and so asks of the invitation."""

from dataclasses import replace

import pytest
from committee_room import CommitteeRoom

from protocols.committee.messages import Invitation
from protocols.errors import SERVER, DropReason, PartyId, PeerMisbehaved

CLIENT, AGGREGATOR = PartyId(0), PartyId(6)


def invited(party: PartyId, proposed: int, wanted: int) -> None:
    """A member that wants sums of so many inputs, in a session whose aggregators ask for `proposed`."""
    room = CommitteeRoom(clients=6, aggregators=4, colluding=1, losses=1)
    member = room.member(party, terms=replace(room.terms, cohort=wanted))
    member.receive(SERVER, Invitation(replace(room.params, cohort=proposed)))


def test_a_client_refuses_a_session_whose_sums_may_cover_fewer_than_its_terms_ask() -> None:
    with pytest.raises(PeerMisbehaved, match="at least 6") as refused:
        invited(CLIENT, proposed=3, wanted=6)
    assert refused.value.reason is DropReason.WRONG_SET


def test_it_takes_part_where_the_session_asks_for_as_many() -> None:
    invited(CLIENT, proposed=6, wanted=6)


def test_who_only_aggregates_holds_to_its_own_floor_later() -> None:
    invited(AGGREGATOR, proposed=3, wanted=6)
