"""Whole sessions over real TLS, each process a task: contributor i adds 2**i, so a sum names its contributors."""

import json
import math
import threading
import time
from dataclasses import replace
from functools import partial

import pytest
import trio

from net.config import Address, PartyTerms, dump_consortium
from net.control import Hello
from net.dialling import shake_hands
from net.errors import CoordinatorNotThere, NoResult, NotAdmitted, NotTheCoordinator, PartyRefused, TooFewParties
from net.events import Happened
from net.framing import Kind
from net.peer import Peer
from net.policy import ASSEMBLE, Policy, RoundPolicy
from net.tls import Endpoint, Pins
from protocols.errors import AbortReason, DropReason
from protocols.families import FAMILIES
from protocols.machine import Aborted, Finished
from protocols.messages import Round
from protocols.session import WIRE

pytestmark = pytest.mark.slow


def sums(payload):
    return json.loads(payload)["sums"]


async def run_until_the_first_has_failed(talk):
    """The four others train; their sum is held back until bank-0 has ended with its error."""
    talk.policy = Policy(RoundPolicy(patience=20.0), {ASSEMBLE: RoundPolicy(patience=20.0, hoped_for=4)})
    talk.workload.before_advance = lambda fl_round: talk.banks[0].failed.wait(10)
    return await talk.run()


async def test_five_banks_sum_exactly_and_hold_the_same_payload(loopback):
    talk = loopback()
    payload = await talk.run(steps=2)
    assert sums(payload) == [31, 31]
    assert [report.included for report in talk.reports] == [frozenset(range(5))] * 2
    assert all(bank.error is None for bank in talk.banks)
    assert all(bank.config.payload.read_bytes() == payload for bank in talk.banks)
    assert isinstance(talk.reports[0].outcome, Finished)


@pytest.mark.parametrize(
    ("message", "stage", "included"),
    [
        ("AdvertiseKeys", Round.ADVERTISE, {0, 1, 3, 4}),
        ("ShareKeys", Round.SHARE, {0, 1, 3, 4}),
        ("MaskedInput", Round.MASKED_INPUT, {0, 1, 3, 4}),
        ("Confirm", Round.CONFIRM, {0, 1, 2, 3, 4}),
        ("UnmaskShares", Round.UNMASK, {0, 1, 2, 3, 4}),
    ],
)
async def test_a_bank_that_vanishes_at_any_stage_costs_no_exactness(loopback, message, stage, included):
    talk = loopback()
    talk.banks[2].kill_at = message
    payload = await talk.run(steps=2)
    assert sums(payload) == [sum(2**place for place in included), 0b11011]
    assert talk.reports[0].dropped == {2: (stage, DropReason.VANISHED)}
    assert talk.reports[0].included == included
    assert talk.reports[1].absent == {2}
    assert all(bank.config.payload.read_bytes() == payload for bank in talk.banks if bank.place != 2)


async def test_below_the_threshold_every_party_is_told_and_the_coordinator_says_so(loopback):
    talk = loopback()
    for bank in talk.banks[:2]:
        bank.kill_at = "Confirm"
    with pytest.raises(NoResult, match="step 1 was aborted 1 times"):
        await talk.run()
    assert talk.reports[0].outcome == Aborted(AbortReason.TOO_FEW)
    told = [bank for bank in talk.banks if bank.happened(Happened.ABORTED)]
    assert [bank.place for bank in told] == [2, 3, 4]


async def test_a_step_is_tried_again_with_those_who_are_still_there(loopback):
    talk = loopback()
    talk.policy = replace(talk.policy, attempts=2)
    talk.banks[0].kill_at = talk.banks[1].kill_at = "MaskedInput"
    payload = await talk.run()
    assert [type(report.outcome) for report in talk.reports] == [Aborted, Finished]
    assert sums(payload) == [0b11100]


async def test_too_few_parties_are_waited_for_and_then_named(loopback):
    talk = loopback()
    talk.policy = Policy(RoundPolicy(patience=0.5), attempts=2)
    with pytest.raises(TooFewParties, match=r"2 parties are ready and a session needs 3: 1 more of bank-2, bank-3"):
        await talk.run(missing=(2, 3, 4))
    assert talk.reports == []


async def test_a_member_that_never_comes_is_absent_and_waited_for_once(loopback):
    talk = loopback()
    talk.policy = Policy(RoundPolicy(patience=20.0), {ASSEMBLE: RoundPolicy(patience=1.5)})
    payload = await talk.run(steps=3, missing=(4,))
    assert sums(payload) == [15, 15, 15]
    assert [report.absent for report in talk.reports] == [{4}] * 3


