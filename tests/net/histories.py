"""What becomes of one bank whose process ends again and again, while its coordinator says whatever it likes.

The bank is that of `net/partaking`, with its files in a folder. There is no coordinator: there is every message that
one could show to the bank in this session, of three sets U2, and of three sets U3 for one of them, all signed and
confirmed by whoever must. They come in any order. The bank is always told that nothing of it has come, so that all that
may leave does, each time.
"""

import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import trio
from conftest import make_consortium, make_keys
from crashing import Crash, Killed, Patch, Writes
from powers import FIELD, LENGTH, PowersOfTwo, initial

from mpc.randomness import SystemRandomness
from net.answered import Answered
from net.config import Address, PartyConfig, PartyTerms, dump_consortium
from net.control import Task
from net.events import Hooks, ignore
from net.framing import Kind
from net.ledger_file import LedgerFile
from net.membership import Membership
from net.partaking import Partaking
from net.party_journal import PartyJournal
from net.store import write_keys
from net.tasks import open_crew
from net.witness import Witness
from net.workload import Held
from protocols.errors import PartyId
from protocols.messages import CODEC, AdvertiseKeys, Confirm, MaskedInput, ShareKeys, UnmaskShares
from protocols.secagg import Client, Server
from protocols.secagg.bindings import sign_confirmation
from protocols.wire import PartySet

BANK = PartyId(2)
EVERYBODY = frozenset(map(PartyId, range(5)))
SETS = (EVERYBODY, EVERYBODY - {PartyId(3)}, EVERYBODY - {PartyId(4)})  # two of one size: no length tells them apart
JOURNAL, LEDGER = "bank.journal", "bank.ledger"
ONCE = (MaskedInput, Confirm, UnmaskShares)


class Anew(PowersOfTwo):
    """No two trainings give the same input."""

    trainings = 0

    def contribute(self, payload: bytes) -> Any:
        Anew.trainings += 1
        return FIELD.vector([Anew.trainings] * LENGTH)


@dataclass
class Ear:
    """The connection as the bank has it. die_at: the post, counted from 0, that it does not survive."""

    heard: list[bytes]
    die_at: Crash | None = None
    posts: int = 0
    deframer: Any = field(default_factory=lambda: SimpleNamespace(limits={}))

    def say(self, message: Any) -> None:
        pass

    def post(self, kind: Kind, number: bytes, body: bytes, progress: Any = None) -> None:
        here, self.posts = self.posts, self.posts + 1
        if self.die_at == Crash(here, after=False):
            raise Killed
        self.heard.append(body)
        if self.die_at == Crash(here, after=True):
            raise Killed


@dataclass(frozen=True)
class Life:
    """One process of the bank: which message it is shown, at which write or post it ends, which older journal it finds.

    None: none; at none; and its own.
    """

    shown: int | None = None
    write: Crash | None = None
    post: Crash | None = None
    put_back: int | None = None


Living = Callable[[Partaking, "trio.MemoryReceiveChannel[Any]"], Awaitable[None]]


class Bank:
    """Its files, and one process of it at a time. said: everything that ever left. older: its journals so far."""

    def __init__(self, folder: Path, patch: Patch) -> None:
        self.folder = folder
        self.said: list[bytes] = []
        self.older: list[bytes] = []
        self.consortium = make_consortium()
        (folder / "consortium.toml").write_text(dump_consortium(self.consortium))
        write_keys(folder / "bank.key", make_keys(f"bank-{BANK}"))
        files = folder / "consortium.toml", folder / "bank.key", folder / "bank.model"
        self._member = Membership.of(PartyConfig(*files, PartyTerms(max_colluding=1), Address("", 0)))
        self.held = Held.of(Anew(BANK), initial(1))
        self.task = Task(1, 1, self.held.digest, bytes(16))
        self.writes = Writes("bank", die).watch(patch)

    async def live(self, living: Living) -> None:
        """A process from its start on, to where it is killed or nothing is left to do."""
        workload = Anew(BANK)
        answered = Answered(LedgerFile(self.folder / LEDGER), workload)
        journal = PartyJournal(self.folder / JOURNAL, self._member.keys.identity, answered.keep)
        send, inbox = trio.open_memory_channel[Any](1)
        hooks = Hooks(ignore, ignore)
        member = self._member
        witness = Witness(self.folder / "bank.model", member.consortium, member.me, ignore)
        partaking = Partaking(member, Client, workload, answered, journal, witness, hooks, send, abandon_training=False)
        self.writes.seen.clear()
        try:
            async with open_crew() as crew:
                await partaking.recover(self.held, crew)
                await living(partaking, inbox)
        except Killed:
            self.writes.crash = None
        finally:
            journal.close()
        if (self.folder / JOURNAL).exists():
            self.older.append((self.folder / JOURNAL).read_bytes())

    async def lead(self, life: Life, messages: list[bytes]) -> None:
        if life.put_back is not None and self.older:
            (self.folder / JOURNAL).write_bytes(self.older[life.put_back % len(self.older)])
        ear = Ear(self.said, life.post)

        async def living(partaking: Partaking, inbox: Any) -> None:
            taken, self.writes.crash = partaking.now, life.write
            if taken is None:
                return
            await taken.attach(ear, 0)  # type: ignore[arg-type]
            if not taken.trained:
                await taken.give_input((await inbox.receive()).vector)
            await taken.granted()
            if life.shown is not None:
                await taken.receive(messages[life.shown])
                await taken.granted()
            partaking.put_away()

        await self.live(living)

    def save(self, folder: Path) -> None:
        for name in (JOURNAL, LEDGER):
            shutil.copy(self.folder / name, folder / name)

    def restart_from(self, folder: Path, older: list[bytes]) -> None:
        for name in (JOURNAL, LEDGER):
            shutil.copy(folder / name, self.folder / name)
        self.said.clear()
        self.older = list(older)


