"""The file: what it gives back, what it does not, and who cannot read it."""

import os
import stat
from dataclasses import replace

import pytest

from mpc.keys import SigningKey
from net.control import Task
from net.coordinator_journal import CoordinatorJournal, OpenSession
from net.errors import JournalError, NetError
from net.framing import Kind
from net.journal import SALT_BYTES, Journal, Piece, storage_key
from net.ledger_file import LedgerFile
from net.party_journal import KeptSession, PartyJournal
from protocols.ledger import NOTHING_ANSWERED

US, OTHERS = (SigningKey(bytes([one]) * 32) for one in (1, 2))
TASK = Task(3, 2, bytes(32), bytes(16))
CONSORTIUM = bytes(31) + b"c"

posix_only = pytest.mark.skipif(os.name != "posix", reason="modes are a matter of POSIX")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "bank.journal"


@pytest.fixture
def journal(path):
    one = Journal(path, storage_key(US, "test"))
    one.begin()
    yield one
    one.close()


def test_pieces_come_back_in_any_order_from_another_process_too(journal, path):
    bodies = [b"", b"one", bytes(1000)]
    pieces = [journal.put(body) for body in bodies]
    journal.sync()
    other = Journal(path, storage_key(US, "test"))
    assert [other.read(piece) for piece in reversed(pieces)] == bodies[::-1]
    other.close()


