"""Accountable sessions: who cheated is proven to whoever has the consortium's file, and the sum stands where it can."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from cheats import AccountableRoom, Cheat, Plan, held, require_exact, spoiled
from conversation import Talk

from mpc.keys import good_signatures_remembered
from protocols.accounts import check, proof_from_bytes, proof_to_bytes
from protocols.errors import SERVER, AbortReason, DropReason, PartyId, PeerMisbehaved
from protocols.evidence import Verdict
from protocols.machine import Aborted
from protocols.messages import Invitation, Round
from protocols.roster import ConsortiumError
from protocols.secagg import Dispute, Server, vouching
from protocols.secagg.proofs import Offence
from protocols.session import Variant

CHEATER, TARGET, LOST = PartyId(1), PartyId(2), PartyId(4)
ONE_LOST = {4: Round.MASKED_INPUT}
AND_A_SURVIVOR = {6: Round.MASKED_INPUT, 5: Round.UNMASK}


@pytest.fixture(autouse=True)
def _checked_once() -> Iterator[None]:
    with good_signatures_remembered():
        yield


def require_proven(talk: Talk, room: AccountableRoom, *verdicts: Verdict) -> None:
    """Exactly these, each by a proof that stands before the consortium's file after it went through bytes."""
    assert talk.server.verdicts == talk.server.evidence.verdicts == verdicts
    shown = [proof_from_bytes(proof_to_bytes(one)) for one in talk.server.proofs]
    assert {check(one, room.consortium) for one in shown} == set(verdicts)
    assert len(shown) == len(verdicts)


# One cheater


def test_a_session_of_honest_parties_has_its_sum_and_no_verdict() -> None:
    room = AccountableRoom(clients=7)
    talk = held(room, {}, AND_A_SURVIVOR)
    require_exact(talk, room, {0, 1, 2, 3, 4, 5})
    require_proven(talk, room)
    assert not talk.server.disputes


def test_a_dealer_that_vouches_for_a_bad_share_is_convicted_and_the_sum_stands() -> None:
    room = AccountableRoom()
    talk = held(room, {CHEATER: Plan(Cheat.DEALS_BAD_SELF_SHARE, TARGET)})
    require_exact(talk, room, {0, 1, 2, 3, 4})
    require_proven(talk, room, Verdict(CHEATER, Offence.WRONG_DEALING))
    assert not talk.server.disputes  # the holder it was dealt to is in none, as it would be without roots
    assert not talk.server.dropped


def test_the_bad_share_is_found_although_the_lowest_t_are_right() -> None:
    room = AccountableRoom()
    talk = held(room, {CHEATER: Plan(Cheat.DEALS_BAD_SELF_SHARE, PartyId(4))})
    require_exact(talk, room, {0, 1, 2, 3, 4})
    require_proven(talk, room, Verdict(CHEATER, Offence.WRONG_DEALING))


def test_a_dealer_that_commits_to_another_secret_is_convicted_and_there_is_no_sum() -> None:
    room = AccountableRoom()
    talk = held(room, {CHEATER: Plan(Cheat.COMMITS_TO_ANOTHER, TARGET)})
    assert talk.outcome == Aborted(AbortReason.UNMASK_INCONSISTENT, accused=CHEATER)
    require_proven(talk, room, Verdict(CHEATER, Offence.WRONG_DEALING))


def test_a_lost_dealer_is_convicted_by_its_shares_of_the_mask_secret() -> None:
    room = AccountableRoom(clients=7)
    talk = held(room, {PartyId(6): Plan(Cheat.DEALS_BAD_MASK_SHARE, TARGET)}, AND_A_SURVIVOR)
    require_exact(talk, room, {0, 1, 2, 3, 4, 5})
    require_proven(talk, room, Verdict(PartyId(6), Offence.WRONG_DEALING))


def test_a_dealer_that_seals_something_else_loses_its_holder_and_nothing_is_proven() -> None:
    """The holder knows, and cannot show it: a bundle opens under a key that both have (`docs/decisions/0022`)."""
    room = AccountableRoom()
    talk = held(room, {CHEATER: Plan(Cheat.SEALS_ANOTHER, TARGET)})
    require_exact(talk, room, {0, 1, 3, 4})
    require_proven(talk, room)
    assert talk.server.disputes == {Dispute(dealer=CHEATER, holder=TARGET)}
    assert talk.machines[TARGET].outcome == Aborted(AbortReason.REFUSED, DropReason.BAD_BUNDLE, CHEATER)


@pytest.mark.parametrize("lost", [{}, ONE_LOST], ids=["all there", "one lost"])
def test_a_holder_that_reveals_a_wrong_share_is_convicted_and_not_missed(lost: dict[int, Round]) -> None:
    room = AccountableRoom()
    talk = held(room, {CHEATER: Plan(Cheat.REVEALS_WRONG_SHARE, TARGET)}, lost)
    require_exact(talk, room, {0, 1, 2, 3, 4} - lost.keys())
    require_proven(talk, room, Verdict(CHEATER, Offence.WRONG_SHARE))
    assert talk.server.dropped[CHEATER] == (Round.UNMASK, DropReason.BAD_SHARE)
    assert not talk.server.disputes