@pytest.mark.parametrize("stays", [math.inf, 3.0])
async def test_a_member_that_answers_no_task_is_waited_for_once_and_then_a_moment(
    loopback, make_keys, monkeypatch, stays
):
    """It stays, or goes and comes again all the time."""
    monkeypatch.setattr("net.assembling.SETTLING", 0.1)
    talk, begun = loopback(), []
    card = talk.consortium.members[4]
    endpoint = Endpoint(card, make_keys(card.name).tls_root, Pins.of([talk.consortium.coordinator]), server=False)

    async def say_hello_and_no_more(peer):
        peer.say(Hello(WIRE, talk.consortium.digest, int(time.time())))
        peer.deframer.limits = dict.fromkeys(Kind, 2**20)
        with trio.move_on_after(stays):
            while await peer.receive() is not None:
                pass

    async def visit_again_and_again():
        while len(begun) < 4:
            stream, _ = await shake_hands(Address("127.0.0.1", talk.port), endpoint)
            await Peer(stream).serve(say_hello_and_no_more)

    def come_too(host, port, listening=talk._listening):
        listening(host, port)
        talk._parties.start_soon(visit_again_and_again)

    monkeypatch.setattr(talk, "_listening", come_too)
    talk.workload.before_advance = lambda fl_round: begun.append(time.monotonic())
    talk.policy = Policy(RoundPolicy(patience=20.0), {ASSEMBLE: RoundPolicy(patience=4.0)})
    assert sums(await talk.run(steps=4, missing=(4,))) == [15, 15, 15, 15]
    assert begun[3] - begun[0] < 6.0  # seconds for three steps, of which each would wait three or four


async def test_a_party_that_returns_joins_the_next_session_and_gets_the_payload(loopback):
    talk = loopback()
    victim, back = talk.banks[1], threading.Event()

    def on_death(event):
        if event.what is Happened.CONNECTED and victim.error is not None:
            back.set()

    def hold_the_first_sum_until_it_is_back(fl_round):
        if fl_round == 1:
            trio.from_thread.run_sync(start_again)
            assert back.wait(10)

    def start_again():
        victim.kill_at, victim.on_event = None, on_death
        talk.start(victim)

    victim.kill_at = "MaskedInput"
    talk.workload.before_advance = hold_the_first_sum_until_it_is_back
    payload = await talk.run(steps=2)
    assert sums(payload) == [0b11101, 0b11111]
    assert victim.config.payload.read_bytes() == payload


async def test_a_late_upload_is_not_waited_for_beyond_the_patience(loopback):
    talk = loopback()
    talk.policy = Policy(RoundPolicy(patience=20.0), {Round.MASKED_INPUT: RoundPolicy(patience=0.5)})
    trained = threading.Event()
    slow = talk.banks[3].workload
    contribute = slow.contribute

    def contribute_late(payload):
        assert trained.wait(10)
        return contribute(payload)

    slow.contribute = contribute_late
    talk.workload.before_advance = lambda fl_round: trained.set()
    payload = await talk.run(steps=2)
    assert sums(payload) == [0b10111, 0b11111]
    assert talk.reports[0].dropped == {3: (Round.MASKED_INPUT, DropReason.TOO_SLOW)}
    assert talk.banks[3].happened(Happened.ABORTED)


async def test_a_hoped_for_number_of_answers_closes_a_round_early(loopback):
    talk = loopback()
    talk.policy = Policy(RoundPolicy(patience=20.0), {Round.MASKED_INPUT: RoundPolicy(patience=20.0, hoped_for=4)})
    trained = threading.Event()
    slow = talk.banks[0].workload
    slow.contribute = lambda payload, contribute=slow.contribute: (trained.wait(10), contribute(payload))[1]
    talk.workload.before_advance = lambda fl_round: trained.set()
    assert sums(await talk.run()) == [0b11110]


async def test_a_party_whose_terms_ask_for_more_takes_no_part_and_the_others_go_on(loopback):
    talk = loopback()
    talk.banks[4].config = replace(talk.banks[4].config, terms=PartyTerms(max_colluding=2))
    payload = await talk.run()
    assert sums(payload) == [15]
    assert talk.reports[0].dropped == {4: (Round.ADVERTISE, DropReason.ABORTED)}
    assert "outside-terms" in talk.banks[4].happened(Happened.ABORTED)[0].text


async def test_a_party_with_another_consortium_file_is_told_both_digests(loopback):
    talk = loopback()
    other = talk.folder / "other.toml"
    other.write_text(dump_consortium(replace(talk.consortium, version=2)))
    talk.banks[0].config = replace(talk.banks[0].config, consortium=other)
    assert sums(await run_until_the_first_has_failed(talk)) == [0b11110]
    error = talk.banks[0].error
    assert isinstance(error, PartyRefused)
    assert talk.consortium.digest.hex()[:8] in str(error)


