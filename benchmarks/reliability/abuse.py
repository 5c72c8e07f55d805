"""Abuse of a coordinator while banks train: they finish, and it pays little for whoever attacks it.

The attacker is a process of its own and so are the banks together; the coordinator's CPU seconds and memory are read
from outside and held against those of the same training without an attack.
"""

import time
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import trio

from benchmarks.reliability import child
from benchmarks.reliability.attacks import ATTACKS
from benchmarks.reliability.faults import Setting
from benchmarks.reliability.files import Folder, write_consortium, write_coordinator
from benchmarks.reliability.proxy import LOOPBACK
from benchmarks.reliability.spawning import heard, launch
from benchmarks.reliability.story import Listening, Reported, Summed
from benchmarks.reliability.usage import Usage, usage
from net.config import Address
from net.policy import ASSEMBLE, Policy, RoundPolicy
from protocols.session import Variant

STEPS: Final = 30
LENGTH: Final = 200_000
PATIENCE: Final = 60.0  # seconds of a round
ASSEMBLING: Final = 20.0  # seconds for those who are connected to be ready
ATTEMPTS: Final = 6  # at a step: so often the coordinator waits for banks that cannot come in
SEEKING: Final = 300.0  # seconds for which a bank tries to come in
HEAD_START: Final = 2.0  # seconds that an attack goes on before the banks come
MOST: Final = 1.5  # times what the coordinator uses without an attack
HALF_A_CORE: Final = 0.5


@dataclass(frozen=True, slots=True)
class Trained:
    """One training. name: of the attack, None for none. sums, exact: how many there were, and how many of them were
    exact and over all banks that are no attacker. aborted: sessions without a sum. used: by the coordinator, its CPU
    seconds from when the banks came. begun: connections of the attacker; share: of a core that it took.
    """

    name: str | None
    sums: int
    exact: int
    aborted: int
    seconds: float
    used: Usage
    begun: int
    share: float


@dataclass(frozen=True, slots=True)
class Borne:
    """One training under an attack, beside the one without."""

    trained: Trained
    calm: Trained

    @property
    def cpu(self) -> float:
        """Times the CPU seconds of the calm one."""
        return self.trained.used.cpu / self.calm.used.cpu

    @property
    def peak(self) -> float:
        return self.trained.used.peak / self.calm.used.peak

    @property
    def complete(self) -> bool:
        """Every sum came, exact, with all banks in it, and at once."""
        return self.trained.sums == self.trained.exact == self.calm.sums and not self.trained.aborted

    @property
    def fine(self) -> bool:
        return self.complete and max(self.cpu, self.peak) <= MOST and self.trained.share <= HALF_A_CORE


def abuse_setting(steps: int = STEPS, length: int = LENGTH) -> Setting:
    """The last of the banks is the insider, where there is one. One step more than is measured: after its last one a
    coordinator is gone.
    """
    return Setting("secagg", Variant.ACTIVE, 6, 1, 1, 1, steps + 1, length)


async def abuse(setting: Setting, seed: int, names: Iterable[str], on_borne: Callable[[Borne], None]) -> list[Borne]:
    """The calm training, then each of these attacks."""
    calm = await train_under(None, setting, seed)
    found = []
    for name in names:
        found.append(Borne(await train_under(name, setting, seed), calm))
        on_borne(found[-1])
    return found


