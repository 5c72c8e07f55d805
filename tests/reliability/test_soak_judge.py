"""Each rule of the judge, by a story that keeps it and one that breaks it."""

import pytest

from benchmarks.reliability.child import BROKE_DOWN
from benchmarks.reliability.excuses import Excuses
from benchmarks.reliability.faults import Fault, FaultPlan
from benchmarks.reliability.judge import _OPENED, judge
from benchmarks.reliability.proxy import Struck
from benchmarks.reliability.story import Ended, Failed, Happening, Reported, Sent, Story, Summed, Told
from net.events import Happened
from protocols.families import FAMILIES

PLAN = FaultPlan.parse("secagg active 5 1 1 1 3:")
MESH = FaultPlan.parse("mesh active 5 0 1 1 3:")
ALL = frozenset(range(5))


def struck(text, at, until=None):
    return Struck(Fault.parse(text), at, at if until is None else until)


def session(step, begin, included=ALL, who=None):
    """Half a second long; with its sum at everybody who was in it."""
    absent = frozenset()
    told = [Told(who, Summed(begin + 0.4, step, included, True))] if included else []
    report = Reported(begin, begin + 0.5, step, frozenset(included), absent, (), bool(included))
    return [*told, Told(who, report)]


def ends(at=10.0, *, stopped=(), statuses=None):
    statuses = statuses or {}
    return [Told(who, Ended(at, statuses.get(who, 0), who in stopped)) for who in (None, *range(5))]


def training(*sessions, strikes=(), more=(), models=None, ending=None):
    """Three steps unless something else is told: the facts of a whole story."""
    told = [fact for one in sessions for fact in one]
    sums = {fact.fact.fl_round: sorted(fact.fact.included) for fact in told if isinstance(fact.fact, Summed)}
    model = [sums[step] for step in sorted(sums)]
    stored = dict.fromkeys((None, *range(5)), model)
    return Story([*told, *more, *(ends() if ending is None else ending)], list(strikes), models=stored | (models or {}))


CALM = (session(1, 1), session(2, 2), session(3, 3))


def found(story, plan=PLAN):
    verdict = judge(plan, story)
    return verdict.wrong, verdict.hangs, verdict.odd


def test_a_calm_training_is_clean_and_untouched():
    verdict = judge(PLAN, training(*CALM))
    assert verdict.clean
    assert [(one.fl_round, one.finished, one.touched) for one in verdict.sessions] == [
        (step, True, False) for step in (1, 2, 3)
    ]


def test_a_sum_that_is_not_that_of_its_inputs_is_wrong():
    wrong, _, _ = found(training(*CALM, more=[Told(2, Summed(3.4, 3, ALL, False))]))
    assert len(wrong) == 1
    assert "step 3 at bank 2" in wrong[0]


def test_two_sums_of_one_step_over_other_members_are_wrong():
    wrong, _, _ = found(training(*CALM, more=[Told(2, Summed(3.4, 3, ALL - {1}, True))]))
    assert any("elsewhere over [0, 1, 2, 3, 4]" in line for line in wrong)


def test_who_is_left_out_without_a_fault_is_odd_and_with_one_is_not():
    sessions = (session(1, 1), session(2, 2, ALL - {3}), session(3, 3))
    _, _, odd = found(training(*sessions))
    assert len(odd) == 1
    assert "step 2: [3] not in the sum" in odd[0]
    verdict = judge(PLAN, training(*sessions, strikes=[struck("3 up@5 cut", 2.2)]))
    assert verdict.clean
    assert [one.touched for one in verdict.sessions] == [False, True, False]


@pytest.mark.parametrize(
    "text", ["3 up@5 replay", "3 up@5 delay 0.05", "3 up@5 stall 0.6", "2 up@5 cut", "2 up@5 kill"]
)
def test_a_fault_that_may_not_cost_a_party_its_place_excuses_nobody(text):
    sessions = (session(1, 1), session(2, 2, ALL - {3}), session(3, 3))
    assert found(training(*sessions, strikes=[struck(text, 2.2)]))[2]


@pytest.mark.parametrize("text", ["3 up@5 stall 6", "3 down@5 kill", "0 up@5 kill-other", "3 up@5 corrupt"])
def test_a_fault_that_may_excuses_whom_it_struck(text):
    sessions = (session(1, 1), session(2, 2, ALL - {3}), session(3, 3))
    kills = [Told(3, Ended(2.3, -9, False))] if "kill" in text else []
    assert judge(PLAN, training(*sessions, strikes=[struck(text, 2.2)], more=kills)).clean