async def test_a_party_that_the_coordinator_does_not_know_reads_its_own_fingerprint(loopback, make_card, make_keys):
    talk = loopback()
    stranger = make_keys("somebody-else")
    others = talk.consortium.members[1:]
    grown = replace(talk.consortium, members=(make_card("bank-0", stranger), *others))
    (talk.folder / "grown.toml").write_text(dump_consortium(grown))
    talk.write_keys("stranger", stranger)
    talk.banks[0].config = replace(
        talk.banks[0].config,
        consortium=talk.folder / "grown.toml",
        identity=talk.folder / "stranger.key",
        patience=0.5,
    )
    assert sums(await run_until_the_first_has_failed(talk)) == [0b11110]
    error = talk.banks[0].error
    assert isinstance(error, NotAdmitted)
    assert stranger.identity.verify_key.fingerprint in str(error)


async def test_a_party_leaves_when_somebody_else_answers_at_the_address(loopback, make_card, make_keys):
    talk = loopback()
    other = replace(talk.consortium, coordinator=make_card("coordinator", make_keys("impostor")))
    (talk.folder / "other.toml").write_text(dump_consortium(other))
    talk.banks[0].config = replace(talk.banks[0].config, consortium=talk.folder / "other.toml", patience=0.5)
    assert sums(await run_until_the_first_has_failed(talk)) == [0b11110]
    assert isinstance(talk.banks[0].error, NotTheCoordinator)


async def test_a_party_gives_up_when_nobody_is_at_the_address(loopback):
    talk = loopback()
    bank = talk.banks[0]
    bank.config = replace(bank.config, patience=0.05)
    await bank.run()
    assert isinstance(bank.error, CoordinatorNotThere)


async def test_a_coordinator_that_is_stopped_ends_between_two_steps_and_goes_on_from_its_payload(loopback):
    talk = loopback()
    talk.workload.before_advance = lambda fl_round: trio.from_thread.run_sync(talk.stop.set)
    assert sums(await talk.run(steps=2)) == [31]
    talk.workload.before_advance = lambda fl_round: None
    talk.stop = trio.Event()
    assert sums(await talk.run(steps=2)) == [31, 31]


async def test_a_party_that_computed_another_payload_declines_the_coordinators(loopback):
    talk = loopback()
    odd = talk.banks[2]
    odd.config.payload.write_bytes(b'{"steps": 2, "sums": [7]}')
    payload = await talk.run(steps=2)
    assert sums(payload)[0] == 0b11011
    assert odd.happened(Happened.DECLINED)
    assert odd.config.payload.read_bytes() == b'{"steps": 2, "sums": [7]}'


async def test_a_party_that_begins_with_another_payload_declines_the_first_step_and_keeps_nothing(loopback):
    talk = loopback()
    odd = talk.banks[2]
    odd.initial = b'{"steps": 2, "sums": [], "other": true}'
    payload = await talk.run(steps=2)
    assert sums(payload) == [0b11011, 0b11011]
    assert odd.happened(Happened.DECLINED)
    assert not odd.happened(Happened.ADOPTED)
    assert not odd.config.payload.exists()
    assert "is not the one that we computed" in str(odd.error)


async def test_a_sum_that_the_coordinators_workload_refuses_is_an_aborted_session_and_is_tried_again(loopback):
    talk = loopback()
    talk.policy = replace(talk.policy, attempts=2)
    refusals = [ValueError("out of range")]

    def refuse_once(fl_round):
        if refusals:
            raise refusals.pop()

    talk.workload.before_advance = refuse_once
    assert sums(await talk.run()) == [31]
    assert talk.reports[0].outcome == Aborted(AbortReason.STOPPED)
    assert [report.included for report in talk.reports] == [frozenset(), frozenset(range(5))]
    assert all(len(bank.happened(Happened.ABORTED)) == 1 and bank.error is None for bank in talk.banks)


async def test_a_sum_that_a_partys_workload_refuses_ends_its_session_and_it_takes_over_the_next_model(loopback, caplog):
    talk = loopback()

    def refuse(fl_round):
        if fl_round == 1:
            raise ValueError("out of range")

    picky = talk.banks[4]
    picky.workload.before_advance = refuse
    payload = await talk.run(steps=2)
    assert sums(payload) == [31, 31]
    assert "out of range" in picky.happened(Happened.ABORTED)[0].text
    (adopted,) = picky.happened(Happened.ADOPTED)
    assert adopted.fl_round == 2
    assert "took over the coordinator's model of step 2: we were not there when it was computed" in caplog.text
    assert picky.config.payload.read_bytes() == payload


