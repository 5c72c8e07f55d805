"""Any bytes of a coordinator, on connections that it authenticated -> the party's process ends well, or with a line for
people. No other exception, no hang, no wrong sum; and whatever it is asked, and however often its process ends and
begins, it says each thing of a session once.

The process is that of `run_party`, without TLS. What the coordinator says an input says; it knows what an honest one
would say, in sessions in which all stay, somebody is lost, or that are others.
"""

from dataclasses import dataclass, field, fields, replace
from functools import cache, partial
from pathlib import Path
from tempfile import mkdtemp
from types import SimpleNamespace
from typing import Any, Final
from unittest.mock import patch

import trio
from fuzz_connections import altered
from fuzz_files import consortium_of, keys_of, means_of
from fuzz_inline import BLOCK, FOREVER, MOST_BLOCKS, NUMBERS, RUN, SECONDS, Far, Paper, block, control, frame, run
from fuzz_mutations import of_blocks
from fuzz_remembered import MEMORY
from fuzz_target import Bytes, Target, blocks, require
from trio.testing import memory_stream_pair, wait_all_tasks_blocked

from mpc.field import FieldVector, PrimeField
from mpc.randomness import SeededRandomness
from net.answered import Answered
from net.config import Address, PartyConfig, PartyTerms, dump_consortium
from net.control import (
    Claim,
    Finished,
    Grant,
    Hello,
    Offer,
    Over,
    Ready,
    Reason,
    Records,
    Refused,
    Resumed,
    Task,
    Want,
    Welcome,
)
from net.errors import NetError
from net.events import Hooks, PartyEvent
from net.framing import Frame, Kind
from net.journal import Piece
from net.membership import Membership
from net.party import _Party
from net.peer import in_session, read_control, split_session
from net.policy import STOPPING_PATIENCE
from net.store import write_keys
from protocols.errors import SERVER, PartyId
from protocols.exchange import Exchange
from protocols.ledger import NOTHING_ANSWERED, Ledger
from protocols.machine import Aggregate
from protocols.messages import CODEC, AdvertiseKeys, Confirm, MaskedInput, Round, ShareKeys, UnmaskShares
from protocols.secagg.family import SECAGG
from protocols.session import Terms, VectorSpec, model_digest

ME: Final = PartyId(0)
OTHERS: Final = tuple(map(PartyId, range(1, 5)))
ONCE: Final = (AdvertiseKeys, ShareKeys, MaskedInput, Confirm, UnmaskShares)
STEPS: Final = 2
FIELD: Final = PrimeField.with_bits(20)
LOST: Final = ({}, {3: Round.SHARE}, {4: Round.MASKED_INPUT}, {2: Round.CONFIRM}, {})
"""Of the sessions that it tells: who is lost, and where. The last one has another nonce."""


class Drawn(SeededRandomness):
    """The same each time, and taken for the system's."""

    seeded = False


@dataclass
class Sums:
    """Party i adds 2**i to the first place, so a sum names its contributors; no two trainings give the same. A payload
    is the sums so far."""

    aggregates: list[Aggregate] = field(default_factory=list)
    trainings: int = 0

    def spec(self, payload: bytes) -> VectorSpec:
        return VectorSpec(3, FIELD)

    def contribute(self, payload: bytes) -> FieldVector:
        self.trainings += 1
        return FIELD.vector([2**ME, self.trainings, 0])

    def advance(self, payload: bytes, aggregate: Aggregate) -> bytes:
        self.aggregates.append(aggregate)
        total = int(aggregate.vector[0])
        require(total == sum(2**party for party in aggregate.included), "a wrong sum")
        require(ME in aggregate.included, "a sum without us")
        return payload + bytes([total])

    def fl_round(self, payload: bytes) -> int:
        if not payload.startswith(b"sums") or len(payload) > 4 + STEPS:
            raise ValueError("no payload")
        return len(payload) - 3

    def finished(self, payload: bytes) -> bool:
        return self.fl_round(payload) > STEPS


FIRST: Final = b"sums"
PAYLOADS: Final = (FIRST, b"sums\x1f", b"sums\x1f\x1f", b"sums\x17", b"", b"sums" * 9)