@pytest.mark.parametrize("length", [0, 1, 999, 1000, 1001, 3000])
def test_a_piece_that_is_larger_than_a_part_is_sealed_in_parts(journal, monkeypatch, length):
    monkeypatch.setattr("net.journal.PART_BYTES", 1000)
    body = os.urandom(length)
    first, piece, after = journal.put(b"before"), journal.put(body), journal.put(b"after")
    assert [journal.read(one) for one in (first, piece, after)] == [b"before", body, b"after"]
    assert piece.parts == max(1, -(-length // 1000))


@posix_only
def test_it_is_its_owners_alone_also_in_the_place_of_one_that_is_not(path):
    path.write_bytes(b"open")
    path.chmod(0o644)
    journal = Journal(path, storage_key(US, "test"))
    journal.begin()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_bytes() == b""
    journal.close()


@posix_only
def test_it_takes_the_place_of_a_link_and_not_of_what_the_link_names(path, tmp_path):
    (tmp_path / "elsewhere").write_bytes(b"mine")
    path.symlink_to(tmp_path / "elsewhere")
    journal = Journal(path, storage_key(US, "test"))
    journal.begin()
    journal.put(b"secret")
    assert (tmp_path / "elsewhere").read_bytes() == b"mine"
    journal.close()


def test_neither_what_was_put_nor_the_salt_of_its_key_is_in_the_file(journal, path):
    piece = journal.put(b"a masked input" * 10)
    assert b"masked" not in path.read_bytes()
    assert piece.salt not in path.read_bytes()
    assert piece.salt.hex() not in repr(piece)


@pytest.mark.parametrize("other", [storage_key(OTHERS, "test"), storage_key(US, "another use")])
def test_another_identity_or_use_opens_nothing(journal, path, other):
    piece = journal.put(b"body")
    stranger = Journal(path, other)
    with pytest.raises(JournalError, match=r"bank\.journal: torn, damaged, or of another identity or time"):
        stranger.read(piece)
    stranger.close()


def test_every_byte_counts_and_so_does_every_field_of_its_place(journal, path):
    piece = journal.put(b"body")
    sealed = path.read_bytes()
    for at in range(len(sealed)):
        path.write_bytes(sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :])
        with pytest.raises(JournalError, match="torn, damaged"):
            journal.read(piece)
        path.write_bytes(sealed[:at])
        with pytest.raises(JournalError, match="torn, damaged"):
            journal.read(piece)
    path.write_bytes(sealed)
    assert journal.read(piece) == b"body"
    for wrong in (replace(piece, at=1), replace(piece, length=3), replace(piece, salt=bytes(SALT_BYTES))):
        with pytest.raises(JournalError):
            journal.read(wrong)


def test_what_stands_behind_the_last_piece_is_cut_off(journal, path):
    last = journal.put(b"confirmed")
    journal.put(b"not any more")
    journal.resume(last)
    assert path.stat().st_size == last.sealed_length
    again = journal.put(b"another")
    assert (journal.read(last), journal.read(again)) == (b"confirmed", b"another")


def test_a_file_that_is_not_there_or_cannot_be_written_is_an_error_for_people(tmp_path):
    gone = Journal(tmp_path / "gone", storage_key(US, "test"))
    with pytest.raises(JournalError, match="gone: cannot be read: No such file"):
        gone.read(Piece(0, 1, bytes(SALT_BYTES)))
    nowhere = Journal(tmp_path / "none" / "journal", storage_key(US, "test"))
    with pytest.raises(NetError, match="journal: cannot be written: No such file"):
        nowhere.begin()


# A party's


class Machine:
    """Says what a machine would, of a number."""

    ledger = NOTHING_ANSWERED

    def __init__(self, number):
        self.number = number

    def snapshot(self):
        return b"state %d" % self.number


BEGUN = KeptSession(TASK, bytes(32), 0, False, ())


@pytest.fixture
def ledger_file(tmp_path):
    return LedgerFile(tmp_path / "bank.ledger")


@pytest.fixture
def party(path, ledger_file):
    one = PartyJournal(path, US, ledger_file.write)
    yield one
    one.close()


def reopened(path, ledger_file):
    _, last = ledger_file.read_journaled()
    journal = PartyJournal(path, US, ledger_file.write)
    try:
        return journal.read(last)
    finally:
        journal.close()


def test_the_ledger_leads_to_the_newest_step_with_all_that_was_said(party, path, ledger_file):
    kept = party.write(replace(BEGUN, taken=1), Machine(1), [(Kind.MESSAGE, b"keys")])
    kept = party.write(replace(kept, taken=2), Machine(2), [(Kind.UPLOAD, b"masked"), (Kind.MESSAGE, b"more")])
    again = reopened(path, ledger_file)
    assert (again.taken, again.snapshot, again.task) == (2, b"state 2", TASK)
    assert [(frame.kind, frame.size) for frame in again.frames] == [(Kind.MESSAGE, 4), (Kind.UPLOAD, 6), (2, 4)]
    assert [party.body(frame) for frame in again.frames] == [b"keys", b"masked", b"more"]


def test_a_step_before_the_newest_is_closed_to_whoever_has_the_identity(party, path, ledger_file):
    """Its salt is gone with the ledger that led to it: it is neither in the files nor in what they lead to."""
    kept = party.write(BEGUN, Machine(1), [(Kind.MESSAGE, b"keys")])
    _, older = ledger_file.read_journaled()
    party.write(kept, Machine(2), [])
    assert b"state 1" in party._file.read(older)  # with its salt it would open
    everything = path.read_bytes() + (path.parent / "bank.ledger").read_bytes() + repr(kept.frames).encode()
    everything += b"".join(frame.body.salt for frame in reopened(path, ledger_file).frames)
    assert older.salt not in everything


def test_after_a_step_that_the_ledger_does_not_know_the_one_before_it_stands(party, path, ledger_file, monkeypatch):
    kept = party.write(BEGUN, Machine(1), [(Kind.MESSAGE, b"keys")])
    monkeypatch.setattr(party, "_keep", lambda ledger, last: None)  # the process ended in between
    party.write(kept, Machine(2), [(Kind.MESSAGE, b"shares")])
    again = reopened(path, ledger_file)
    assert (again.snapshot, len(again.frames)) == (b"state 1", 1)


def test_a_session_that_is_over_leaves_no_file_and_no_way_to_one(party, path, ledger_file):
    kept = party.write(BEGUN, Machine(1), [])
    party.finish(kept, Machine(1))
    assert ledger_file.read_journaled() == (NOTHING_ANSWERED, None)
    assert not path.exists()


def test_what_a_machine_hands_on_stays_without_what_it_said(party, path, ledger_file):
    kept, ended = party.write(BEGUN, Machine(1), [(Kind.UPLOAD, b"masked")]), Machine(2)
    ended.epoch = "keys of rounds to come"
    party.finish(kept, ended)
    again = reopened(path, ledger_file)
    assert (again.snapshot, again.frames) == (b"state 2", ())


# A coordinator's


@pytest.fixture
def hub(path):
    one = CoordinatorJournal(path, US, CONSORTIUM)
    one.begin(TASK, frozenset({0, 1, 2}))
    yield one
    one.close()


STEPS = [
    ([((0, 1, 2), b"invitation")], {}, b"one"),
    ([((0,), b"for 0"), ((1,), b"for 1"), ((0, 1), b"roster")], {0: 1, 1: 1, 2: 1}, b"two"),
    ([((1,), b"last")], {0: 2, 1: 1, 2: 1}, b"three"),
]
TOLD = {0: [b"invitation", b"for 0", b"roster"], 1: [b"invitation", b"for 1", b"roster", b"last"], 2: [b"invitation"]}


def write(hub, steps=3):
    for step in STEPS[:steps]:
        hub.write(*step)


def taken_up(path, consortium=CONSORTIUM, identity=US):
    journal = CoordinatorJournal(path, identity, consortium)
    try:
        return journal.read(), journal
    finally:
        journal.close()


def test_a_coordinators_journal_leads_to_its_newest_step_and_to_all_that_it_said(hub, path):
    write(hub)
    session, journal = taken_up(path)
    assert session == OpenSession(TASK, frozenset({0, 1, 2}), {0: 2, 1: 1, 2: 1}, b"three")
    for party, bodies in TOLD.items():
        assert journal.sent_to(party) == hub.sent_to(party) == len(bodies)
        assert [journal.bodies(party, since) for since in (0, 1)] == [bodies, bodies[1:]]
    journal.close()


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_a_step_that_was_torn_leaves_the_one_before_it(hub, path, steps):
    write(hub, steps)
    whole = path.stat().st_size
    with path.open("r+b") as file:
        file.truncate(whole - 1)
    if steps == 1:
        with pytest.raises(JournalError, match="torn, damaged"):
            taken_up(path)
        return
    session, journal = taken_up(path)
    assert session.snapshot == STEPS[steps - 2][2]
    again = CoordinatorJournal(path, US, CONSORTIUM)
    again.read()
    again.write(*STEPS[steps - 1])
    again.close()
    assert taken_up(path)[0].snapshot == STEPS[steps - 1][2]
    journal.close()


def damage(path, piece):
    raw = bytearray(path.read_bytes())
    raw[piece.at] ^= 1
    path.write_bytes(bytes(raw))


def test_where_an_earlier_step_is_damaged_nothing_is_taken_up(hub, path):
    write(hub, 1)
    first = hub._last
    hub.write(*STEPS[1])
    damage(path, first)
    with pytest.raises(JournalError, match="torn, damaged"):
        taken_up(path)


def test_what_was_said_and_is_damaged_is_not_said_again(hub, path):
    write(hub)
    damage(path, hub._words[1].body)
    assert hub.bodies(1, 0) == TOLD[1]
    with pytest.raises(JournalError, match="torn, damaged"):
        hub.bodies(0, 1)


@pytest.mark.parametrize("head", [bytes(1), os.urandom(2 * 56), b"\xff" * 112])
def test_a_head_that_is_no_head_is_an_error_or_nothing(hub, path, head):
    write(hub)
    raw = path.read_bytes()
    path.write_bytes(head + raw[len(head) :])
    if head == bytes(1):  # where a number begins: it is as it was
        assert taken_up(path)[0] is not None
        return
    with pytest.raises(JournalError):
        taken_up(path)


def test_without_a_session_there_is_nothing_to_take_up(hub, path):
    assert taken_up(path)[0] is None
    write(hub)
    hub.end()
    assert taken_up(path)[0] is None
    assert hub.bodies(0, 2) == [b"roster"]  # for who comes back while this process runs
    hub.erase()
    assert not path.exists()


def test_an_ended_machine_stays_for_what_it_hands_on(hub, path):
    write(hub)
    hub.end()
    hub.leave(b"ended")
    session, journal = taken_up(path)
    assert (session.snapshot, session.taken, journal.sent_to(0)) == (b"ended", {}, 0)


@pytest.mark.parametrize(
    ("changes", "text"),
    [({"consortium": bytes(32)}, "another consortium's file"), ({"identity": OTHERS}, "of another identity")],
)
def test_another_consortium_or_coordinator_takes_up_nothing(hub, path, changes, text):
    write(hub)
    with pytest.raises(JournalError, match=text):
        taken_up(path, **changes)


def test_no_snapshot_stays_in_memory_once_it_is_written(party):
    kept = party.write(BEGUN, Machine(1), [(Kind.MESSAGE, b"keys")])
    assert kept.snapshot == b""
    assert not any(isinstance(value, KeptSession | bytes) for value in vars(party).values())
