"""Any bytes on an authenticated connection -> the session goes on without that side, or this process ends with a line
for people. No exception but `NetError`, and no wrong sum.

The other side is played by an input: a party against a coordinator that collects a session of five, and a coordinator
against a party. Both run as in their processes, over a stream in memory, with a clock that waits for nothing.
"""

import copy
import math
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import numpy as np
import trio
from fuzz_files import consortium_of, keys_of, mean_payloads, means_of
from fuzz_mutations import of_blocks
from fuzz_recorded import case_of, recorded, without_loss
from fuzz_target import Bytes, Target, blocks, require
from trio.testing import MockClock, memory_stream_pair, wait_all_tasks_blocked

from fl_integration.means import Means, MeanWorkload
from net.answered import Answered
from net.collecting import Collecting
from net.config import Address, PartyConfig, PartyTerms, dump_consortium
from net.contributing import Contributing
from net.control import (
    CONTROL,
    CONTROL_LIMIT,
    Finished,
    Grant,
    Hello,
    Offer,
    Over,
    Ready,
    Reason,
    Refused,
    Task,
    Want,
    Welcome,
)
from net.errors import NetError
from net.framing import Deframer, Kind, pieces
from net.hall import Said, Sent, Visit
from net.membership import Membership
from net.party import _Conversation, _Party
from net.peer import Peer, in_session
from net.policy import Policy, RoundPolicy
from net.store import write_keys
from net.workload import Held
from protocols.errors import SERVER, PartyId
from protocols.family import Family
from protocols.ledger import NOTHING_ANSWERED, Ledger
from protocols.machine import Aborted, Aggregate
from protocols.machine import Finished as Summed
from protocols.messages import CODEC, Invitation
from protocols.session import WIRE, model_digest

BLOCK = 8
MOST_BLOCKS = 40
_NUMBERS = (1, 0, 2, 3, 2**31, 2**32 - 1, 2**32, 2**63, 2**64 - 1)


def _frame(kind: Kind, *parts: bytes) -> bytes:
    return b"".join(map(bytes, pieces(kind, *parts)))


def _say(message: object) -> bytes:
    return _frame(Kind.CONTROL, CONTROL.encode(message))


async def _inline(call: Callable[..., Any], *given: Any, **_: Any) -> Any:
    """In place of a thread: the same every time."""
    await trio.lowlevel.checkpoint()
    return call(*given)


def _nothing(*_: object) -> None:
    return


def _run(talk: Callable[[], Coroutine[Any, Any, None]]) -> None:
    with patch.object(trio.to_thread, "run_sync", _inline):
        trio.run(talk, clock=MockClock(autojump_threshold=0))


async def _drain(stream: trio.abc.ReceiveStream) -> None:
    try:
        while await stream.receive_some():
            pass
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        return


async def _write(stream: trio.abc.SendStream, frames: Iterator[bytes]) -> None:
    """Each when all that the one before led to has happened; then the connection ends."""
    try:
        for frame in frames:
            await stream.send_all(frame)
            await wait_all_tasks_blocked()
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        pass
    await stream.aclose()


# A party, against a coordinator

ODD_ONE = PartyId(0)


class Room:
    """What `Visit` and `Collecting` need of a hall."""

    role = "coordinator"

    def __init__(self) -> None:
        self.consortium = consortium_of(means_of())
        self.limits = {Kind.CONTROL: CONTROL_LIMIT}
        self._send, self._inbox = trio.open_memory_channel[Any](0)

    async def next_event(self) -> Any:
        return await self._inbox.receive()

    async def report(self, event: Any) -> None:
        await self._send.send(event)

    def name(self, party: PartyId) -> str:
        return f"party-{party}"


class Line:
    """An honest party and its connection, for the coordinator a `Peer`: what it posts goes to the party's machine."""

    def __init__(self, party: PartyId, machine: Any, room: Room, family: Family) -> None:
        self.deframer = Deframer({})
        self._room = room
        self._post, self._waiting = trio.open_memory_channel[Any](math.inf)
        self._party = Contributing(
            Task(1, 1, bytes(32)), Held(b"", bytes(32), 1, False), family, machine, _Back(party, self, self._post),
            trains=False, most_waiting=2**20, before_send=_nothing, on_upload=_nothing, keep=_nothing,
        )  # fmt: skip

    def say(self, message: Any) -> None:
        if isinstance(message, Grant):
            self._post.send_nowait(self._party.granted)

    def post(self, kind: Kind, *parts: bytes, progress: Any = None) -> None:
        self._post.send_nowait(partial(self._party.receive, parts[-1]))

    async def run(self) -> None:
        """One thing after the other: calls of the party, and events for the coordinator."""
        await self._party.start()
        async for item in self._waiting:
            if not callable(item):
                await self._room.report(item)
            elif (done := item()) is not None:
                await done