class Keeper:
    """A ledger that outlives its process."""

    def __init__(self) -> None:
        self._kept: tuple[Ledger, Piece | None] = NOTHING_ANSWERED, None

    def read_journaled(self) -> tuple[Ledger, Piece | None]:
        return self._kept

    def write(self, ledger: Ledger, last: Piece | None = None) -> None:
        self._kept = ledger, last


class Offline(Membership):
    def endpoint(self, others: Any, *, server: bool) -> Any:
        return None


# What an honest coordinator says


def _client(made: int, terms: Terms, ledger: Ledger) -> Any:
    rand = Drawn(f"machine {made}".encode())
    return SECAGG.contributor(ME, identity=keys_of("bank-0").identity, terms=terms, rand=rand, ledger=ledger)  # type: ignore[misc]


def _wake(process: int, snapshot: bytes, ledger: Ledger) -> Any:
    """No two processes draw the same."""
    rand = Drawn(f"process {process}".encode())
    return SECAGG.restore(snapshot, identity=keys_of("bank-0").identity, rand=rand, ledger=ledger)


def machine(made: int, terms: Terms, ledger: Ledger) -> Any:
    """That of the session that this party begins as its `made`th."""
    key = made, terms.subject, ledger.to_bytes()
    return MEMORY.machine(key, CODEC, partial(_client, made, terms, ledger), partial(_wake, 0))


@cache
def story(made: int, subject: Any, lost: int) -> list[bytes]:
    """What the coordinator says to us, in its order, in our `made`th session, about this."""
    consortium, spec = _member().consortium, Sums().spec(b"")
    terms = _member().terms(subject, spec)
    server, nonce = keys_of("coordinator").identity, bytes([lost == len(LOST) - 1]) * 32
    params = consortium.params(subject, spec, nonce)
    machines: dict[PartyId, Any] = {
        SERVER: SECAGG.collector(params, identity=server, members=consortium.members_by_id),  # type: ignore[misc]
        ME: machine(made, terms, NOTHING_ANSWERED),
    }
    for party in OTHERS:
        rand, keys = Drawn(f"other {party} {nonce.hex()}".encode()), keys_of(f"bank-{party}")
        machines[party] = SECAGG.contributor(party, identity=keys.identity, terms=terms, rand=rand)  # type: ignore[misc]
    for party in (ME, *OTHERS):
        machines[party].set_input(FIELD.vector([2**party, party == ME, 0]))
    said: list[bytes] = []
    vanish = {PartyId(party): stage for party, stage in LOST[lost].items()}
    Exchange(
        machines, CODEC, vanish=vanish,
        tap=lambda sender, to, body: said.append(body) if (sender, to) == (SERVER, ME) else None,
    ).run()  # fmt: skip
    return said


@cache
def _folder() -> Path:
    folder = Path(mkdtemp(prefix="fuzzed-"))
    (folder / "consortium.toml").write_text(dump_consortium(consortium_of(means_of())))
    write_keys(folder / "bank.key", keys_of("bank-0"))
    return folder


@cache
def _config() -> PartyConfig:
    files = [_folder() / name for name in ("consortium.toml", "bank.key", "bank.model")]
    return PartyConfig(*files, PartyTerms(max_colluding=1), Address("127.0.0.1", 1), patience=20.0)


@cache
def _member() -> Offline:
    member = Membership.of(_config())
    return Offline(**{one.name: getattr(member, one.name) for one in fields(member)})


# One party, and its coordinator


