"""Any chunking of any bytes -> the same frames, or FrameError; never more in memory than the largest frame allowed."""

from collections.abc import Iterator, Sequence
from random import Random

from fuzz_mutations import of_blocks
from fuzz_target import Bytes, Target, blocks, require
from fuzz_wire import controls

from net.errors import FrameError
from net.framing import HEADER_BYTES, Deframer, Frame, Kind, pieces
from net.peer import read_control, split_session

MOST_CALLS = 64
LARGEST = 300
_KINDS = tuple(Kind)
_LIMITS = {Kind.CONTROL: 100, Kind.MESSAGE: LARGEST, Kind.UPLOAD: 40}


def _frame(kind: Kind, body: bytes) -> bytes:
    return b"".join(map(bytes, pieces(kind, body)))


# However the stream is cut


def chunked(data: bytes) -> None:
    """The first two bytes say how the rest is cut. The same frames come, and then the same error, as in one piece."""
    cuts, stream = data[:2], data[2:]
    whole, at_once = _read(stream, [len(stream)])
    cut, in_pieces = _read(stream, [1 + byte % 64 for byte in cuts] or [1])
    require(cut == whole, "other frames when the stream is cut otherwise")
    require(in_pieces == at_once, f"{in_pieces} when it is cut, {at_once} in one piece")


def _read(stream: bytes, cuts: Sequence[int]) -> tuple[list[Frame], str]:
    deframer, frames = Deframer(_LIMITS), []
    try:
        for chunk in _chunks(stream, cuts):
            deframer.feed(chunk)
            for frame in iter(deframer.next, None):
                frames.append(frame)
            require(len(deframer._buffer) <= LARGEST + HEADER_BYTES, "more in memory than a frame")
        deframer.end()
    except FrameError as exc:
        return frames, str(exc)
    for frame in frames:
        _meant(frame)
    return frames, ""


def _chunks(stream: bytes, cuts: Sequence[int]) -> Iterator[bytes]:
    at, turn = 0, 0
    while at < len(stream):
        size = max(1, cuts[turn % len(cuts)])
        yield stream[at : at + size]
        at, turn = at + size, turn + 1


def _meant(frame: Frame) -> None:
    """What a frame says, or FrameError."""
    try:
        split_session(frame) if frame.kind in (Kind.MESSAGE, Kind.UPLOAD) else read_control(frame)
    except FrameError:
        return


# Whoever reads changes its mind


def steered(data: bytes) -> None:
    """Chunks come, and between them kinds are allowed once, and read past: frames that were allowed, or FrameError."""
    deframer, choices = Deframer(_LIMITS), Bytes(data)
    try:
        for block in blocks(choices, 2, MOST_CALLS):
            _steer(deframer, block, choices)
        deframer.end()
    except FrameError:
        return


def _steer(deframer: Deframer, block: Bytes, choices: Bytes) -> None:
    match block.randrange(8):
        case 0:
            deframer.discard(block.choice(_KINDS))
        case 1:
            deframer.allow_one(block.choice(_KINDS), LARGEST)
        case 2:
            require(0 <= deframer.arrived(block.choice(_KINDS)) <= LARGEST + 256, "more has arrived than was fed")
        case _:
            size = block.randrange(256)
            deframer.feed(choices.take(size))
            _take_all(deframer, size)


def _take_all(deframer: Deframer, fed: int) -> None:
    discarded = set(deframer.discarded)
    for frame in iter(deframer.next, None):
        require(frame.kind not in discarded, "a frame that is to be read past")
        require(len(frame.body) <= LARGEST, "a frame above every limit")
    require(len(deframer._buffer) <= LARGEST + HEADER_BYTES + fed, "more in memory than a frame")


def _chunked_seeds() -> list[bytes]:
    session = (7).to_bytes(4, "big")
    said = [_frame(Kind.CONTROL, body) for body in controls() if len(body) <= _LIMITS[Kind.CONTROL]]
    said += [_frame(Kind.MESSAGE, session + bytes(size)) for size in (0, 200)] + [_frame(Kind.UPLOAD, bytes(40))]
    return [b"\x05\x11" + one for one in said] + [b"\x3f\x01" + b"".join(said)]


def _steered_seeds() -> list[bytes]:
    chance = Random("steered")
    frames = [_frame(chance.choice(_KINDS), bytes(chance.randrange(60))) for _ in range(30)]
    fed = [bytes([3, len(frame)]) + frame for frame in frames]
    return [
        b"".join(bytes([chance.randrange(3), chance.randrange(4)]) + one for one in fed[at : at + 6])
        for at in range(24)
    ]


_HEADERS = tuple(
    size.to_bytes(4, "big") + bytes([kind]) for kind in Kind for size in (0, 40, 41, 100, 300, 301, 2**32 - 1)
)

TARGETS = (
    Target("stream-chunked", chunked, _chunked_seeds, 1000, words=_HEADERS),
    Target("stream-steered", steered, _steered_seeds, 1000, words=_HEADERS, mutate=of_blocks(2, behind=0)),
)