def test_an_excuse_lasts_until_a_sum_that_began_after_the_fault_has_the_party_in_it():
    back = (session(1, 1, ALL - {3}), session(2, 2), session(3, 3, ALL - {3}))
    assert "step 3" in found(training(*back, strikes=[struck("3 up@5 cut", 1.2)]))[2][0]
    away = (session(1, 1, ALL - {3}), session(2, 2, ALL - {3}), session(3, 3))
    assert judge(PLAN, training(*away, strikes=[struck("3 up@5 cut", 1.2)])).clean
    late = (session(1, 1), session(2, 2, ALL - {3}), session(3, 3))  # struck after its input had left
    assert judge(PLAN, training(*late, strikes=[struck("3 up@5 cut", 1.45)])).clean


def test_a_stall_excuses_as_long_as_it_lasts():
    sessions = (session(1, 1), session(2, 2), session(3, 3, ALL - {3}))
    assert judge(PLAN, training(*sessions, strikes=[struck("3 up@5 stall 6", 1.6, 7.6)])).clean
    assert not judge(PLAN, training(*sessions, strikes=[struck("3 up@5 cut", 1.6)])).clean


def test_an_abort_needs_more_excused_than_the_planned_losses():
    sessions = (session(1, 1), session(2, 2, frozenset()), session(2, 3), session(3, 4))
    one, two = struck("3 up@5 cut", 2.1), struck("2 up@5 cut", 2.2)
    assert "no sum with 0 excused" in found(training(*sessions))[2][0]
    assert "no sum with 1 excused" in found(training(*sessions, strikes=[one]))[2][0]
    verdict = judge(PLAN, training(*sessions, strikes=[one, two]))
    assert verdict.clean
    assert [session.finished for session in verdict.sessions] == [True, False, True, True]


def refusals(at):
    return [Told(who, Happening(at, "aborted", 2, "refused: summed-before")) for who in ALL]


def test_a_refusal_by_the_ledger_explains_an_abort_where_an_answer_had_left_before():
    """The second attempt fails although nobody met a fault since: all had answered for the first."""
    sessions = (session(1, 1), session(2, 2, frozenset()), session(2, 4, frozenset()), session(2, 5), session(3, 6))
    strikes = [struck("3 up@5 cut", 2.3), struck("2 up@5 cut", 2.4)]
    answered = [Told(who, Sent(2.25, 2, "unmask")) for who in ALL]
    assert judge(PLAN, training(*sessions, strikes=strikes, more=[*answered, *refusals(4.2)])).clean
    first_unexplained = training(*sessions, strikes=strikes[:1], more=[*answered, *refusals(4.2)])
    assert found(first_unexplained)[2]
    early = [Told(who, Sent(2.25, 2, "confirm")) for who in ALL]
    unstruck = (session(1, 1), session(2, 4, frozenset()), session(2, 5), session(3, 6))
    assert found(training(*unstruck, more=[*early, *refusals(4.2)]))[2]
    assert judge(PLAN, training(*unstruck, more=[*answered, *refusals(4.2)])).clean


@pytest.mark.parametrize("what", ["lost", "turned-away", "aborted", "declined"])
def test_what_happens_to_a_party_needs_a_fault(what):
    event = Told(3, Happening(2.3, what, 2, "why"))
    assert "bank 3" in found(training(*CALM, more=[event]))[2][0]
    assert judge(PLAN, training(*CALM, more=[event], strikes=[struck("3 up@5 cut", 2.2)])).clean
    assert not judge(PLAN, training(*CALM, more=[event], strikes=[struck("2 up@5 cut", 2.2)])).clean


def test_a_party_that_had_to_be_asked_to_end_or_broke_down_is_odd():
    assert "bank 2 had to be asked to end" in found(training(*CALM, ending=ends(stopped={2})))[2]
    strikes = [struck("2 up@5 cut", 3.9)]
    assert judge(PLAN, training(*CALM, ending=ends(stopped={2}), strikes=strikes)).clean
    broke = found(training(*CALM, ending=ends(statuses={2: BROKE_DOWN}), strikes=strikes))[2]
    assert "bank 2 broke down" in broke[0]
    assert "killed, but not by the plan" in found(training(*CALM, ending=ends(statuses={2: -9})))[2][0]


def test_a_line_for_people_is_odd_unless_it_says_that_too_few_were_left():
    def failing(who, kind, at=9.0):
        return [Told(who, Failed(at, kind, "why"))]

    many = [struck("3 up@5 cut", 3.9), struck("2 up@5 cut", 3.9)]
    assert "bank 2 ended: PartyRefused" in found(training(*CALM, more=failing(2, "PartyRefused"), strikes=many))[2][0]
    assert found(training(*CALM, more=failing(None, "TooFewParties"), strikes=many[:1]))[2]
    assert judge(PLAN, training(*CALM, more=failing(None, "TooFewParties"), strikes=many)).clean
    assert found(training(*CALM, more=failing(2, "NoResult"), strikes=many))[2]


