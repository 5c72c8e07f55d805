import random
import threading
from dataclasses import replace
from types import SimpleNamespace

import pytest
import trio

from net.collecting import Collecting
from net.contributing import Contributing
from net.control import Offer, Task
from net.framing import Kind
from net.hall import Stalled
from net.peer import in_session
from net.policy import SLOWEST_UPLOAD, STALL, RoundPolicy
from net.uploads import MOST_UPLOADS, Turn, Uploads
from protocols.errors import DropReason
from protocols.messages import Round
from protocols.secagg.family import SECAGG


def test_at_most_two_upload_at_a_time_in_the_order_of_their_offers():
    uploads = Uploads()
    for party in (3, 1, 4, 0):
        uploads.offer(party, 10)
    assert list(uploads.grant()) == [3, 1]
    assert list(uploads.grant()) == []
    uploads.end(1)
    assert list(uploads.grant()) == [4]
    uploads.end(3)
    uploads.end(4)
    assert list(uploads.grant()) == [0]


def test_an_offer_counts_once_until_its_upload_is_here():
    uploads = Uploads()
    uploads.offer(1, 10)
    uploads.offer(1, 20)
    (turn,) = uploads.grant().values()
    uploads.offer(1, 30)
    assert (turn.size, uploads.somebody_waits) == (10, False)
    uploads.end(1)
    uploads.offer(1, 40)
    (turn,) = uploads.grant().values()
    assert turn.size == 40


def test_who_has_more_to_upload_waits_behind_those_who_have_not_yet():
    uploads = Uploads(most=1)
    for party in (1, 2):
        uploads.offer(party, 10)
    assert list(uploads.grant()) == [1]
    uploads.end(1)
    uploads.offer(1, 10)
    assert list(uploads.grant()) == [2]


def test_a_party_that_is_gone_leaves_its_place_in_the_queue():
    uploads = Uploads(most=1)
    for party in (1, 2, 3):
        uploads.offer(party, 10)
    assert list(uploads.grant()) == [1]
    uploads.end(2)
    uploads.end(1)
    assert list(uploads.grant()) == [3]


@pytest.mark.slow
async def test_a_session_never_has_more_than_two_uploads_and_all_arrive(loopback, monkeypatch):
    most = []

    class Watched(Uploads):
        def grant(self):
            turn = super().grant()
            most.append(len(self.granted))
            return turn

    monkeypatch.setattr("net.collecting.Uploads", Watched)
    talk = loopback(7)
    await talk.run()
    assert talk.reports[0].included == frozenset(range(7))
    assert max(most) == MOST_UPLOADS


@pytest.mark.slow
async def test_two_parties_whose_uploads_stand_still_do_not_keep_the_others_from_uploading(loopback, monkeypatch):
    granted = Contributing.granted
    frozen = {0, 1}

    async def freeze(self):
        if self._client._me not in frozen:
            await granted(self)

    monkeypatch.setattr(Contributing, "granted", freeze)
    talk = loopback(7, losses=2)
    talk.policy = replace(talk.policy, rounds={Round.MASKED_INPUT: RoundPolicy(patience=3.0)})
    for bank in talk.banks[2:]:  # the two get the first grants
        train = bank.workload.contribute
        bank.workload.contribute = lambda payload, train=train: (offered.wait(10), train(payload))[1]
    offered = threading.Event()
    offers = []

    class Watched(Uploads):
        def offer(self, party, size):
            super().offer(party, size)
            offers.append(party)
            if frozen <= set(offers):
                offered.set()

    monkeypatch.setattr("net.collecting.Uploads", Watched)
    await talk.run()
    (report,) = talk.reports
    assert report.included == {2, 3, 4, 5, 6}
    assert report.dropped.keys() == frozen


class Dripping:
    """A peer of whose upload a little more is there at each look; most of what it sends is something else."""

    def __init__(self, step):
        self._bytes, self._step = 0, step
        self.deframer = SimpleNamespace(arrived=self._arrived, discard=lambda kind: None)

    @property
    def bytes_in(self):
        return trio.current_time()

    def _arrived(self, kind):
        self._bytes += self._step
        return self._bytes


