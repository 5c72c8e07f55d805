"""The file of records: a chain that only grows, and what became of a file that somebody else touched."""

import sqlite3
import stat
from contextlib import closing
from dataclasses import replace

import pytest

from net.errors import RecordsError
from net.records import RecordsFile
from protocols.errors import AbortReason
from protocols.evidence import Evidence
from protocols.machine import Aborted
from protocols.record import START, Record, RecordError
from protocols.session import VectorSpec


@pytest.fixture
def consortium(make_consortium):
    return make_consortium()


@pytest.fixture
def file(tmp_path, consortium):
    return RecordsFile(tmp_path / "model.records", consortium)


@pytest.fixture
def draw_up(make_keys, spec):
    """The next record after this head, of a session that came to nothing."""

    def make(consortium, head, fl_round=1):
        params = consortium.params(consortium.subject(bytes(32), head.digest), spec, bytes([fl_round] * 32))
        record = Record(
            head.number + 1, head.digest, bytes(32), fl_round, params, {}, Evidence(), {}, Aborted(AbortReason.TOO_FEW)
        )
        return record.signed(make_keys("coordinator").identity)

    return make


@pytest.fixture
def spec():
    from powers import FIELD, LENGTH

    return VectorSpec(LENGTH, FIELD)


@pytest.fixture
def chain(file, consortium, draw_up):
    """Four records in the file."""
    head, records = START, []
    for step in range(4):
        records.append(draw_up(consortium, head, step))
        file.append(records[-1], head)
        head = records[-1].head
    return records


def by_hand(file, *statements):
    """What somebody does to it with another program."""
    with closing(sqlite3.connect(file.path)) as database, database:
        for statement, *values in statements:
            database.execute(statement, values)


def test_a_chain_is_read_as_it_was_written(file, chain):
    assert list(file.chain()) == chain
    assert file.head() == chain[-1].head
    assert file.after(1, 2) == [record.to_bytes() for record in chain[1:3]]
    assert file.after(4, 2) == []
    assert file.others() == 0


def test_no_file_is_an_empty_chain_and_reading_makes_none(file):
    assert (file.head(), list(file.chain()), file.after(0, 5), file.others()) == (START, [], [], 0)
    assert not file.path.exists()


def test_a_file_that_was_made_and_not_yet_filled_is_an_empty_chain(file, consortium, draw_up):
    file.path.touch()
    assert file.head() == START
    file.append(draw_up(consortium, START), START)
    assert file.head().number == 1


def test_only_its_owner_reads_it(file, chain):
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600


def test_a_record_goes_behind_the_last_and_nowhere_else(file, consortium, draw_up, chain):
    for head in (START, chain[0].head, chain[2].head):
        with pytest.raises(RecordsError, match="another process writes into it"):
            file.append(draw_up(consortium, head), head)
        with pytest.raises(RecordError):
            file.append(draw_up(consortium, head), chain[-1].head)
    assert list(file.chain()) == chain


def test_two_processes_cannot_both_write_the_next_record(tmp_path, consortium, draw_up, chain, file):
    other = RecordsFile(file.path, consortium)
    file.append(draw_up(consortium, chain[-1].head, 8), chain[-1].head)
    with pytest.raises(RecordsError, match="stop it"):
        other.append(draw_up(consortium, chain[-1].head, 9), chain[-1].head)
    assert file.head().number == 5


def test_each_consortium_file_has_a_chain_of_its_own(file, chain, make_consortium, draw_up):
    later = make_consortium(version=2)
    beside = RecordsFile(file.path, later)
    assert beside.head() == START
    assert beside.others() == 4
    beside.append(draw_up(later, START), START)
    assert (beside.head().number, file.head().number, file.others()) == (1, 4, 1)


# Somebody else's hand


def what_is_wrong(file):
    """The one line that a person reads; None where the chain is whole."""
    try:
        file.head()
    except RecordsError as exc:
        return str(exc)
    return None


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_record_that_was_taken_out_is_missed(file, chain, number):
    by_hand(file, ("DELETE FROM records WHERE number = ?", number))
    with pytest.raises(RecordsError, match=f"record {number + 1} where record {number} belongs"):
        file.head()


def test_a_record_that_was_taken_out_is_missed_though_the_others_moved_up(file, chain):
    by_hand(
        file,
        ("DELETE FROM records WHERE number = 2",),
        ("UPDATE records SET number = 2 WHERE number = 3",),
        ("UPDATE records SET number = 3 WHERE number = 4",),
    )
    with pytest.raises(RecordsError, match="record 2 is in another's place"):
        file.head()


