"""Whole trainings of a mesh over real TLS, each member a task: member i adds 2**i, so a sum names its contributors."""

import json
from dataclasses import replace

import pytest
import trio
from mesh_loopback import MeshLoopback

from net.config import Address, dump_consortium
from net.errors import ConfigError, NoResult, TooFewParties
from net.events import Happened
from net.policy import ASSEMBLE, Policy, RoundPolicy
from net.records import RecordsFile
from protocols.errors import AbortReason, DropReason
from protocols.machine import Aborted
from protocols.record import START, require_follows, verify
from protocols.session import NO_RECORD

pytestmark = pytest.mark.slow


@pytest.fixture
def mesh(tmp_path):
    def make(banks=4, **changes):
        return MeshLoopback(tmp_path, banks, **changes)

    return make


def sums(payload):
    return json.loads(payload)["sums"]


def one_payload(talk):
    (payload,) = set(talk.payloads())
    return payload


async def test_all_members_hold_the_same_payload_and_know_who_was_in_each_sum(mesh):
    talk = mesh()
    await talk.run(steps=2)
    assert sums(one_payload(talk)) == [15, 15]
    for member in talk.members:
        assert member.error is None
        assert [sorted(report.included) for report in member.reports] == [[0, 1, 2, 3]] * 2
        assert member.reports[0].bytes_up.keys() == set(range(4)) - {member.place}
        assert all(500 < size < 20_000 for size in member.reports[0].bytes_down.values())
        assert len(member.happened(Happened.MET)) == 3


@pytest.mark.parametrize("message", ["Roster", "Inputs"])
async def test_when_the_one_who_proposes_vanishes_the_next_one_does(mesh, message):
    talk = mesh()
    talk.members[0].kill_at = message
    await talk.run(steps=2)
    first = [member.reports[0] for member in talk.members[1:]]
    assert all(report.included == first[0].included for report in first)
    assert {report.dropped[0][1] for report in first} == {DropReason.VANISHED}
    assert first[0].included == ({1, 2, 3} if message == "Roster" else {0, 1, 2, 3})
    assert sums(one_payload(talk))[1] == 0b1110


async def test_below_the_threshold_everybody_ends_with_the_last_payload(mesh):
    talk = mesh()
    for member in talk.members[2:]:
        member.kill_at, member.kill_in = "PartialSum", 2
    await talk.run(steps=2)
    for member in talk.members[:2]:
        assert isinstance(member.error, NoResult)
        assert member.reports[1].outcome == Aborted(AbortReason.TOO_FEW)
        assert sums(member.config.payload.read_bytes()) == [15]
        assert len(member.happened(Happened.ABORTED)) == 1


async def test_a_step_is_tried_again_at_the_next_attempt_with_those_who_are_there(mesh):
    talk = mesh(5, colluding=0, losses=1)
    talk.set_policy(Policy(RoundPolicy(patience=20.0), attempts=2))
    for member in talk.members[3:]:
        member.kill_at = "Share"
    await talk.run()
    for member in talk.members[:3]:
        assert member.error is None
        assert [type(report.outcome).__name__ for report in member.reports][-1] == "Finished"
    assert sums(one_payload(talk)) == [7]


async def test_a_member_that_never_comes_is_waited_for_once(mesh):
    talk = mesh()
    talk.set_policy(Policy(RoundPolicy(patience=20.0), {ASSEMBLE: RoundPolicy(patience=1.5)}, attempts=1))
    await talk.run(steps=2, missing=(3,))
    assert sums(one_payload_of(talk, 3)) == [7, 7]
    assert [report.absent for report in talk.members[0].reports] == [{3}] * 2


def one_payload_of(talk, places):
    (payload,) = {member.config.payload.read_bytes() for member in talk.members[:places]}
    return payload


async def test_too_few_members_are_waited_for_and_then_named(mesh):
    talk = mesh()
    talk.set_policy(Policy(RoundPolicy(patience=0.3)))
    for member in talk.members:
        member.config = replace(member.config, patience=2.0)
    await talk.run(missing=(2, 3))
    errors = [member.error for member in talk.members[:2]]
    assert all(isinstance(error, TooFewParties) for error in errors)
    assert all("bank-2, bank-3 must be started" in str(error) for error in errors)
    # whoever gives up first knows of the other; who is left may find that one gone
    assert any("1 other members are ready and a session needs 2: 1 more of" in str(error) for error in errors)


