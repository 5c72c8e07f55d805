"""Five banks and a coordinator in one process: real keys, real files, real TLS on the loopback."""

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from crashing import Killed
from cutting import Wire
from launcher import Launcher
from powers import PowersOfTwo, initial

from mpc.randomness import SeededRandomness
from net.config import Address, CoordinatorConfig, PartyConfig, PartyTerms, dump_consortium
from net.contributing import Contributing
from net.coordinator import run_coordinator
from net.errors import NetError
from net.events import Happened, PartyEvent
from net.framing import Kind
from net.party import run_party
from net.policy import Policy, RoundPolicy
from net.report import SessionReport
from net.store import Keys, write_keys
from net.tls import new_root
from protocols.roster import Card, Consortium
from protocols.session import Variant


def contributors(total: int) -> set[int]:
    return {place for place in range(total.bit_length()) if total >> place & 1}


def make_keys(name: str) -> Keys:
    return Keys.generate(SeededRandomness(name.encode()))


def make_card(name: str, keys: Keys | None = None) -> Card:
    keys = keys or make_keys(name)
    return Card.issue(name, keys.identity, new_root(name, keys.tls_root))


def make_consortium(banks: int = 5, **changes: Any) -> Consortium:
    values: dict[str, Any] = {
        "name": "five-banks",
        "version": 1,
        "members": tuple(make_card(f"bank-{place}") for place in range(banks)),
        "coordinator": make_card("coordinator"),
        "protocol": "secagg",
        "variant": Variant.ACTIVE,
        "colluding": 1,
        "losses": 1,
        "max_weight": 1,
        "training": {"model": "powers", "rate": 0.5},
    }
    return Consortium(**{**values, **changes})


@dataclass
class Bank:
    """One party process of a test. `kill_at`: message class name, in step `kill_in`, before which it vanishes."""

    place: int
    config: PartyConfig
    workload: PowersOfTwo
    kill_at: str | None = None
    kill_in: int = 1
    initial: bytes = b""
    events: list[PartyEvent] = field(default_factory=list)
    on_event: Callable[[PartyEvent], None] = lambda event: None
    stop: trio.Event = field(default_factory=trio.Event)
    error: Exception | None = None
    failed: threading.Event = field(default_factory=threading.Event)
    wire: Wire | None = None
    returns: bool = False  # a process of it is started again where one was killed
    meanwhile: Callable[[], object] = lambda: None  # done before that

    def before_send(self, fl_round: int, message: Any) -> None:
        if type(message).__name__ == self.kill_at and fl_round == self.kill_in:
            raise Killed

    def note(self, event: PartyEvent) -> None:
        self.events.append(event)
        self.on_event(event)

    def happened(self, what: Happened) -> list[PartyEvent]:
        return [event for event in self.events if event.what is what]

    async def run(self) -> None:
        """To its end; a bank that returns is killed once."""
        await self._run_once()
        if self.returns and isinstance(self.error, Killed):
            self.error = self.kill_at = None
            self.meanwhile()
            await self._run_once()

    async def _run_once(self) -> None:
        try:
            await run_party(
                self.config,
                self.workload,
                self.initial or initial(1),
                before_send=self.before_send,
                on_event=self.note,
                stop=self.stop,
            )
        except Exception as exc:
            self.error = exc
            self.failed.set()