def die() -> None:
    raise Killed


class Script:
    """Everything that the bank can be shown once its shares are out, in `messages`; `labels` says what each is."""

    def __init__(self, bank: Bank) -> None:
        self._bank, self._consortium = bank, bank.consortium
        self._keys = {party: make_keys(f"bank-{party}").identity for party in EVERYBODY}
        self._head = make_keys("coordinator").identity
        self.messages: list[bytes] = []
        self.labels: list[str] = []

    async def set_up(self) -> None:
        """The bank advertises, deals and trains, and is not yet told U2. Its journal is copied after each."""
        subject = self._consortium.subject(self._bank.held.digest)
        spec = Anew(BANK).spec(self._bank.held.payload)
        params = self._consortium.params(subject, spec, SystemRandomness().bytes(32))
        server = Server(params, identity=self._head, members=self._consortium.members_by_id)
        terms = PartyTerms(max_colluding=1).accepting(subject, spec, self._consortium)
        others = {
            party: Client(party, identity=self._keys[party], terms=terms, rand=SystemRandomness())
            for party in EVERYBODY - {BANK}
        }

        async def living(partaking: Partaking, inbox: Any) -> None:
            await partaking.begin(self._bank.task, self._bank.held, Ear(self._bank.said))  # type: ignore[arg-type]
            taken = partaking.now
            assert taken is not None
            for message in (server.start()[0].message, None):
                asked = message or server.close_round()[0].message
                await taken.receive(CODEC.encode(asked))
                self._bank.older.append((self._bank.folder / JOURNAL).read_bytes())
                answers = {party: self._answer(others, party, asked) for party in sorted(EVERYBODY)}
                if message is None:
                    self._write(server.snapshot(), answers, spec.field.pack(spec.field.zeros(spec.masked_length)))
                for party, answer in answers.items():
                    server.receive(party, answer)
            await taken.give_input((await inbox.receive()).vector)

        await self._bank.live(living)

    def _answer(self, others: dict[PartyId, Client], party: PartyId, asked: Any) -> Any:
        if party == BANK:
            return CODEC.decode(self._bank.said[-1])
        return others[party].receive(PartyId(-1), asked)[0].message

    def _write(self, snapshot: bytes, shares: dict[PartyId, Any], masked: bytes) -> None:
        """What the bank can be shown of each U2, and of each U3 in it."""
        for u2 in SETS:
            shared = self._server(snapshot, {party: shares[party] for party in u2})
            self._show(f"U2 {names(u2)}", shared.close_round())
            for u3 in SETS:
                if u3 <= u2:
                    self._write_end(shared.snapshot(), f"{names(u3)} of {names(u2)}", u3, masked)

    def _write_end(self, snapshot: bytes, label: str, u3: PartySet, masked: bytes) -> None:
        fixed = self._server(snapshot, dict.fromkeys(u3, MaskedInput(masked)))
        self._show(f"U3 {label}", fixed.close_round())
        for party in sorted(u3):
            fixed.receive(party, Confirm(sign_confirmation(self._keys[party], fixed._state.shared, u3)))
        self._show(f"confirmed {label}", fixed.close_round())

    def _server(self, snapshot: bytes, answers: dict[PartyId, Any]) -> Server:
        """That of the snapshot, which these have answered."""
        server = Server.restore(snapshot, identity=self._head)
        for party in sorted(answers):
            server.receive(party, answers[party])
        return server

    def _show(self, label: str, envelopes: Any) -> None:
        (message,) = {id(one.message): one.message for one in envelopes if BANK in one.recipients}.values()
        self.labels.append(label)
        self.messages.append(CODEC.encode(message))


def names(parties: PartySet) -> str:
    return "".join(map(str, sorted(parties)))


def different(said: list[bytes]) -> dict[type, int]:
    """How many different ones of each kind that is sent once at most left; of keys and shares too."""
    kinds = (*ONCE, AdvertiseKeys, ShareKeys)
    return {kind: len({body for body in said if type(CODEC.decode(body)) is kind}) for kind in kinds}