class _Back:
    """The other direction: what the party posts."""

    def __init__(self, party: PartyId, line: Line, post: Any) -> None:
        self._party, self._line, self._post = party, line, post

    def say(self, message: Any) -> None:
        self._post.send_nowait(Said(self._party, self._line, message))

    def post(self, kind: Kind, *parts: bytes, progress: Any = None) -> None:
        self._post.send_nowait(Sent(self._party, self._line, 1, parts[-1], kind is Kind.UPLOAD))


def coordinator(name: str, data: bytes) -> None:
    """A session that a coordinator collects of six parties; what one of them sends an input says."""
    _run(Collected(name, Bytes(data)).run)


class Collected:
    """One session. honest: whether the odd one has said nothing but what it said in the recorded one."""

    def __init__(self, name: str, choices: Bytes) -> None:
        self._family, self._choices = case_of(name).family, choices
        self._room, frames = without_loss(name)
        self._own = list(dict.fromkeys(data for sender, _, data in frames if sender == ODD_ONE))
        self._machines = self._room.machines()
        self._summed: list[Aggregate] = []
        self._honest = True

    async def run(self) -> None:
        hall, (here, there) = Room(), memory_stream_pair()
        odd_one = Peer(here)
        with trio.fail_after(3600):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_visit, hall, odd_one)
                nursery.start_soon(_drain, there)
                await there.send_all(_say(Hello(WIRE, hall.consortium.digest, int(time.time()))))
                await hall.next_event()
                lines = self._lines(hall)
                for line in lines.values():
                    nursery.start_soon(line.run)
                nursery.start_soon(_write, there, self._said())
                outcome = await self._collecting(hall, {ODD_ONE: odd_one, **lines}).run(Policy(RoundPolicy(20.0)))
                nursery.cancel_scope.cancel()
        require(isinstance(outcome, Summed | Aborted), "a session without an end")
        for aggregate in self._summed if self._honest else []:
            expected = self._room.plain_sum(aggregate.included)
            require(np.array_equal(aggregate.vector, expected), "a wrong sum")

    def _lines(self, hall: Room) -> dict[PartyId, Line]:
        honest = self._machines.keys() - {SERVER, ODD_ONE}
        return {party: Line(party, self._machines[party], hall, self._family) for party in sorted(honest)}

    def _collecting(self, hall: Any, members: dict[PartyId, Any]) -> Collecting:
        server: Any = self._machines[SERVER]
        limits = self._family.limits(self._room.params, len(members))
        return Collecting(
            self._family, server, 1, members, hall, absent=frozenset(), limits=limits, settle=self._settle
        )

    async def _settle(self, aggregate: Aggregate) -> None:
        self._summed.append(aggregate)

    def _said(self) -> Iterator[bytes]:
        """What the odd one sends, block by block."""
        for pick in blocks(self._choices, BLOCK, MOST_BLOCKS):
            match pick.randrange(12):
                case 10:
                    yield _say(pick.choice(_party_says(pick)))
                case 11:
                    yield pick.rest()
                case kind:
                    yield from self._message(kind, pick)

    def _message(self, kind: int, pick: Bytes) -> Iterator[bytes]:
        """One that the odd one said; of some kinds as another frame, in another session, or changed."""
        body = pick.choice(self._own)
        upload = isinstance(self._family.codec.decode(body), self._family.uploads)
        if kind >= 8:
            at = pick.randrange(len(body))
            body = body[:at] + bytes([body[at] ^ 1 << pick.randrange(8)]) + body[at + 1 :]
            self._honest = False
        if upload:
            yield _say(Offer(1, len(body)))
        yield _frame(Kind.UPLOAD if upload != (kind == 7) else Kind.MESSAGE, *in_session(1 + (kind == 6), body))


async def _visit(hall: Any, peer: Peer) -> None:
    visit = Visit(hall, ODD_ONE, _nothing)
    await peer.serve(visit.converse)
    await visit.leave()


def _party_says(pick: Bytes) -> tuple[object, ...]:
    number = pick.choice(_NUMBERS)
    return (
        Offer(1, number), Offer(number, 10), Ready(number), Want(bytes(32)), Welcome(), Over(number),
        Refused(Reason.OTHER_MODEL, "no"), Hello(WIRE, bytes(32), number),
    )  # fmt: skip


# A coordinator, against a party


class Keeper:
    """A ledger that nobody needs again."""

    def held(self) -> AbstractContextManager[None]:
        return nullcontext()

    def read(self) -> Ledger:
        return NOTHING_ANSWERED

    def write(self, ledger: Ledger) -> None:
        return


class Quiet(_Party):
    """A party whose payload stays in memory."""

    async def keep(self, held: Held) -> None:
        self.held = held


@cache
def _workload() -> MeanWorkload:
    """What a program contributes to, that has nothing but zeros."""
    means = Means.from_mapping(means_of(), max_weight=16)
    return MeanWorkload(means, 5, lambda asked: asked.codec.field.zeros(asked.codec.vector_length))