def test_models_agree_and_whoever_ended_well_has_the_last():
    behind = {2: [sorted(ALL)]}
    assert "bank 2 ended with the model of step 1 of 3" in found(training(*CALM, models=behind))[2]
    other = {2: [sorted(ALL), [0, 1, 2], sorted(ALL)]}
    assert "bank 2 holds another model than the others" in found(training(*CALM, models=other))[0]
    invented = {who: [sorted(ALL), [0, 1, 2], sorted(ALL)] for who in (None, *range(5))}
    assert "a stored model is not that of the sums that were made" in found(training(*CALM, models=invented))[0]


def test_a_hang_is_kept():
    story = training(*CALM)
    story.hangs.append("the coordinator: no session ended within 3 s")
    assert found(story)[1] == story.hangs


# A mesh


def mesh(*steps, strikes=(), more=()):
    """step, included; each member that is in it reports it."""
    sessions = [session(step, step, included, who) for step, included in steps for who in sorted(included)]
    told = [fact for one in sessions for fact in one]
    model = [sorted(included) for _, included in steps]
    endings = [one for one in ends() if one.who is not None]
    return Story([*told, *more, *endings], list(strikes), models=dict.fromkeys(range(5), model))


def test_a_mesh_is_one_session_for_all_its_members():
    verdict = judge(MESH, mesh((1, ALL), (2, ALL), (3, ALL)))
    assert verdict.clean
    assert len(verdict.sessions) == 3


def test_in_a_mesh_a_connection_has_two_ends_that_may_be_lost():
    steps = ((1, ALL), (2, ALL - {3}), (3, ALL))
    assert found(mesh(*steps), MESH)[2]
    assert judge(MESH, mesh(*steps, strikes=[struck("4>3 up@5 cut", 2.2)])).clean
    assert judge(MESH, mesh(*steps, strikes=[struck("3>1 up@5 cut", 2.2)])).clean
    assert found(mesh(*steps, strikes=[struck("4>1 up@5 cut", 2.2)]), MESH)[2]
    assert found(mesh(*steps, strikes=[struck("4>3 up@5 kill", 2.2)]), MESH)[2]
    kills = [Told(3, Ended(2.3, -9, False))]
    assert judge(MESH, mesh(*steps, strikes=[struck("4>3 up@5 kill-other", 2.2)], more=kills)).clean


def test_a_member_that_met_no_fault_has_a_sum_unless_more_than_planned_were_lost():
    aborted = [Told(0, Reported(2.0, 2.5, 2, frozenset(), frozenset(), (), False))]
    steps = ((1, ALL), (2, ALL), (3, ALL))
    assert found(mesh(*steps, more=aborted), MESH)[2]
    of_one = [struck("3>1 up@5 cut", 2.2), struck("3>2 up@5 cut", 2.2)]
    assert found(mesh(*steps, more=aborted, strikes=of_one), MESH)[2]
    of_two = [struck("3>1 up@5 cut", 2.2), struck("4>2 up@5 cut", 2.2)]
    assert judge(MESH, mesh(*steps, more=aborted, strikes=of_two)).clean


def test_an_attempt_may_fail_after_a_killed_member_came_back_until_it_is_in_a_sum():
    failed = [Told(who, Reported(2.0, 2.5, 2, frozenset(), frozenset(), (), False)) for who in (0, 1)]
    killed = [struck("4>3 up@5 kill", 1.9)]
    steps = ((1, ALL), (2, ALL), (3, ALL))

    def met(text, at):
        return [*failed, Told(0, Happening(at, Happened.MET, None, text)), Told(4, Ended(1.9, -9, False))]

    assert judge(MESH, mesh(*steps, more=met("bank-4", 2.2), strikes=killed)).clean
    assert found(mesh(*steps, more=met("bank-4", 2.2), strikes=[struck("4>3 up@5 kill", 0.5)]), MESH)[2]
    assert found(mesh(*steps, more=met("bank-4", 1.85), strikes=killed), MESH)[2]
    assert found(mesh(*steps, more=met("bank-3", 2.2), strikes=killed), MESH)[2]
    assert found(mesh(*steps, more=met("bank-4", 2.2), strikes=[struck("4>3 up@5 cut", 1.9)]), MESH)[2]


def test_the_fewest_that_must_be_away_cover_all_connections_that_broke():
    def fewest(*texts):
        return Excuses(MESH.setting, [struck(text, 1.0) for text in texts], ()).fewest(2.0)

    assert fewest() == 0
    assert fewest("1>0 up@5 cut") == 1
    assert fewest("1>0 up@5 cut", "2>0 up@5 cut", "4>0 up@5 cut") == 1
    assert fewest("1>0 up@5 cut", "3>2 up@5 cut") == 2
    assert fewest("1>0 up@5 cut", "2>0 up@5 cut", "2>1 up@5 cut") == 2
    assert fewest("1>0 up@5 delay 0.1") == 0


def test_of_every_protocol_with_a_coordinator_it_is_known_where_a_sum_counts_as_opened():
    for name, family in FAMILIES.items():
        if family.collector:
            assert _OPENED[name] in [stage.value for stage in family.stages(family.variants[0])]