async def test_a_member_that_comes_late_takes_over_the_payload_and_takes_part(mesh, caplog):
    talk = mesh()
    talk.set_policy(Policy(RoundPolicy(patience=20.0), {ASSEMBLE: RoundPolicy(patience=1.0)}, attempts=1))
    late, held_up = talk.members[3], []

    def start_it_after_the_first_sum(event):
        if event.what is Happened.SUMMED and not held_up:
            held_up.append(event)
            talk.nursery.start_soon(late.run)

    talk.members[0].on_event = start_it_after_the_first_sum
    hold = trio.Event()
    late.on_event = lambda event: hold.set() if event.what is Happened.ADOPTED else None
    for member in talk.members[:3]:  # the second step waits until the late one is there
        train = member.workload.contribute
        member.workload.contribute = lambda payload, train=train: (wait_from_thread(hold, payload), train(payload))[1]
    await talk.run(steps=3, missing=(3,))
    assert all(member.error is None for member in talk.members)
    assert sums(one_payload(talk)) == [7, 15, 15]
    assert len(late.happened(Happened.ADOPTED)) == 1
    assert "took over the model of step 2 from the others" in caplog.text


def wait_from_thread(event, payload):
    if sums(payload):
        trio.from_thread.run(event.wait)


async def test_a_member_that_is_lost_comes_back_into_the_next_step(mesh):
    talk = mesh()
    victim = talk.members[3]
    victim.kill_at = "ExplicitShare"
    back = trio.Event()

    def start_it_again(event):
        if event.what is Happened.PARTED and event.text == "bank-3" and victim.kill_at:
            talk.nursery.start_soon(victim.run_again)
        if event.what is Happened.MET and event.text == "bank-3" and victim.kill_at is None:
            back.set()

    talk.members[0].on_event = start_it_again
    train = talk.members[0].workload.contribute
    talk.members[0].workload.contribute = lambda payload: (wait_from_thread(back, payload), train(payload))[1]
    await talk.run(steps=2)
    assert victim.error is None
    assert sums(one_payload(talk)) == [7, 15]


async def test_who_holds_another_payload_of_the_same_step_declines_and_the_others_go_on(mesh):
    talk = mesh()
    talk.set_policy(Policy(RoundPolicy(patience=20.0), {ASSEMBLE: RoundPolicy(patience=1.0)}, attempts=1))
    odd = talk.members[3]
    odd.initial = b'{"steps": 1, "sums": [], "other": true}'
    odd.config = replace(odd.config, patience=1.0)
    await talk.run()
    assert sums(one_payload_of(talk, 3)) == [7]
    assert odd.happened(Happened.DECLINED)
    assert not odd.config.payload.exists()


@pytest.mark.parametrize(("liars", "believed"), [(1, False), (2, True)])
async def test_a_later_payload_is_taken_over_only_from_more_than_may_collude(mesh, liars, believed):
    """Two of four say that a step was summed which never was; one may collude."""
    talk = mesh()
    talk.set_policy(Policy(RoundPolicy(patience=20.0), {ASSEMBLE: RoundPolicy(patience=1.0)}, attempts=1))
    for member in talk.members[:liars]:
        member.initial = json.dumps({"steps": 3, "sums": [99]}).encode()
    await talk.run(steps=3)
    honest = talk.members[liars:]
    assert all(bool(member.happened(Happened.ADOPTED)) is believed for member in honest)
    assert {sums(member.config.payload.read_bytes())[0] for member in honest} == {99 if believed else 0b1110}


async def test_a_stop_ends_a_member_after_the_session_that_runs(mesh):
    talk = mesh()
    for member in talk.members:
        member.on_event = lambda event, member=member: member.stop.set() if event.what is Happened.SUMMED else None
    await talk.run(steps=3)
    assert all(member.error is None for member in talk.members)
    assert sums(one_payload(talk)) == [15]