class Conversation:
    """One party process after the other, of one party. said: of each session in turn, all that it was about to say.
    heard: what left. ended: with which line, where it is one."""

    def __init__(self, choices: Bytes) -> None:
        self._choices = choices
        self._stays = bool(choices.randrange(2))
        self._far: Far | None = None
        self._welcome = control(Welcome())
        self._gone = False
        self._made = 0  # sessions begun
        self._processes = 0
        self._terms: Terms | None = None
        self._session = 0
        self._lost = 0  # which story is told
        self._next = 0  # of it
        self._taken = 0  # frames of this session
        self._claim: Claim | None = None
        self._keeper, self._paper = Keeper(), Paper(Path("bank.journal"), b"")
        self._stop = trio.Event()
        self.workload = Sums()
        self.said: list[list[bytes]] = [[]]
        self.heard: list[tuple[float, Kind, bytes]] = []
        self.events: list[PartyEvent] = []
        self.ended = ""

    async def run(self) -> None:
        for name in ("bank.model", "bank.records"):
            (_folder() / name).unlink(missing_ok=True)
        with (
            patch("net.dialling.shake_hands", self._dial),
            patch("net.dialling.SystemRandomness", lambda: Drawn(b"backoff")),
            patch("net.party.time", SimpleNamespace(time=lambda: 0.0)),
            patch("net.party_journal.Journal", lambda *_: self._paper),
            trio.fail_after(FOREVER),
        ):
            async with trio.open_nursery() as self._nursery:
                self._nursery.start_soon(self._play)
                await self._live()
                self._nursery.cancel_scope.cancel()
        self._require()

    async def _live(self) -> None:
        try:
            ended = False
            while not ended:
                with trio.CancelScope() as self._process:
                    self._party = self._begin()
                    await self._party.take_part()
                ended = not self._process.cancelled_caught
        except NetError as exc:
            self.ended = str(exc)
            require(self.ended.strip() and self.ended.isprintable(), "an error that is no line for people")

    def _begin(self) -> _Party:
        family = _Family(self.make, self._processes)
        self._processes += 1
        member = replace(_member(), family=family)  # type: ignore[arg-type]
        answered, hooks = Answered(self._keeper, self.workload), Hooks(self._before_send, self.events.append)
        return _Party(_config(), self.workload, FIRST, hooks, self._stop, STOPPING_PATIENCE, False, answered, member)

    def make(self, me: PartyId, *, terms: Terms, ledger: Ledger, **_: Any) -> Any:
        self._made, self._terms, self._taken = self._made + 1, terms, 0
        self.said.append([])
        return machine(self._made, terms, ledger)

    def _before_send(self, fl_round: int, message: Any) -> None:
        self.said[-1].append(CODEC.encode(message))

    async def _dial(self, *_: Any) -> tuple[trio.StapledStream, str]:
        if self._gone:
            raise OSError("nobody is there")
        here, there = memory_stream_pair()
        self._nursery.start_soon(self._attend, Far(there, self._hear))
        return here, "coordinator"

    async def _attend(self, far: Far) -> None:
        await far.listen()
        if self._far is far:
            self._far = None

    async def _hear(self, far: Far, one: Frame) -> None:
        self.heard.append((trio.current_time(), one.kind, one.body))
        if one.kind is Kind.UPLOAD:
            far.grants -= 1
            require(far.grants >= 0, "an upload that nobody granted")
        if one.kind is not Kind.CONTROL:
            self._taken += 1
        elif isinstance(message := read_control(one), Hello):
            self._claim = message.claim
            await far.say(self._welcome)
            self._far, self._welcome = far, control(Welcome())

    # What the coordinator does

    async def _play(self) -> None:
        for pick in blocks(self._choices, BLOCK, MOST_BLOCKS):
            while self._far is None:
                await trio.sleep(0.5)
            await self._step(pick, self._far)
            await wait_all_tasks_blocked()
        self._gone = True
        if self._stays:
            self._stop.set()
        elif self._far is not None:
            await self._far.cut()

    async def _step(self, pick: Bytes, far: Far) -> None:
        match pick.randrange(20):
            case 0 | 1 | 2 | 3 | 4:
                if self._next < len(told := self._story(self._lost)):
                    await self._tell(far, told, self._next)
                self._next += 1
            case 5 | 6:
                self._lost = pick.randrange(len(LOST))
                await self._tell(far, self._story(self._lost), pick.randrange(8))
            case 7 | 8:
                told = self._story(self._lost) or [b""]
                body = altered(pick.choice(told), pick.choice(told), pick) if told[0] else pick.rest()
                await far.say(frame(Kind.MESSAGE, *in_session(self._session % 2**32, body)))
            case 9 | 10:
                self._session, self._next, self._lost = self._session + 1, 0, pick.randrange(len(LOST))
                held = self._party._held
                await far.say(control(Task(self._session, held.fl_round, held.digest, RUN)))
            case 11:
                await far.say(control(Grant(self._session)))
            case 12 | 13:
                await far.say(control(pick.choice(self._odd(pick))))
            case 14:
                await self._resume(pick, far)
            case 15:
                await far.say(frame(Kind.PAYLOAD, pick.choice(PAYLOADS)))
            case 16:
                await far.say(frame(pick.choice(tuple(Kind)), pick.rest()) if pick.randrange(2) else pick.rest())
            case 17:
                self._welcome = pick.choice(
                    (control(Welcome()), b"", control(pick.choice(self._odd(pick))), pick.rest())
                )
                await far.cut()
            case 18:
                self._process.cancel()
            case _:
                await trio.sleep(pick.choice(SECONDS))

    async def _tell(self, far: Far, told: list[bytes], place: int) -> None:
        if told:
            await far.say(frame(Kind.MESSAGE, *in_session(self._session % 2**32, told[place % len(told)])))

    def _story(self, lost: int) -> list[bytes]:
        """Of the session that was begun last, as long as there were few."""
        return story(self._made, self._terms.subject, lost) if self._terms and self._made <= 3 else []

    async def _resume(self, pick: Bytes, far: Far) -> None:
        """What it claimed goes on; mostly as it should."""
        if self._claim is None:
            return
        have = pick.choice(NUMBERS) if pick.randrange(4) == 3 else self._taken
        self._session, self._next, self._taken = self._claim.session, self._claim.taken, min(have, self._taken)
        await far.say(control(Resumed(self._claim.session, have)))

    def _odd(self, pick: Bytes) -> tuple[object, ...]:
        number, fl_round, payload = pick.choice(NUMBERS), pick.randrange(4), pick.choice(PAYLOADS)
        digest = model_digest(payload)
        return (
            Task(number, fl_round, digest, RUN), Task(self._session, 1, model_digest(FIRST), RUN),
            Finished(fl_round, digest), Finished(STEPS + 1, self._party._held.digest),
            Over(self._session), Over(number), Grant(number), Resumed(self._session, number), Records(number, digest),
            Refused(Reason.CLOCK, "set both"), Ready(number), Offer(number, 1), Want(digest), Welcome(),
        )  # fmt: skip

    # What must hold

    def _require(self) -> None:
        for session in self.said:
            for kind in ONCE:
                different = {body for body in session if type(CODEC.decode(body)) is kind}
                require(len(different) <= 1, f"two different {kind.__name__} in one session")
        about_to = {body for session in self.said for body in session}
        for _, kind, body in self.heard:
            if kind is not Kind.CONTROL:
                require(
                    split_session(Frame(kind, body))[1] in about_to, "something that was not on disk before it left"
                )