async def seconds_until_stalled(peer, size):
    """How long the watch lets it go on."""
    told = []

    async def report(event):
        told.append((event, trio.current_time()))
        collecting._uploads.end(0)

    hall, task = SimpleNamespace(report=report), Task(1, 1, bytes(32), bytes(16))
    collecting = Collecting(
        SECAGG, SimpleNamespace(), task, {0: peer}, hall, None, absent=frozenset(), limits=None, settle=None
    )
    turn = collecting._uploads.granted[0] = Turn(size)
    start = trio.current_time()
    await collecting._watch(0, peer, turn)
    ((event, at),) = told
    assert event == Stalled(0, turn)
    return at - start


async def test_an_upload_that_stands_still_is_told_whatever_else_arrives(autojump_clock):
    assert await seconds_until_stalled(Dripping(0), 10**6) == STALL


async def test_an_upload_that_drips_is_told_after_the_time_that_its_size_needs(autojump_clock):
    size = 10**7
    seconds = await seconds_until_stalled(Dripping(1), size)
    allowed = STALL + size / SLOWEST_UPLOAD
    assert allowed > 5 * STALL
    assert allowed < seconds <= allowed + STALL


@pytest.mark.slow
async def test_a_second_upload_is_dropped_as_unexpected(loopback, monkeypatch):
    granted = Contributing.granted

    async def twice(self):
        if self._client._me == 2:
            upload = self._journal.body(self._kept.frames[self._next])
            self._peer.post(Kind.UPLOAD, *in_session(self.task.session, upload))
        await granted(self)

    monkeypatch.setattr(Contributing, "granted", twice)
    talk = loopback()
    await talk.run()
    (report,) = talk.reports
    assert report.dropped[2][1] is DropReason.UNEXPECTED


@pytest.mark.slow
async def test_an_upload_without_a_grant_is_dropped_as_unexpected(loopback, monkeypatch):
    offer = Contributing._offer

    def upload(self, frame):
        if self._client._me == 2:
            self._peer.post(Kind.UPLOAD, *in_session(self.task.session, b"never granted"))
        else:
            offer(self, frame)

    monkeypatch.setattr(Contributing, "_offer", upload)
    talk = loopback()
    await talk.run()
    (report,) = talk.reports
    assert report.dropped == {2: (Round.MASKED_INPUT, DropReason.UNEXPECTED)}
    assert report.included == {0, 1, 3, 4}


@pytest.mark.slow
async def test_a_grant_that_was_not_used_does_not_hold_in_the_next_session(loopback, monkeypatch):
    granted = Contributing.granted

    async def chatter_instead(self):
        if self._client._me != 2 or self.task.session > 1:
            await granted(self)
        else:
            self._peer.say(Offer(self.task.session, 10))

    monkeypatch.setattr(Contributing, "granted", chatter_instead)
    talk = loopback()
    talk.policy = replace(talk.policy, rounds={Round.MASKED_INPUT: RoundPolicy(patience=1.5)})
    await talk.run(steps=2)
    assert [report.included for report in talk.reports] == [{0, 1, 3, 4}, {0, 1, 2, 3, 4}]


@pytest.mark.slow
async def test_the_report_counts_bytes_of_every_party(loopback):
    talk = loopback()
    await talk.run()
    (report,) = talk.reports
    assert report.bytes_up.keys() == report.bytes_down.keys() == frozenset(range(5))
    assert all(500 < size < 20_000 for size in [*report.bytes_up.values(), *report.bytes_down.values()])
    assert report.seconds > 0
    assert (report.fl_round, report.dropped, report.absent) == (1, {}, frozenset())


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
async def test_whoever_vanishes_where_the_sum_is_exact_or_there_is_none(loopback, seed):
    draw = random.Random(seed)  # noqa: S311  # which fault to inject is no secret
    talk = loopback(7, losses=2)
    for bank in draw.sample(talk.banks, 2):
        bank.kill_at = draw.choice(["AdvertiseKeys", "ShareKeys", "MaskedInput", "Confirm", "UnmaskShares"])
    await talk.run()
    (report,) = talk.reports
    assert set(report.outcome.aggregate.vector) == {sum(2**place for place in report.included)}
    lost_after_u3 = {place for place, (stage, _) in report.dropped.items() if stage in ("confirm", "unmask")}
    assert report.included == frozenset(range(7)) - (report.dropped.keys() - lost_after_u3)