@cache
def _made() -> Quiet:
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "consortium.toml").write_text(dump_consortium(consortium_of(means_of())))
        write_keys(folder / "bank.key", keys_of("bank-1"))
        config = PartyConfig(
            consortium=folder / "consortium.toml", identity=folder / "bank.key", payload=folder / "bank.model",
            address=Address("127.0.0.1", 1), terms=PartyTerms(max_colluding=1),
        )  # fmt: skip
        workload, first = _workload(), mean_payloads()[0]
        answered = Answered(Keeper(), workload)
        return Quiet(config, workload, first, _nothing, _nothing, trio.Event(), False, answered, Membership.of(config))


def _fresh() -> Quiet:
    party = copy.copy(_made())
    party.stop, party.answered = trio.Event(), Answered(Keeper(), party.workload)
    party.held = Held.of(party.workload, mean_payloads()[0])
    return party


def party(data: bytes) -> None:
    """A party's conversation with a coordinator; what that one sends an input says."""
    _run(partial(_converse, data))


async def _converse(data: bytes) -> None:
    here, there = memory_stream_pair()
    conversation = _Conversation(_fresh())
    with trio.fail_after(3600):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_drain, there)
            nursery.start_soon(_write, there, _of_a_coordinator(conversation, Bytes(data)))
            try:
                await Peer(here).serve(conversation.run)
            except NetError as exc:
                require(str(exc), "an error that says nothing")
            finally:
                conversation.give_up()
            nursery.cancel_scope.cancel()


def _of_a_coordinator(conversation: _Conversation, choices: Bytes) -> Iterator[bytes]:
    """The first byte says whether it welcomes the party."""
    if choices.randrange(8):
        yield _say(Welcome())
    for pick in blocks(choices, BLOCK, MOST_BLOCKS):
        yield _coordinator_says(conversation._party.held, pick)


def _coordinator_says(held: Held, pick: Bytes) -> bytes:
    kind = pick.randrange(11)
    number, fl_round = pick.choice(_NUMBERS), pick.choice((1, 2, 3, 0, 2**63))
    payload = pick.choice((*mean_payloads(), held.payload, b"", b"\xff"))
    digest = pick.choice((held.digest, *map(model_digest, mean_payloads()), bytes(32)))
    messages = (_invitation(held), *recorded("secagg-active").frames[0][2:], b"", b"\x93")
    match kind:
        case 0:
            return _say(Welcome())
        case 1 | 2:
            return _say(Task(number, fl_round, digest))
        case 3 | 4:
            return _frame(Kind.MESSAGE, *in_session(number % 2**32, pick.choice(messages)))
        case 5:
            return _say(pick.choice((Grant(number), Over(number))))
        case 6:
            return _say(Finished(fl_round, digest))
        case 7:
            return _frame(Kind.PAYLOAD, payload)
        case 8:
            return _say(pick.choice((Refused(Reason.CLOCK, "set both"), Ready(number), Offer(number, 1), Want(digest))))
        case 9:
            return _frame(pick.choice(tuple(Kind)), pick.rest())
        case _:
            return pick.rest()


def _invitation(held: Held) -> bytes:
    """To a session that the party takes part in."""
    consortium = _made().member.consortium
    params = consortium.params(consortium.subject(held.digest), _workload().spec(held.payload), bytes(32))
    return CODEC.encode(Invitation(params))


def _block(*choices: int) -> bytes:
    return bytes(choices).ljust(BLOCK, b"\0")


def _party_seeds() -> list[bytes]:
    """It joins a session, and loses it; it is given a payload; all is over."""
    welcome, task, invited = b"\1", _block(1), _block(3)
    catch_up = _block(1, 0, 1, 0, 2) + _block(7, 0, 0, 1)
    everything = _block(1, 0, 1, 0, 2) + _block(7, 0, 0, 1) + invited + _block(1, 1, 2) + _block(6, 0, 2)
    return [
        welcome + everything,
        welcome + task + invited + _block(5, 0),
        welcome + task + invited + _block(6),
        welcome + catch_up + invited,
    ]


def _coordinator_seeds(name: str) -> list[bytes]:
    """All that the odd one said, in order; and the same until it goes."""
    own = list(dict.fromkeys(data for sender, _, data in without_loss(name)[1] if sender == ODD_ONE))
    whole = [_block(0, place) for place in range(len(own))]
    return [b"".join(whole[:count]) for count in range(1, len(whole) + 1)]


_COLLECTED = ("secagg-active", "secagg+-active", "lightsecagg-active", "committee")

TARGETS = (
    Target("connection-party", party, _party_seeds, 10, mutate=of_blocks(BLOCK, behind=1)),
    *(
        Target(
            f"connection-coordinator-{name}",
            partial(coordinator, name),
            partial(_coordinator_seeds, name),
            1,
            mutate=of_blocks(BLOCK, behind=0),
        )
        for name in _COLLECTED
    ),
)
