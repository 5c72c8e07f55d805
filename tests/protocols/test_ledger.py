"""The ledger as a value, and what it refuses: real machines, a coordinator that asks twice, a snapshot of yesterday."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import count

import numpy as np
import pytest
from conversation import Room
from hypothesis import given
from hypothesis import strategies as st
from recorded import ME, parties, recorded
from sessions import bounded

from mpc.field import FieldVector
from mpc.hashing import digest
from mpc.randomness import SeededRandomness
from protocols.errors import SERVER, AbortReason, DropReason, LocalProtocolError, PartyId, PeerMisbehaved, WireError
from protocols.exchange import Exchange
from protocols.ledger import (
    NOTHING_ANSWERED,
    ONE_VERSION,
    LastSum,
    Ledger,
    OpenSession,
    RevealedSum,
    SmallChange,
    SummedAgain,
    differencing_key,
)
from protocols.machine import Aborted, Finished, Outcome
from protocols.messages import CODEC, Invitation, Round
from protocols.secagg import Client, Server
from protocols.secagg.states import AwaitingInvitation, AwaitingRoster, AwaitingShares, AwaitingSurvivors, Ended
from protocols.session import Terms, Variant
from protocols.wire import PartySet

KEY, OTHER_KEY = digest("key", 1), digest("key", 2)
EVERYBODY = parties(0, 1, 2, 3, 4)
VICTIM = PartyId(4)

digests = st.binary(min_size=32, max_size=32)
sets = st.frozensets(st.integers(0, 40).map(PartyId))
ledgers = st.builds(
    lambda opened, sums, last: Ledger(
        tuple(OpenSession(name, opened[name]) for name in sorted(opened)),
        tuple(RevealedSum(key, *sums[key]) for key in sorted(sums)),
        last,
    ),
    st.dictionaries(digests, st.integers(0, 2**64 - 1), max_size=4),
    st.dictionaries(digests, st.tuples(digests, st.integers(0, 2**32), sets), max_size=4),
    st.none() | st.builds(LastSum, digests, sets, st.lists(sets, max_size=3).map(tuple)),
)


def terms(**changes: object) -> Terms:
    return replace(Room().terms, **changes)  # type: ignore[arg-type]


# The value


@bounded(15)
@given(ledgers)
def test_a_ledger_comes_back_from_its_bytes(ledger: Ledger) -> None:
    assert Ledger.from_bytes(ledger.to_bytes()) == ledger


@bounded(30)
@given(ledgers, st.floats(0, 1, exclude_max=True))
def test_bytes_that_are_not_a_ledgers_own_are_refused_whole(ledger: Ledger, part: float) -> None:
    written = ledger.to_bytes()
    for wrong in (written[: int(part * len(written))], written + b"\0"):
        with pytest.raises(WireError):
            Ledger.from_bytes(wrong)


def test_entries_out_of_order_or_twice_are_no_ledger() -> None:
    first, second = sorted((KEY, OTHER_KEY))
    for names in ((second, first), (first, first)):
        with pytest.raises(ValueError, match="in order, each once"):
            Ledger(sessions=tuple(OpenSession(name, 1) for name in names))
        with pytest.raises(ValueError, match="in order, each once"):
            Ledger(sums=tuple(RevealedSum(name, KEY, 1, frozenset()) for name in names))


def test_a_session_is_open_from_its_first_step_until_it_ends_or_is_given_up() -> None:
    ledger = NOTHING_ANSWERED.moved(KEY, 1).moved(OTHER_KEY, 1).moved(KEY, 2)
    assert (ledger.seq(KEY), ledger.seq(OTHER_KEY)) == (2, 1)
    assert (ledger.ended(KEY).seq(KEY), ledger.ended(KEY).seq(OTHER_KEY)) == (None, 1)
    assert ledger.burnt() == NOTHING_ANSWERED


def test_an_epoch_that_its_party_goes_on_with_is_all_that_stays_open() -> None:
    ledger = NOTHING_ANSWERED.moved(KEY, 1).moved(OTHER_KEY, 3)
    assert ledger.burnt(but=OTHER_KEY) == NOTHING_ANSWERED.moved(OTHER_KEY, 3)
    assert ledger.burnt(but=bytes(32)) == NOTHING_ANSWERED


def test_what_a_sum_is_about_changes_with_model_configuration_and_rows_and_with_nothing_else() -> None:
    subject, other = Room().terms.subject, bytes(31) + b"1"
    keys = {
        differencing_key(subject),
        differencing_key(replace(subject, model=other)),
        differencing_key(replace(subject, config=other)),
        differencing_key(subject, other),
    }
    assert len(keys) == 4
    assert differencing_key(replace(subject, last_record=other), ONE_VERSION) == differencing_key(subject)


def test_ten_thousand_training_rounds_are_under_a_megabyte() -> None:
    sums = [
        RevealedSum(digest("step", step), KEY, 1, parties(100) if step % 10 == 0 else parties()) for step in range(999)
    ]
    ledger = Ledger(sums=tuple(sorted(sums, key=lambda one: one.key)))
    assert len(ledger.to_bytes()) < 80 * 1000


def test_sets_are_told_apart_by_identity_and_not_by_number() -> None:
    one, u3 = terms(), parties(0, 1, 2)
    ledger = NOTHING_ANSWERED.revealed(KEY, one, u3)
    members = dict(one.members)
    members[PartyId(0)], members[PartyId(3)] = members[PartyId(3)], members[PartyId(0)]
    with pytest.raises(PeerMisbehaved):
        ledger.check_survivors(KEY, replace(one, members=members), u3)
    assert ledger.check_survivors(KEY, replace(one, members=members), parties(3, 1, 2))


@pytest.mark.parametrize("u3", [parties(0, 1, 2), parties(0, 1, 2, 3, 4), parties(0, 1, 2, 4), parties(1, 2, 3)])
def test_once_our_shares_for_a_key_have_left_only_the_same_set_is_confirmed(u3: PartySet) -> None:
    ledger = NOTHING_ANSWERED.revealed(KEY, terms(), parties(0, 1, 2, 3))
    with pytest.raises(PeerMisbehaved, match="over other members have left") as refusal:
        ledger.check_survivors(KEY, terms(retries_after_reveal=9, smallest_change=0), u3)
    assert (refusal.value.sender, refusal.value.reason) == (SERVER, DropReason.SUMMED_BEFORE)
    assert ledger.check_survivors(KEY, terms(strict=True), parties(0, 1, 2, 3)) == (SummedAgain(1),)


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_a_step_is_contributed_to_once_more_for_each_retry_and_no_more(retries: int) -> None:
    ledger, own = NOTHING_ANSWERED, terms(retries_after_reveal=retries)
    for _ in range(1 + retries):
        ledger.check_attempt(KEY, own)
        ledger = ledger.revealed(KEY, own, EVERYBODY)
    with pytest.raises(PeerMisbehaved, match=f"have left {1 + retries} times") as refusal:
        ledger.check_attempt(KEY, own)
    assert refusal.value.reason is DropReason.SUMMED_BEFORE
    ledger.check_attempt(OTHER_KEY, own)


@pytest.mark.parametrize(
    ("smallest", "u3", "change"),
    [
        (2, EVERYBODY, None),
        (2, parties(0, 1, 2, 3), SmallChange(parties(), parties(4))),
        (2, parties(0, 1, 2, 3, 4, 5), SmallChange(parties(5), parties())),
        (2, parties(0, 1, 2), None),
        (2, parties(0, 1, 2, 3, 5), None),
        (3, parties(0, 1, 2, 3, 5), SmallChange(parties(5), parties(4))),
        (0, parties(0, 1, 2, 3), None),
    ],
)
def test_a_change_of_few_members_since_the_last_sum_is_warned_of_and_refused_in_strict(
    smallest: int, u3: PartySet, change: SmallChange | None
) -> None:
    members = Room(clients=6).terms.members
    own = terms(members=members, smallest_change=smallest)
    ledger = NOTHING_ANSWERED.revealed(KEY, own, EVERYBODY)
    assert ledger.check_survivors(OTHER_KEY, own, u3) == ((change,) if change else ())
    after = ledger.revealed(OTHER_KEY, own, u3)
    entry = next(one for one in after.sums if one.key == OTHER_KEY)
    assert entry.changed == (change.joined | change.left if change else frozenset())
    strict = replace(own, strict=True)
    if change is None:
        assert ledger.check_survivors(OTHER_KEY, strict, u3) == ()
    else:
        with pytest.raises(PeerMisbehaved, match="our terms are strict") as refusal:
            ledger.check_survivors(OTHER_KEY, strict, u3)
        assert refusal.value.reason is DropReason.SMALL_CHANGE


def test_a_sum_in_between_does_not_hide_a_small_change() -> None:
    own = terms()
    ledger = NOTHING_ANSWERED.revealed(KEY, own, EVERYBODY).revealed(OTHER_KEY, own, parties(0, 1))
    third = digest("key", 3)
    without = EVERYBODY - {VICTIM}
    close = SmallChange(parties(), frozenset({VICTIM}), earlier=True)
    assert ledger.check_survivors(third, own, without) == (close,)
    with pytest.raises(PeerMisbehaved, match=r"since a sum before the last party 4 left: .* our terms are strict"):
        ledger.check_survivors(third, replace(own, strict=True), without)
    assert ledger.check_survivors(third, replace(own, strict=True), EVERYBODY) == ()


def test_a_set_that_comes_back_is_warned_of_where_it_differs_from_the_last_one_only() -> None:
    own, without, few = terms(), EVERYBODY - {VICTIM}, parties(0, 1)
    ledger = NOTHING_ANSWERED
    for step, u3 in enumerate((EVERYBODY, without, EVERYBODY, few)):
        ledger = ledger.revealed(digest("step", step), own, u3)
    assert ledger.last == LastSum(own.subject.consortium, few, (without, EVERYBODY))
    assert ledger.check_survivors(KEY, own, EVERYBODY) == ()
    assert ledger.revealed(KEY, own, EVERYBODY).check_survivors(OTHER_KEY, own, EVERYBODY) == ()


def test_the_numbers_of_another_consortium_file_are_not_compared() -> None:
    ledger = NOTHING_ANSWERED.revealed(KEY, terms(), EVERYBODY)
    other = terms(subject=replace(Room().terms.subject, consortium=KEY), strict=True)
    assert ledger.check_survivors(OTHER_KEY, other, EVERYBODY - {VICTIM}) == ()


@pytest.mark.parametrize(
    ("joined", "left", "line"),
    [
        (parties(), parties(4), "since the last sum party 4 left"),
        (parties(2, 3), parties(4), "since the last sum party 2 and party 3 joined, party 4 left"),
    ],
)
def test_a_warning_is_a_line_that_names_who_changed(joined: PartySet, left: PartySet, line: str) -> None:
    assert str(SmallChange(joined, left)).startswith(f"{line}:")


# Rule 12: only the last snapshot is taken up


@dataclass
class Written:
    """One client of the recorded session, and what its driver has on disk after each step."""

    client: Client = field(default_factory=lambda: recorded().client(AwaitingInvitation))
    disk: list[tuple[bytes, Ledger]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.write()

    def write(self) -> None:
        self.disk.append((self.client.snapshot(), self.client.ledger))

    def hear(self, *states: type) -> None:
        for state in states:
            self.client.receive(SERVER, next(m for m in recorded().heard.values() if m.round is FITTING[state]))
            self.write()

    def restore(self, snapshot: int, ledger: int) -> Client:
        identity = recorded().room.identities[ME]
        kept, newest = self.disk[snapshot][0], self.disk[ledger][1]
        return Client.restore(kept, identity=identity, rand=SeededRandomness(b"new process"), ledger=newest)


FITTING = {
    AwaitingInvitation: Round.ADVERTISE,
    AwaitingRoster: Round.SHARE,
    AwaitingShares: Round.MASKED_INPUT,
    AwaitingSurvivors: Round.CONFIRM,
}


@pytest.fixture
def written() -> Written:
    one = Written()
    one.hear(*FITTING)
    return one


@pytest.mark.parametrize("step", [1, 2, 3])
def test_an_older_snapshot_is_refused_with_the_remedy(written: Written, step: int) -> None:
    with pytest.raises(
        LocalProtocolError, match=f"of step {step} of its session and the ledger says 4: .* next session"
    ):
        written.restore(step, ledger=4)
    assert written.restore(4, ledger=4).snapshot() == written.client.snapshot()


@pytest.mark.parametrize("ledger", [1, 2, 3])
def test_with_an_older_ledger_or_none_no_open_session_is_taken_up(written: Written, ledger: int) -> None:
    with pytest.raises(LocalProtocolError, match="throw it away"):
        written.restore(4, ledger=ledger)
    with pytest.raises(LocalProtocolError, match="does not know this snapshot's session"):
        written.restore(4, ledger=0)


def test_a_crash_between_the_two_writes_burns_the_session_whichever_came_first(written: Written) -> None:
    for snapshot, ledger in ((3, 4), (4, 3)):
        with pytest.raises(LocalProtocolError):
            written.restore(snapshot, ledger)


def test_before_the_invitation_and_after_the_end_there_is_nothing_to_protect(written: Written) -> None:
    written.client.abort(AbortReason.STOPPED)
    written.write()
    assert written.client.ledger == NOTHING_ANSWERED
    assert written.restore(5, ledger=0).outcome == Aborted(AbortReason.STOPPED)
    assert written.restore(0, ledger=5).outcome is None
    with pytest.raises(LocalProtocolError):
        written.restore(4, ledger=5)


def test_an_invitation_that_is_played_back_opens_no_session_that_was() -> None:
    first = Written()
    first.hear(AwaitingInvitation)
    rec = recorded()
    again = Client(
        ME,
        identity=rec.room.identities[ME],
        terms=rec.room.terms,
        rand=SeededRandomness(b"again"),
        ledger=first.client.ledger.burnt(),
    )
    again.receive(SERVER, rec.heard[Invitation])
    first.disk.append((b"", again.ledger))
    with pytest.raises(LocalProtocolError, match="does not know"):
        first.restore(1, ledger=-1)


def test_a_refused_message_leaves_the_ledger_as_it_was(written: Written) -> None:
    before = written.client.ledger
    with pytest.raises(PeerMisbehaved):
        written.client.receive(SERVER, recorded().heard[Invitation])
    assert written.client.ledger is before


def test_a_snapshot_keeps_what_its_sum_is_about() -> None:
    """Restored, the client still knows that its rows are not those of the sum before."""
    rec = recorded()
    before = NOTHING_ANSWERED.revealed(differencing_key(rec.room.terms.subject), rec.room.terms, rec.everybody)
    again = {"identity": rec.room.identities[ME], "rand": SeededRandomness(b"rows")}
    own = replace(rec.room.terms, retries_after_reveal=0)
    fresh = Client(ME, terms=own, ledger=before, local_version=KEY, **again)  # type: ignore[arg-type]
    same = Client(ME, terms=own, ledger=before, **again)  # type: ignore[arg-type]
    for client, accepts in ((fresh, True), (same, False)):
        woken = Client.restore(client.snapshot(), ledger=before, **again)  # type: ignore[arg-type]
        if accepts:
            assert woken.receive(SERVER, rec.heard[Invitation])
        else:
            with pytest.raises(PeerMisbehaved, match="our shares for this step have left 1 times"):
                woken.receive(SERVER, rec.heard[Invitation])


# Rule 13: sums that follow each other, with real machines on both sides


class Training:
    """Sessions of one consortium, each bank with its ledger. `step` names the model; inputs are those of the room."""

    def __init__(self, room: Room | None = None, **own_terms: object) -> None:
        self.room = room or Room(colluding=1)
        self.ledgers: dict[PartyId, Ledger] = dict.fromkeys(self.room.parties, NOTHING_ANSWERED)
        self.clients: dict[PartyId, Client] = {}
        self._own = own_terms
        self._nonces = count()

    def hold(self, step: int, vanish: Mapping[int, Round] | None = None) -> Outcome | None:
        nonce = next(self._nonces)
        subject = replace(self.room.params.subject, model=digest("step", step))
        params = replace(self.room.params, subject=subject, nonce=digest("nonce", nonce))
        own = replace(self.room.terms, subject=subject, **self._own)
        server = Server(params, identity=self.room.identities[SERVER], members=own.members)
        self.clients = {me: self._client(me, own, nonce) for me in self.room.parties}
        gone = {PartyId(party): round_ for party, round_ in (vanish or {}).items()}
        Exchange({SERVER: server, **self.clients}, CODEC, vanish=gone).run()
        self.ledgers = {me: client.ledger.burnt() for me, client in self.clients.items()}
        return server.outcome

    def _client(self, me: PartyId, own: Terms, nonce: int) -> Client:
        rand = self.room.rand.child(f"client {me} in {nonce}")
        client = Client(me, identity=self.room.identities[me], terms=own, rand=rand, ledger=self.ledgers[me])
        client.set_input(self.room.inputs[me])
        return client

    def forget(self) -> None:
        self.ledgers = dict.fromkeys(self.room.parties, NOTHING_ANSWERED)

    def refusals(self) -> set[PartyId]:
        refused = Aborted(AbortReason.REFUSED, DropReason.SUMMED_BEFORE)
        return {me for me, client in self.clients.items() if client.outcome == refused}


KILLED_AFTER_THE_REVEAL = {SERVER: Round.DONE}  # the sum is computed and nobody hears of it
KILLED_BEFORE_THE_REVEAL = {SERVER: Round.UNMASK}  # everybody has confirmed, and nobody is asked for shares
WITHOUT_THE_VICTIM = {VICTIM: Round.MASKED_INPUT}


def summed(outcome: Outcome | None) -> FieldVector:
    assert isinstance(outcome, Finished)
    return outcome.aggregate.vector


@pytest.mark.parametrize("variant", list(Variant))
def test_without_a_ledger_two_sums_of_one_step_give_away_the_bank_that_is_in_one_of_them(variant: Variant) -> None:
    training = Training(Room(colluding=1, variant=variant))
    with_all = summed(training.hold(1, KILLED_AFTER_THE_REVEAL))
    training.forget()
    without = summed(training.hold(1, WITHOUT_THE_VICTIM))
    stolen = training.room.field.sub(with_all, without)
    assert np.array_equal(stolen, training.room.inputs[VICTIM])


@pytest.mark.slow
@pytest.mark.parametrize("variant", list(Variant))
def test_with_it_the_second_sum_over_one_bank_less_is_refused_by_all_who_answered(variant: Variant) -> None:
    training = Training(Room(colluding=1, variant=variant))
    training.hold(1, KILLED_AFTER_THE_REVEAL)
    assert isinstance(training.hold(1, WITHOUT_THE_VICTIM), Aborted)
    assert training.refusals() == EVERYBODY - {VICTIM}
    assert training.hold(1) is not None
    assert isinstance(training.hold(2, WITHOUT_THE_VICTIM), Finished)


def test_the_refusal_holds_where_the_first_sum_was_opened_without_some_of_those_who_are_asked_again() -> None:
    """Any two quorums of t share an honest bank, and that one remembers. Here t = 4: two of them would do."""
    training = Training()
    assert isinstance(training.hold(1, {3: Round.CONFIRM}), Finished)
    assert training.ledgers[PartyId(3)] == NOTHING_ANSWERED
    training.ledgers[PartyId(0)] = NOTHING_ANSWERED  # it sides with the coordinator
    assert isinstance(training.hold(1, WITHOUT_THE_VICTIM), Aborted)
    assert training.refusals() == parties(1, 2)


def test_shares_that_were_ready_count_though_the_bank_was_lost_before_they_left() -> None:
    training = Training()
    training.hold(1, {0: Round.UNMASK})
    assert len(training.clients[PartyId(0)].ledger.sums) == 1


@pytest.mark.slow
@pytest.mark.parametrize("variant", list(Variant))
def test_before_its_shares_leave_a_bank_may_be_asked_again_with_whomever(variant: Variant) -> None:
    training = Training(Room(colluding=1, variant=variant))
    last = {Variant.ACTIVE: Round.UNMASK, Variant.CURIOUS: Round.CONFIRM}[variant]  # the message that shares answer
    for _ in range(3):
        assert training.hold(1, {SERVER: last}) is None
        assert training.refusals() == set()
    assert np.array_equal(summed(training.hold(1, WITHOUT_THE_VICTIM)), training.room.plain_sum(EVERYBODY - {VICTIM}))


@pytest.mark.slow
def test_a_coordinator_that_crashed_after_the_reveal_gets_the_same_set_once_more_and_then_no_more() -> None:
    training = Training()
    training.hold(1, KILLED_AFTER_THE_REVEAL)
    assert isinstance(training.hold(1, KILLED_AFTER_THE_REVEAL), Finished)
    assert all(client.warnings == (SummedAgain(1),) for client in training.clients.values())
    assert isinstance(training.hold(1), Aborted)
    assert training.refusals() == EVERYBODY
    assert isinstance(training.hold(2), Finished)


def test_statistics_are_contributed_once() -> None:
    training = Training(retries_after_reveal=0)
    training.hold(0, KILLED_BEFORE_THE_REVEAL)
    assert isinstance(training.hold(0, KILLED_AFTER_THE_REVEAL), Finished)
    assert isinstance(training.hold(0), Aborted)
    assert training.refusals() == EVERYBODY


@pytest.mark.slow
@pytest.mark.parametrize(
    "stage", [Round.ADVERTISE, Round.SHARE, Round.MASKED_INPUT, Round.CONFIRM, Round.UNMASK], ids=str
)
def test_a_bank_that_drops_and_returns_between_rounds_blocks_nothing_by_default(stage: Round) -> None:
    training = Training()
    included = [parties(*training_set) for training_set in ((0, 1, 2, 3, 4), (), (0, 1, 2, 3), (0, 1, 2, 3, 4))]
    assert summed(training.hold(1)) is not None
    for step, vanish in ((2, {VICTIM: stage}), (3, {VICTIM: Round.ADVERTISE}), (4, {})):
        outcome = training.hold(step, vanish)
        assert isinstance(outcome, Finished)
        assert step == 2 or outcome.aggregate.included == included[step - 1]
    gone = SmallChange(joined=parties(VICTIM), left=parties())
    assert training.clients[PartyId(0)].warnings == (gone,)


def test_strict_terms_refuse_a_sum_that_one_bank_left_or_joined() -> None:
    training = Training(strict=True)
    assert isinstance(training.hold(1), Finished)
    assert isinstance(training.hold(2, WITHOUT_THE_VICTIM), Aborted)
    refused = Aborted(AbortReason.REFUSED, DropReason.SMALL_CHANGE)
    assert [training.clients[PartyId(me)].outcome for me in range(4)] == [refused] * 4
    assert isinstance(training.hold(2), Finished)


def test_a_bank_that_is_not_in_a_sum_has_answered_nothing() -> None:
    training = Training()
    training.hold(1, WITHOUT_THE_VICTIM)
    assert training.ledgers[VICTIM] == NOTHING_ANSWERED


def test_a_session_that_has_ended_is_not_open_in_any_ledger() -> None:
    training = Training()
    training.hold(1)
    for client in training.clients.values():
        assert isinstance(client._state, Ended)
        assert client.ledger.sessions == ()
        assert client.ledger.last == LastSum(training.room.terms.subject.consortium, EVERYBODY)