def section(found: Sequence[Borne], setting: Setting) -> str:
    """Markdown."""
    calm = found[0].calm
    used = f"{calm.used.cpu:.1f} CPU seconds and {calm.used.peak / 1e6:.0f} MB"
    lines = [
        f"{setting.banks} banks, {setting.protocol}, {setting.length:,} elements. "
        f"Without an attack {calm.sums} sums took {calm.seconds:.0f} s, and the coordinator {used}.",
        "",
        "| attack | connections a second | attacker, cores | exact sums, all banks | CPU s | times | MB | times |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    return "\n".join([*lines, *map(row, found)])


def row(borne: Borne) -> str:
    one = borne.trained
    pace = one.begun / one.seconds
    return (
        f"| {one.name} | {pace:.0f} | {one.share:.2f} | {one.exact} of {borne.calm.sums} | {one.used.cpu:.1f} | "
        f"{borne.cpu:.2f} | {one.used.peak / 1e6:.0f} | {borne.peak:.2f} |"
    )


async def train_under(name: str | None, setting: Setting, seed: int) -> Trained:
    """One training under this attack, or under none."""
    with TemporaryDirectory(prefix="veilsum-abuse-") as path:
        return await _Scene(name, setting, seed, Folder(Path(path))).run()


class _Scene:
    def __init__(self, name: str | None, setting: Setting, seed: int, folder: Folder) -> None:
        self._name = name
        self._setting = setting
        self._seed = seed
        self._folder = folder
        inside = name is not None and ATTACKS[name].inside
        self._banks = range(setting.banks - inside)
        self._begun = 0
        self._started: list[BaseProcess] = []

    async def run(self) -> Trained:
        write_consortium(self._folder, self._setting)
        policy = Policy(RoundPolicy(PATIENCE), {ASSEMBLE: RoundPolicy(ASSEMBLING)}, attempts=ATTEMPTS)
        write_coordinator(self._folder, policy)
        try:
            async with trio.open_nursery() as self._nursery, aclosing(self._start_coordinator()) as facts:
                trained = await self._train(facts)
                self._nursery.cancel_scope.cancel()
            return trained
        finally:
            for process in self._started:
                process.kill()
                process.join()

    async def _train(self, facts: AsyncGenerator[Any, None]) -> Trained:
        listening = await anext(facts)
        assert isinstance(listening, Listening)
        self._used = usage(self._started[0].pid or 0)
        where, begun = Address(LOOPBACK, listening.port), time.monotonic()
        if self._name is not None:
            self._nursery.start_soon(self._count, self._launch(child.attack, where, self._name, self._seed))
            await trio.sleep(HEAD_START)
        self._nursery.start_soon(self._listen, self._launch(child.take_parts, self._banks, where, SEEKING))
        before = self._used = usage(self._started[0].pid or 0)
        told = [fact async for fact in self._until_trained(facts)]
        seconds = time.monotonic() - begun
        sums = [fact for fact in told if isinstance(fact, Summed)]
        share = self._attacker_share(seconds)
        return Trained(
            self._name,
            len(sums),
            sum(one.exact and one.included >= frozenset(self._banks) for one in sums),
            sum(isinstance(fact, Reported) and not fact.finished for fact in told),
            seconds,
            Usage(self._used.cpu - before.cpu, self._used.resident, self._used.peak),
            self._begun,
            share,
        )

    def _attacker_share(self, seconds: float) -> float:
        """Raises RuntimeError where it broke down: then it attacked nobody."""
        if self._name is None:
            return 0.0
        try:
            return usage(self._started[1].pid or 0).cpu / seconds
        except OSError as exc:
            raise RuntimeError(f"the attacker broke down: {self._folder.log(child.ATTACKER).read_text()}") from exc

    def _start_coordinator(self) -> AsyncGenerator[Any, None]:
        return heard(self._launch(child.coordinate))

    def _launch(self, main: Any, *arguments: Any) -> Connection:
        process, incoming = launch(main, self._folder, self._setting, *arguments)
        self._started.append(process)
        return incoming

    async def _until_trained(self, facts: AsyncGenerator[Any, None]) -> AsyncGenerator[Any, None]:
        """What the coordinator tells until the last sum but one; less where it gives up before."""
        async for fact in facts:
            with suppress(OSError):  # it may have ended meanwhile
                self._used = usage(self._started[0].pid or 0)
            yield fact
            if isinstance(fact, Reported) and fact.finished and fact.fl_round == self._setting.steps - 1:
                return

    async def _count(self, attacker: Connection) -> None:
        async for begun in heard(attacker):
            self._begun = begun

    async def _listen(self, banks: Connection) -> None:
        """So that they need not wait for us."""
        async for _ in heard(banks):
            pass
