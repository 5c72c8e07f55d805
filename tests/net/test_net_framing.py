from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from net.errors import FrameTooLarge, Truncated, UnknownKind
from net.framing import CHUNK_BYTES, Deframer, Frame, Kind, pieces

LIMITS = dict.fromkeys(Kind, 1000)
frames = st.lists(st.builds(Frame, st.sampled_from(Kind), st.binary(max_size=200)), max_size=6)


def joined(frame):
    return b"".join(pieces(frame.kind, frame.body))


def drain(deframer):
    return list(iter(deframer.next, None))


@settings(max_examples=50)
@given(sent=frames, cuts=st.lists(st.integers(1, 60), min_size=1))
def test_frames_come_out_as_they_went_in_however_the_stream_was_cut(sent, cuts):
    data, got, deframer = b"".join(map(joined, sent)), [], Deframer(LIMITS)
    while data:
        cut = cuts[len(data) % len(cuts)]
        deframer.feed(data[:cut])
        data = data[cut:]
        got += drain(deframer)
    deframer.end()
    assert got == sent


@given(data=st.binary(max_size=400))
def test_any_bytes_are_frames_or_a_frame_error(data):
    deframer = Deframer({Kind.CONTROL: 50})
    deframer.feed(data)
    with suppress(FrameTooLarge, UnknownKind):
        assert all(frame.kind is Kind.CONTROL and len(frame.body) <= 50 for frame in drain(deframer))


def test_a_frame_above_its_limit_is_refused_before_its_body_is_there():
    deframer = Deframer({Kind.CONTROL: 10})
    deframer.feed((11).to_bytes(4, "big") + bytes([Kind.CONTROL]))
    with pytest.raises(FrameTooLarge, match="a CONTROL frame of 11 bytes, 10 are allowed now"):
        deframer.next()


def test_an_upload_without_a_grant_is_refused():
    deframer = Deframer({Kind.CONTROL: 10, Kind.MESSAGE: 10})
    deframer.feed(joined(Frame(Kind.UPLOAD, b"masked")))
    with pytest.raises(FrameTooLarge):
        deframer.next()


def test_an_unknown_kind_is_refused():
    deframer = Deframer(LIMITS)
    deframer.feed(bytes(4) + b"\x09")
    with pytest.raises(UnknownKind):
        deframer.next()


def test_a_stream_that_ends_inside_a_frame_is_truncated():
    deframer = Deframer(LIMITS)
    deframer.feed(joined(Frame(Kind.CONTROL, b"hello"))[:-1])
    assert deframer.next() is None
    with pytest.raises(Truncated):
        deframer.end()


@settings(max_examples=50)
@given(before=st.integers(0, 100), step=st.integers(1, 40))
def test_a_frame_that_is_discarded_half_way_is_forgotten_and_the_next_one_is_not(before, step):
    upload, after = joined(Frame(Kind.UPLOAD, bytes(100))), Frame(Kind.CONTROL, b"next")
    deframer = Deframer(LIMITS)
    deframer.feed(upload[:before])
    assert deframer.next() is None
    deframer.discard(Kind.UPLOAD)
    rest, got = upload[before:] + joined(after), []
    for start in range(0, len(rest), step):
        deframer.feed(rest[start : start + step])
        got += drain(deframer)
        assert len(deframer._buffer) <= step + 5
    assert got == [after]
    deframer.allow_one(Kind.UPLOAD, 100)
    deframer.feed(upload)
    assert drain(deframer) == [Frame(Kind.UPLOAD, bytes(100))]


def test_a_kind_that_is_allowed_once_is_refused_after_its_header():
    deframer = Deframer({Kind.CONTROL: 10})
    deframer.allow_one(Kind.UPLOAD, 10)
    deframer.feed(joined(Frame(Kind.UPLOAD, b"masked")) + joined(Frame(Kind.UPLOAD, b"")))
    assert deframer.next() == Frame(Kind.UPLOAD, b"masked")
    with pytest.raises(FrameTooLarge):
        deframer.next()


def test_of_a_kind_that_is_discarded_only_the_frame_that_was_allowed_is_read_past():
    upload = joined(Frame(Kind.UPLOAD, b"masked"))
    deframer = Deframer({Kind.CONTROL: 10})
    deframer.allow_one(Kind.UPLOAD, 10)
    deframer.discard(Kind.UPLOAD)
    deframer.feed(upload)
    assert deframer.next() is None
    deframer.feed(upload)
    with pytest.raises(FrameTooLarge):
        deframer.next()


def test_the_bytes_that_have_arrived_are_counted_of_the_frame_under_way_alone():
    deframer = Deframer(LIMITS)
    deframer.feed(joined(Frame(Kind.UPLOAD, bytes(100)))[:35])
    assert deframer.next() is None
    assert (deframer.arrived(Kind.UPLOAD), deframer.arrived(Kind.MESSAGE)) == (30, 0)
    deframer.discard(Kind.UPLOAD)
    assert deframer.arrived(Kind.UPLOAD) == 30


def test_a_large_body_is_written_in_pieces_and_joined_parts_are_not_copied():
    parts = list(pieces(Kind.UPLOAD, b"head", bytes(2 * CHUNK_BYTES + 1)))
    assert [len(part) for part in parts] == [5, 4, CHUNK_BYTES, CHUNK_BYTES, 1]
    assert int.from_bytes(parts[0][:4], "big") == 2 * CHUNK_BYTES + 5
