"""Accountable sessions over a sparse graph: the same dealers, holders and proofs; the roster is a tree there."""

from collections.abc import Iterator

import pytest
from cheats import AccountablePlusRoom, Cheat, Plan, held, require_exact

from mpc.keys import good_signatures_remembered
from protocols.accounts import NotProven, check, judge, proof_from_bytes, proof_to_bytes
from protocols.errors import AbortReason, DropReason, PartyId
from protocols.evidence import Verdict
from protocols.machine import Aborted
from protocols.secagg import Dispute
from protocols.secagg.proofs import Offence
from protocols.secagg_plus.degrees import graph_for
from protocols.secagg_plus.messages import CODEC, Round

CHEATER, TARGET, LOST = PartyId(1), PartyId(2), PartyId(6)
ONE_LOST = {6: Round.MASKED_INPUT}


@pytest.fixture(autouse=True)
def _checked_once() -> Iterator[None]:
    with good_signatures_remembered():
        yield


@pytest.mark.parametrize(
    ("who", "cheat", "target", "verdict"),
    [
        (CHEATER, Cheat.DEALS_BAD_SELF_SHARE, TARGET, Offence.WRONG_DEALING),
        (LOST, Cheat.DEALS_BAD_MASK_SHARE, TARGET, Offence.WRONG_DEALING),
        (CHEATER, Cheat.REVEALS_WRONG_SHARE, TARGET, Offence.WRONG_SHARE),
        (CHEATER, Cheat.REVEALS_WRONG_MASK_SHARE, LOST, Offence.WRONG_SHARE),
    ],
)
def test_a_cheater_is_convicted_and_the_sum_stands(
    who: PartyId, cheat: Cheat, target: PartyId, verdict: Offence
) -> None:
    room = AccountablePlusRoom(clients=7, length=2)
    talk = held(room, {who: Plan(cheat, target)}, ONE_LOST, CODEC)
    require_exact(talk, room, {0, 1, 2, 3, 4, 5})
    assert talk.server.verdicts == (Verdict(who, verdict),)
    (proof,) = talk.server.proofs
    shown = proof_from_bytes(proof_to_bytes(proof))
    assert check(shown, room.consortium) == Verdict(who, verdict)
    members = dict(room.terms.members)
    with pytest.raises(NotProven):
        judge(shown, {**members, who: members[PartyId(0)]})
    assert not talk.server.disputes


def test_what_was_sealed_otherwise_is_a_dispute_and_the_holder_leaves() -> None:
    room = AccountablePlusRoom(clients=7, length=2)
    talk = held(room, {CHEATER: Plan(Cheat.SEALS_ANOTHER, TARGET)}, {}, CODEC)
    require_exact(talk, room, {0, 1, 3, 4, 5, 6})
    assert talk.server.disputes == {Dispute(CHEATER, TARGET)}
    assert talk.machines[TARGET].outcome == Aborted(AbortReason.REFUSED, DropReason.BAD_BUNDLE, CHEATER)
    assert not talk.server.verdicts


@pytest.mark.slow
def test_where_nobody_holds_of_everybody_a_dealer_and_a_holder_are_convicted_alike() -> None:
    room = AccountablePlusRoom(clients=40, colluding=2, losses=2, length=2)
    assert graph_for(room.params, 40).degree < 39
    honest = held(room, {}, {}, CODEC)
    graph = honest.server._graph
    dealer = next(party for party in room.parties if party not in (0, 1) and 0 in graph.holders(party))
    plans = {
        dealer: Plan(Cheat.DEALS_BAD_SELF_SHARE, PartyId(0)),
        CHEATER: Plan(Cheat.REVEALS_WRONG_SHARE, min(graph.owners(CHEATER) - {dealer})),
    }
    talk = held(room, plans, {}, CODEC)
    require_exact(talk, room, set(range(40)))
    assert set(talk.server.verdicts) == {
        Verdict(dealer, Offence.WRONG_DEALING), Verdict(CHEATER, Offence.WRONG_SHARE)
    }  # fmt: skip
    assert {check(one, room.consortium) for one in talk.server.proofs} == set(talk.server.verdicts)