def test_wrong_shares_are_no_errors_to_be_corrected_any_t_right_ones_are_enough() -> None:
    """Four of seven: three wrong ones, where decoding alone corrects one."""
    room = AccountableRoom(clients=7, length=2)
    liars = [PartyId(party) for party in range(3)]
    talk = held(room, {liar: Plan(Cheat.REVEALS_WRONG_SHARE, PartyId(5)) for liar in liars})
    require_exact(talk, room, set(range(7)))
    require_proven(talk, room, *(Verdict(liar, Offence.WRONG_SHARE) for liar in liars))
    one_more = held(room, {liar: Plan(Cheat.REVEALS_WRONG_SHARE, PartyId(5)) for liar in [*liars, PartyId(3)]})
    assert one_more.outcome == Aborted(AbortReason.TOO_FEW)


def test_a_survivor_that_reveals_a_wrong_leaf_seed_is_convicted_by_the_key_of_the_lost_party() -> None:
    room = AccountableRoom()
    talk = held(room, {CHEATER: Plan(Cheat.REVEALS_WRONG_SEED, LOST)}, ONE_LOST)
    require_exact(talk, room, {0, 1, 2, 3})
    require_proven(talk, room, Verdict(CHEATER, Offence.WRONG_SEED))
    assert talk.server.dropped[CHEATER] == (Round.UNMASK, DropReason.BAD_SHARE)


def test_a_holder_that_lies_in_the_fallback_is_convicted_and_not_missed() -> None:
    room = AccountableRoom(clients=7)
    talk = held(room, {CHEATER: Plan(Cheat.REVEALS_WRONG_MASK_SHARE, PartyId(6))}, AND_A_SURVIVOR)
    require_exact(talk, room, {0, 1, 2, 3, 4, 5})
    require_proven(talk, room, Verdict(CHEATER, Offence.WRONG_SHARE))
    assert talk.server.dropped[CHEATER] == (Round.FALLBACK, DropReason.BAD_SHARE)


@pytest.mark.parametrize("cheat", [Cheat.SIGNS_ITS_OWN_DIGEST, Cheat.DOES_NOT_SIGN])
def test_who_does_not_sign_beside_what_it_accepted_is_refused_as_if_it_were_silent(cheat: Cheat) -> None:
    room = AccountableRoom()
    talk = held(room, {CHEATER: Plan(cheat, TARGET)}, ONE_LOST)
    require_exact(talk, room, {0, 1, 2, 3})
    require_proven(talk, room)
    assert talk.server.dropped[CHEATER] == (Round.UNMASK, DropReason.BAD_SIGNATURE)


def test_verdicts_and_their_proofs_outlive_the_servers_process() -> None:
    room = AccountableRoom()
    talk = held(room, {CHEATER: Plan(Cheat.REVEALS_WRONG_SHARE, TARGET)})
    again = Server.restore(talk.server.snapshot(), identity=room.identities[SERVER])
    assert again.proofs == talk.server.proofs
    assert again.verdicts == talk.server.verdicts


# What is agreed


@pytest.mark.parametrize(
    "changes",
    [{"protocol": "mesh", "coordinator": None}, {"variant": Variant.CURIOUS}, {"rounds_per_epoch": 2}],
)
def test_only_sessions_whose_dealers_sign_can_be_accountable(changes: dict[str, Any]) -> None:
    room = AccountableRoom()
    with pytest.raises(ConsortiumError, match="accountable sessions are of secagg or secagg"):
        replace(room.consortium, **changes)
    params = {name: value for name, value in changes.items() if name != "coordinator"}
    with pytest.raises(ValueError, match="accountable sessions are of secagg or secagg"):
        replace(room.params, **params)


def test_a_party_that_asks_for_accountability_takes_part_in_no_other_session_and_the_other_way_round() -> None:
    room = AccountableRoom()
    for offered, asked in ((False, True), (True, False)):
        client = room.client(CHEATER, accountable=asked)
        with pytest.raises(PeerMisbehaved, match="its accountability is not the one that we hold"):
            client.receive(SERVER, Invitation(replace(room.params, accountable=offered)))


def test_a_share_changed_in_the_bundle_changes_its_digest() -> None:
    both = bytes(70)
    for of_self in (True, False):
        changed = vouching.digests_of(CHEATER, TARGET, spoiled(both, of_self=of_self))
        true = vouching.digests_of(CHEATER, TARGET, both)
        assert (changed[:32] != true[:32]) == of_self
        assert (changed[32:] != true[32:]) != of_self
