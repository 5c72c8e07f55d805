"""Every way in which several parties can cheat at once: nobody else is named, and whoever is named is convicted."""

from collections.abc import Iterator
from itertools import product

import pytest
from cheats import AccountableRoom, Cheat, Plan, held, require_exact
from conversation import Talk
from hypothesis import given
from hypothesis import strategies as st
from sessions import bounded

from mpc.keys import good_signatures_remembered
from protocols.accounts import check
from protocols.errors import PartyId
from protocols.evidence import Verdict
from protocols.machine import Finished
from protocols.messages import Round
from protocols.secagg.proofs import Offence

CHEATER, ONE_LOST = PartyId(1), {4: Round.MASKED_INPUT}
PAIRS = [(PartyId(0), PartyId(4)), (PartyId(1), PartyId(3)), (PartyId(0), PartyId(1))]


@pytest.fixture(autouse=True)
def _checked_once() -> Iterator[None]:
    with good_signatures_remembered():
        yield


def expected(plans: dict[PartyId, Plan], talk: Talk) -> set[Verdict]:
    """Who must be convicted, from what was planned and who answered, while the server got as far as the shares."""
    server, found = talk.server, set()
    for me, plan in plans.items():
        match plan.cheat:
            case Cheat.DEALS_BAD_SELF_SHARE if me in server.u3 and plan.target in server.u5:
                found.add(Verdict(me, Offence.WRONG_DEALING))
            case Cheat.REVEALS_WRONG_SHARE if me in server.u4 and plan.target in server.u3:
                found.add(Verdict(me, Offence.WRONG_SHARE))
            case Cheat.REVEALS_WRONG_SEED if me in server.u5 and plan.target in server.u2 - server.u3:
                found.add(Verdict(me, Offence.WRONG_SEED))
    return found


def require_only_cheaters_are_named(room: AccountableRoom, plans: dict[PartyId, Plan], lost: dict[int, Round]) -> None:
    """Nobody else, whoever lies how; everybody whose lie was used, where there is a sum; and the sum is exact."""
    talk = held(room, plans, lost)
    verdicts = set(talk.server.verdicts)
    assert {verdict.cheater for verdict in verdicts} <= plans.keys()
    assert {check(one, room.consortium) for one in talk.server.proofs} == verdicts
    assert {one.dealer for one in talk.server.disputes} <= plans.keys()  # no honest holder accuses an honest dealer
    if isinstance(talk.outcome, Finished):
        require_exact(talk, room, set(talk.server.u3))
        assert verdicts >= expected(plans, talk)
    elif len(plans) + len(lost) <= room.clients - room.t:
        unusable = {me for me, plan in plans.items() if plan.cheat is Cheat.COMMITS_TO_ANOTHER}
        assert unusable & {verdict.cheater for verdict in verdicts}


@pytest.mark.slow
def test_of_one_cheater_and_any_target_nobody_else_is_named() -> None:
    room = AccountableRoom(clients=4, length=2)
    for cheat, target in product(Cheat, room.parties[2:]):
        require_only_cheaters_are_named(room, {CHEATER: Plan(cheat, target)}, {})


def pairs_of_cheaters(room: AccountableRoom, among: list[tuple[PartyId, PartyId]]) -> Iterator[dict[PartyId, Plan]]:
    for (one, other), *chosen in product(among, Cheat, Cheat):
        targets = [PartyId(party) for party in room.parties if party != one], [p for p in room.parties if p != other]
        for first, second in product(*targets):
            yield {one: Plan(chosen[0], first), other: Plan(chosen[1], second)}


@pytest.mark.slow
@pytest.mark.parametrize("lost", [{}, ONE_LOST], ids=["all there", "one lost"])
def test_of_two_cheaters_with_every_lie_nobody_else_is_named(lost: dict[int, Round]) -> None:
    """One in twenty-six; all of them below. Party 4 is the one that is lost, and may have dealt a bad share."""
    room = AccountableRoom(length=2)
    for plans in list(pairs_of_cheaters(room, PAIRS[:2]))[::26]:
        require_only_cheaters_are_named(room, plans, lost)


@pytest.mark.slow
@pytest.mark.exhaustive
@pytest.mark.parametrize("lost", [{}, ONE_LOST], ids=["all there", "one lost"])
def test_the_same_for_every_pair_every_lie_and_every_target(lost: dict[int, Round]) -> None:
    room = AccountableRoom(length=2)
    for plans in pairs_of_cheaters(room, PAIRS):
        require_only_cheaters_are_named(room, plans, lost)


@st.composite
def conspiracies(draw: st.DrawFn) -> tuple[int, dict[PartyId, Plan], dict[int, Round]]:
    n = draw(st.integers(3, 10))
    party = st.integers(0, n - 1).map(PartyId)
    plans = draw(st.dictionaries(party, st.builds(Plan, st.sampled_from(Cheat), party), max_size=n))
    stages = st.sampled_from([Round.SHARE, Round.MASKED_INPUT, Round.CONFIRM, Round.UNMASK, Round.FALLBACK])
    lost = draw(st.dictionaries(st.integers(0, n - 1), stages, max_size=n // 2))
    return n, {me: plan for me, plan in plans.items() if plan.target != me or plan.cheat not in OWN_IS_ITS_OWN}, lost


OWN_IS_ITS_OWN = frozenset({Cheat.SEALS_ANOTHER})  # nothing is sealed for oneself


@pytest.mark.slow
@bounded(60)
@given(conspiracies())
def test_whoever_conspires_in_larger_sessions_nobody_else_is_named(
    drawn: tuple[int, dict[PartyId, Plan], dict[int, Round]],
) -> None:
    n, plans, lost = drawn
    with good_signatures_remembered():
        require_only_cheaters_are_named(AccountableRoom(clients=n, length=2), plans, lost)