def test_records_that_changed_places_are_found(file, chain):
    by_hand(
        file,
        ("UPDATE records SET record = ? WHERE number = 2", chain[2].to_bytes()),
        ("UPDATE records SET record = ? WHERE number = 3", chain[1].to_bytes()),
    )
    with pytest.raises(RecordsError, match="record 2 is in another's place"):
        file.head()


def test_the_last_record_is_held_against_its_signature(file, chain):
    by_hand(file, ("UPDATE records SET record = ? WHERE number = 4", replace(chain[3], fl_round=99).to_bytes()))
    with pytest.raises(RecordsError, match="its signature is wrong"):
        file.head()


def test_a_record_that_was_slipped_in_for_another_breaks_the_chain_behind_it(file, chain, consortium, draw_up):
    other = draw_up(consortium, chain[0].head, 99)
    by_hand(file, ("UPDATE records SET record = ? WHERE number = 2", other.to_bytes()))
    with pytest.raises(RecordsError, match="record 3 does not follow record 2"):
        file.head()


@pytest.mark.parametrize("damaged", [b"", b"nothing", 7, "text"])
def test_what_is_no_record_is_damage(file, chain, damaged):
    by_hand(file, ("UPDATE records SET record = ? WHERE number = 2", damaged))
    with pytest.raises(RecordsError, match=r"record 2 is damaged: bring a copy from another member"):
        file.head()


@pytest.mark.slow
def test_a_byte_that_was_changed_anywhere_is_found_or_lies_in_no_record(file, chain):
    """A place where nothing is written may change unseen; what is read then is still the whole chain."""
    whole, found = file.path.read_bytes(), 0
    for place in range(0, len(whole), 37):
        torn = bytearray(whole)
        torn[place] ^= 0xFF
        file.path.write_bytes(torn)
        if what_is_wrong(file) is None:
            assert [record.digest for record in file.chain()] == [record.digest for record in chain]
        else:
            found += 1
    assert found > 50


def test_a_file_that_was_cut_off_is_torn_unless_nothing_was_in_what_is_missing(file, chain):
    whole, found = file.path.read_bytes(), 0
    for kept in range(512, len(whole), 512):
        file.path.write_bytes(whole[:kept])
        if what_is_wrong(file) is None:
            assert list(file.chain()) == chain
        else:
            found += 1
        assert file.path.read_bytes() == whole[:kept]
    assert found * 512 > len(whole) / 2


@pytest.mark.parametrize("what", ["text", "another database", "one of its own making"])
def test_a_file_of_something_else_is_left_alone(file, consortium, draw_up, what):
    if what == "text":
        file.path.write_text("a diary\n" * 100)
    else:
        with closing(sqlite3.connect(file.path)) as database, database:
            database.execute("CREATE TABLE records (consortium BLOB, number INTEGER, record BLOB)")
            if what == "one of its own making":
                database.execute("PRAGMA application_id = 0x7665696C")
    before = file.path.read_bytes()
    for use in (file.head, lambda: file.append(draw_up(consortium, START), START), lambda: file.contest(b"", "why")):
        with pytest.raises(RecordsError, match=r"model.records: not a file of records"):
            use()
    assert file.path.read_bytes() == before


def test_a_place_where_nothing_can_be_written_is_named(tmp_path, consortium, draw_up):
    file = RecordsFile(tmp_path / "no folder" / "model.records", consortium)
    with pytest.raises(RecordsError, match=r"no folder/model.records: cannot be written"):
        file.append(draw_up(consortium, START), START)


def test_a_change_that_was_cut_off_by_a_crash_did_not_happen(file, chain):
    """As a kill in the middle of a change leaves it: the file is written over, and the journal of what was there lies
    beside it."""
    whole = file.path.read_bytes()
    with closing(sqlite3.connect(file.path, isolation_level=None)) as database:
        database.execute("PRAGMA cache_spill = 1")
        database.execute("PRAGMA cache_size = 1")
        database.execute("BEGIN IMMEDIATE")
        database.execute("UPDATE records SET record = zeroblob(9000)")
        journal = file.path.with_name(file.path.name + "-journal")
        written, undone = file.path.read_bytes(), journal.read_bytes()
    assert written != whole
    file.path.write_bytes(written)
    journal.write_bytes(undone)
    assert list(file.chain()) == chain
    assert file.head() == chain[-1].head


# What cannot be believed


def test_what_is_contested_is_kept_once_apart_from_the_chain_and_within_bounds(file, chain, monkeypatch):
    monkeypatch.setattr("net.records.MOST_CONTESTED", 3)
    file.contest(b"a record, it says", "not signed")
    file.contest(b"a record, it says", "not signed")
    assert file.contested() == [("not signed", b"a record, it says")]
    for number in range(5):
        file.contest(b"%d" % number, "not signed")
    assert len(file.contested()) == 3
    assert list(file.chain()) == chain