async def test_a_member_with_another_consortium_file_is_refused_by_all_and_the_others_go_on(mesh):
    talk = mesh()
    talk.set_policy(Policy(RoundPolicy(patience=20.0), {ASSEMBLE: RoundPolicy(patience=1.5)}, attempts=1))
    other = talk.folder / "other.toml"
    other.write_text(dump_consortium(replace(talk.consortium, version=2)))
    odd = talk.members[3]
    odd.config = replace(odd.config, consortium=other, patience=1.0)
    await talk.run()
    assert sums(one_payload_of(talk, 3)) == [7]
    refusals = [event.text for event in odd.happened(Happened.TURNED_AWAY)]
    assert len(refusals) == 3
    assert all("the consortium files differ" in text for text in refusals)


async def test_an_address_where_another_member_answers_is_named(mesh):
    talk = mesh()
    odd = talk.members[3]
    swapped = {**odd.config.mesh.peers, "bank-0": odd.config.mesh.peers["bank-1"]}
    odd.config = replace(odd.config, mesh=replace(odd.config.mesh, peers=swapped), patience=1.0)
    talk.set_policy_of(talk.members[:3], Policy(RoundPolicy(patience=20.0), {ASSEMBLE: RoundPolicy(patience=1.5)}))
    odd.on_event = lambda event: odd.stop.set() if event.what is Happened.TURNED_AWAY else None
    await talk.run()
    (turned,) = odd.happened(Happened.TURNED_AWAY)
    assert "is bank-1 and not bank-0: check the addresses in [peers]" in turned.text


async def test_a_member_below_us_that_calls_is_closed(mesh, caplog, monkeypatch):
    """Each pair has one connection: that of the one with the higher place."""
    talk = mesh()
    upside_down = talk.members[0]
    monkeypatch.setattr("net.mesh.member._dialled", lambda member: range(3, 4) if member.me == 0 else range(member.me))
    await talk.run()
    assert upside_down.error is None
    assert "closed a connection from" in caplog.text
    assert sums(one_payload(talk)) == [15]


@pytest.mark.parametrize(
    ("peers", "why"),
    [
        ({"bank-0": Address("h", 1), "bank-9": Address("h", 1)}, "'bank-9' is no member of five-banks"),
        ({"bank-0": Address("h", 1)}, "'bank-1' is missing: add its address, this member dials it"),
    ],
)
async def test_addresses_that_do_not_fit_the_consortium_are_named(mesh, peers, why):
    talk = mesh()
    member = talk.members[2]
    member.config = replace(member.config, mesh=replace(member.config.mesh, peers=peers))
    await member.run()
    assert isinstance(member.error, ConfigError)
    assert why in str(member.error)


async def test_a_member_whose_file_names_a_coordinator_is_told(mesh):
    talk = mesh()
    member = talk.members[2]
    member.config = replace(member.config, mesh=None, address=Address("h", 1))
    await member.run()
    assert "a mesh has no coordinator: write 'listen' and [peers]" in str(member.error)


async def test_each_member_keeps_a_record_of_its_own_that_proves_the_same_sets(mesh):
    talk = mesh(5)
    talk.members[2].kill_at, talk.members[2].kill_in = "PartialSum", 2
    await talk.run(steps=3)
    chains = {}
    for member in talk.members:
        file, head = RecordsFile(talk.folder / f"bank-{member.place}.records", talk.consortium), START
        for record in file.chain():
            require_follows(record, head)
            testimony = verify(record, talk.consortium)
            assert record.recorder == talk.consortium.members[member.place].verify_key.raw
            assert len(testimony.confirmations) >= testimony.quorum >= 3
            assert record.params.subject.last_record == NO_RECORD
            head = record.head
            chains.setdefault(member.place, []).append(record)
    left = [chains[place] for place in (0, 1, 3, 4)]
    assert [len(chain) for chain in left] == [3] * 4
    for step in range(3):
        said = {(one[step].params.digest, one[step].evidence.u3, one[step].ending) for one in left}
        assert len(said) == 1
    assert [left[0][step].evidence.u3 for step in range(3)] == [{0, 1, 2, 3, 4}, {0, 1, 2, 3, 4}, {0, 1, 3, 4}]
    assert len(chains[2]) == 1
