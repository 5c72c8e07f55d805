import pytest

from net.control import (
    CONTROL,
    Claim,
    Finished,
    Grant,
    Hello,
    Leave,
    Offer,
    Over,
    Ready,
    Reason,
    Refused,
    Resumed,
    Task,
    Want,
    Welcome,
    check_hello,
)
from net.errors import FrameError
from net.framing import Frame, Kind
from net.peer import in_session, read_control, split_session
from protocols.errors import WireError
from protocols.session import WIRE

NOW = 1_800_000_000
EVERY = [
    Hello(WIRE, bytes(32), NOW),
    Hello(WIRE, bytes(32), NOW, Claim(bytes(16), 3, 2)),
    Welcome(),
    Refused(Reason.CLOCK, "set both"),
    Task(3, 2, bytes(32), bytes(16)),
    Resumed(3, 2),
    Leave(),
    Want(bytes(32)),
    Ready(3),
    Offer(3, 1000),
    Grant(3),
    Over(3),
    Finished(6, bytes(32)),
]


@pytest.mark.parametrize("message", EVERY, ids=lambda message: type(message).__name__)
def test_every_control_message_comes_back_as_it_was_and_cut_short_is_refused(message):
    data = CONTROL.encode(message)
    assert read_control(Frame(Kind.CONTROL, data)) == message
    with pytest.raises(WireError):
        CONTROL.decode(data[:-1])
    with pytest.raises(FrameError):
        read_control(Frame(Kind.CONTROL, data + b"\x00"))


def test_only_a_control_frame_carries_control_messages():
    with pytest.raises(FrameError, match="a MESSAGE frame"):
        read_control(Frame(Kind.MESSAGE, CONTROL.encode(Welcome())))


@pytest.mark.parametrize("text", ["two\nlines", "a bell\x07", "\x1b[2J", "long " * 101])
def test_a_text_that_is_not_one_short_line_is_refused(text):
    with pytest.raises(FrameError, match="one short line"):
        read_control(Frame(Kind.CONTROL, CONTROL.encode(Refused(Reason.CLOCK, text))))


def test_a_message_frame_names_its_session():
    assert split_session(Frame(Kind.MESSAGE, b"".join(in_session(7, b"body")))) == (7, b"body")
    with pytest.raises(FrameError):
        split_session(Frame(Kind.MESSAGE, b"abc"))


def test_a_hello_of_the_same_version_consortium_and_hour_is_accepted(make_consortium):
    consortium = make_consortium(3, losses=0)
    assert check_hello(Hello(WIRE, consortium.digest, NOW + 3600), consortium, "coordinator", now=NOW) is None


@pytest.mark.parametrize(
    ("changes", "reason", "text"),
    [
        ({"wire": "veilsum/0"}, Reason.WIRE_VERSION, "install the same version on both sides"),
        ({"consortium": bytes(32)}, Reason.CONSORTIUM, "party 00000000"),
        ({"clock": NOW - 3601}, Reason.CLOCK, "3601 s behind"),
        ({"clock": NOW + 4000}, Reason.CLOCK, "4000 s ahead of"),
    ],
)
def test_a_hello_that_does_not_fit_is_refused_with_the_remedy(make_consortium, changes, reason, text):
    consortium = make_consortium(3, losses=0)
    fitting = {"wire": WIRE, "consortium": consortium.digest, "clock": NOW}
    refusal = check_hello(Hello(**{**fitting, **changes}), consortium, "coordinator", now=NOW)
    assert refusal is not None
    assert refusal.reason is reason
    assert text in refusal.text