class _Family:
    """That of secagg, whose machines are remembered."""

    def __init__(self, make: Any, process: int) -> None:
        self.contributor = make
        self._wake = partial(_wake, process)

    def __getattr__(self, name: str) -> Any:
        return getattr(SECAGG, name)

    def restore(self, snapshot: bytes, *, ledger: Ledger, **_: Any) -> Any:
        key = self._wake.args, snapshot, ledger.to_bytes()
        return MEMORY.machine(key, CODEC, partial(self._wake, snapshot, ledger), self._wake)


def conversed(data: bytes) -> Conversation:
    conversation = Conversation(Bytes(data))
    run(conversation.run)
    return conversation


def coordinator(data: bytes) -> None:
    """What a coordinator says to a party, and when connections and processes end. The first byte: whether the party is
    asked to stop after that, or nobody is there any more."""
    conversed(data)


def _seeds() -> list[bytes]:
    """Two steps of a training, to the end; each story; connections that break, and processes that end, at any point,
    and a coordinator that goes on from there, or has nothing of us any more."""
    task, tell, grant, cut, kill = block(9), block(0), block(11), block(17), block(18)
    resume, deny = block(14), block(14, 3, 1)
    session = [task, tell, tell, tell, grant, tell, tell, tell]
    seeds = [[*session, *session, block(12, 0, 0, 0, 3)], session]
    seeds += [[block(9, lost), *session[1:]] for lost in range(1, len(LOST))]
    breaks = [(broken, at) for broken in (cut, kill) for at in range(1, len(session) + 1)]
    seeds += [[*session[:at], broken, resume, *session[at:]] for broken, at in breaks]
    seeds += [[*session[:at], broken, deny, *session[1:]] for broken, at in breaks]
    seeds += [[*session[:at], task, *session[1:]] for at in range(2, len(session))]
    return [bytes([at % 2]) + b"".join(one) for at, one in enumerate(seeds)]


TARGETS = (Target("conversation", coordinator, _seeds, 20, mutate=of_blocks(BLOCK, behind=1)),)