async def test_a_coordinator_that_is_started_when_all_is_done_gives_a_lost_bank_the_last_payload(loopback):
    talk = loopback()
    talk.banks[2].kill_at = "MaskedInput"
    payload = await talk.run(steps=2)
    assert not talk.banks[2].config.payload.exists() or talk.banks[2].config.payload.read_bytes() != payload
    talk.banks[2].kill_at, talk.banks[2].error = None, None
    assert await talk.run(steps=2) == payload
    assert all(bank.error is None for bank in talk.banks)
    assert all(bank.config.payload.read_bytes() == payload for bank in talk.banks)


@pytest.mark.skipif("committee" not in FAMILIES, reason="this version has no committee")
async def test_members_that_only_aggregate_contribute_nothing_and_hold_the_same_payload(loopback):
    aggregators = ("bank-3", "bank-4", "bank-5", "bank-6")
    talk = loopback(7, protocol="committee", aggregators=aggregators)
    for bank in talk.banks[3:]:
        bank.workload.place = None  # it would fail if it were asked for a contribution
    payload = await talk.run(steps=2)
    assert sums(payload) == [7, 7]
    assert all(bank.error is None for bank in talk.banks)
    assert all(bank.config.payload.read_bytes() == payload for bank in talk.banks)


# Epochs: the keys of several sums are shared in the first of them


def noting(talk):
    """Place -> the steps in which it made keys, as it goes on."""
    noted = {bank.place: [] for bank in talk.banks}

    def note(bank, before_send, fl_round, message):
        if type(message).__name__ == "AdvertiseKeys":
            noted[bank.place].append(fl_round)
        before_send(fl_round, message)

    for bank in talk.banks:
        bank.before_send = partial(note, bank, bank.before_send)
    return noted


async def test_an_accountable_consortium_has_its_sums_over_the_network_too(loopback):
    talk = loopback(accountable=True)
    talk.banks[4].kill_at, talk.banks[4].kill_in = "MaskedInput", 2
    assert sums(await talk.run(steps=2)) == [31, 15]


async def test_a_step_that_is_tried_again_takes_the_next_round_of_its_epoch(loopback):
    talk = loopback(rounds_per_epoch=4)
    talk.policy = replace(talk.policy, attempts=2)
    refused = []

    def refuse_once(fl_round):
        if fl_round == 2 and not refused:
            refused.append(fl_round)
            raise ValueError("nothing follows from this sum")

    talk.workload.before_advance = refuse_once
    made = noting(talk)
    assert sums(await talk.run(steps=4)) == [31] * 4
    assert [type(report.outcome) for report in talk.reports] == [Finished, Aborted, Finished, Finished, Finished]
    assert list(made.values()) == [[1, 4]] * 5


@pytest.mark.parametrize(
    ("colluding", "made_in"),
    [
        pytest.param(0, [1, 4], id="more-than-t-are-left"),
        pytest.param(2, [1, 3], id="t-of-five-are-left-who-bring-the-threshold-down"),
    ],
)
async def test_without_a_bank_that_is_lost_the_epoch_goes_on_while_more_than_t_are_left(loopback, colluding, made_in):
    talk = loopback(colluding=colluding, rounds_per_epoch=3)
    for bank in talk.banks:
        bank.config = replace(bank.config, terms=PartyTerms(max_colluding=colluding))
    talk.banks[4].kill_at, talk.banks[4].kill_in = "MaskedInput", 2
    made = noting(talk)
    assert sums(await talk.run(steps=5)) == [31, 15, 15, 15, 15]
    assert talk.reports[1].dropped == {4: (Round.MASKED_INPUT, DropReason.VANISHED)}
    assert [(report.dropped, report.absent) for report in talk.reports[2:]] == [({}, {4})] * 3
    assert [made[place] for place in range(4)] == [made_in] * 4


async def test_who_comes_into_an_epoch_has_the_keys_made_anew(loopback):
    talk = loopback(rounds_per_epoch=4)
    talk.policy = Policy(RoundPolicy(patience=20.0), {ASSEMBLE: RoundPolicy(patience=1.5)})
    late, here = talk.banks[4], threading.Event()
    late.on_event = lambda event: here.set() if event.what is Happened.CONNECTED else None

    def hold_until_it_is_here(fl_round):
        if fl_round == 2:
            trio.from_thread.run_sync(talk.start, late)
            assert here.wait(10)

    talk.workload.before_advance = hold_until_it_is_here
    made = noting(talk)
    assert sums(await talk.run(steps=4, missing=(4,))) == [15, 15, 31, 31]
    assert list(made.values()) == [[1, 3]] * 4 + [[3]]