class Loopback:
    """The files of a consortium in a folder, and its processes as tasks."""

    def __init__(self, folder: Path, banks: int = 5, **changes: Any) -> None:
        self.folder = folder
        self.consortium = make_consortium(banks, **changes)
        (folder / "consortium.toml").write_text(dump_consortium(self.consortium))
        for name in ("coordinator", *(card.name for card in self.consortium.members)):
            self.write_keys(name, make_keys(name))
        self.banks = [self._bank(place) for place in range(banks)]
        self.workload = PowersOfTwo()
        self.reports: list[SessionReport] = []
        self.policy = Policy(RoundPolicy(patience=20.0), attempts=1)
        self.port = 0
        self.stop = trio.Event()
        self.crashes = 0  # of the coordinator
        self.between: Callable[[], object] = lambda: None  # done before it is started again

    def write_keys(self, name: str, keys: Keys) -> None:
        write_keys(self.folder / f"{name}.key", keys)

    def _bank(self, place: int) -> Bank:
        config = PartyConfig(
            consortium=self.folder / "consortium.toml",
            identity=self.folder / f"bank-{place}.key",
            payload=self.folder / f"bank-{place}.model",
            address=Address("127.0.0.1", 0),
            data=self.folder / "unused.csv",
            terms=PartyTerms(max_colluding=1),
            patience=10.0,
        )
        return Bank(place, config, PowersOfTwo(place))

    async def run(self, steps: int = 1, *, missing: tuple[int, ...] = ()) -> bytes:
        """Runs it to its end; the coordinator's last payload. Raises what the coordinator raises. A coordinator that is
        killed is started again."""
        self._start = [bank for bank in self.banks if bank.place not in missing]
        error: NetError | None = None
        with trio.fail_after(60):
            async with trio.open_nursery() as self._wires:
                async with trio.open_nursery() as self._parties:
                    try:
                        await self._coordinate_to_the_end(steps)
                    except NetError as exc:
                        error = exc
                    for bank in self.banks:
                        bank.stop.set()
                self._wires.cancel_scope.cancel()
        if error is not None:
            raise error
        return (self.folder / "coordinator.model").read_bytes()

    async def _coordinate_to_the_end(self, steps: int) -> None:
        while True:
            try:
                await self._coordinate(steps)
            except Killed:
                self.crashes += 1
                self.between()
            else:
                return

    async def _coordinate(self, steps: int) -> None:
        for bank in self.banks:
            bank.initial = bank.initial or initial(steps)
        config = CoordinatorConfig(
            consortium=self.folder / "consortium.toml",
            identity=self.folder / "coordinator.key",
            payload=self.folder / "coordinator.model",
            listen=Address("127.0.0.1", self.port),
            policy=self.policy,
        )
        await run_coordinator(
            config,
            self.workload,
            initial(steps),
            on_report=self.reports.append,
            on_listening=self._listening,
            stop=self.stop,
        )

    def _listening(self, host: str, port: int) -> None:
        self.port = port
        for bank in self._start:
            self.start(bank)
        self._start = []

    def start(self, bank: Bank) -> None:
        bank.stop = trio.Event()
        self._parties.start_soon(self._run, bank)

    async def _run(self, bank: Bank) -> None:
        port = self.port
        if bank.wire is not None:
            port = await self._wires.start(bank.wire.serve)
        bank.config = _at(bank.config, port)
        await bank.run()

    def wire(self, place: int) -> Wire:
        """What this bank says, and hears, goes over a wire that can be cut."""
        wire = self.banks[place].wire = Wire(lambda: self.port)
        return wire


def _at(config: PartyConfig, port: int) -> PartyConfig:
    return replace(config, address=Address("127.0.0.1", port))


@pytest.fixture(name="make_keys")
def make_keys_fixture() -> Callable[[str], Keys]:
    return make_keys


@pytest.fixture(name="make_card")
def make_card_fixture() -> Callable[..., Card]:
    return make_card


@pytest.fixture(name="make_consortium")
def make_consortium_fixture() -> Callable[..., Consortium]:
    return make_consortium


@pytest.fixture
def loopback(tmp_path: Path) -> Callable[..., Loopback]:
    return partial(Loopback, tmp_path)


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Callable[..., Launcher]]:
    """Writes the files of so many banks; what is started of it ends with the test."""
    with ExitStack() as stack:

        def make(banks: int, *, patience: float = 2.0, grace: float = 0.0, **changes: Any) -> Launcher:
            consortium = make_consortium(banks, **changes)
            keys = {name: make_keys(name) for name in ("coordinator", *(card.name for card in consortium.members))}
            return stack.enter_context(Launcher(tmp_path, consortium, keys, patience=patience, grace=grace))

        yield make


@pytest.fixture
def masked(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Bank -> session and place in it -> every upload that it sent there, of whatever process."""
    sent: Any = defaultdict(lambda: defaultdict(list))
    send = Contributing._send

    async def noting(self: Any, frame: Any) -> None:
        if frame.kind == Kind.UPLOAD:
            at = self._kept.frames.index(frame)
            sent[self._client._me][self.task.run, self.task.session, at].append(self._journal.body(frame))
        await send(self, frame)

    monkeypatch.setattr(Contributing, "_send", noting)
    return sent
