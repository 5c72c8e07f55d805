"""One training under a plan: its processes, its proxies, and what they told."""

import os
import signal
import time
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Final

import trio

from benchmarks.reliability import child
from benchmarks.reliability.faults import Action, FaultPlan, Link
from benchmarks.reliability.files import (
    LOOPBACK,
    Folder,
    deadline,
    mesh_place,
    soak_policy,
    write_consortium,
    write_coordinator,
    write_party,
)
from benchmarks.reliability.proxy import Proxy, Struck
from benchmarks.reliability.spawning import ended, heard, launch
from benchmarks.reliability.story import Ended, Fact, Listening, Reported, Story, Told, name
from benchmarks.reliability.training import sums_in
from net.config import Address, MeshConfig
from veilsum.demo.files import free_addresses

PULSE: Final = 0.1  # seconds
LAST_WORDS: Final = 12.0  # seconds for the others to end after the coordinator, or after they were asked to

_taken: set[Address] = set()


def free_places(count: int) -> list[Address]:
    """Each once in this process: those of a mesh must be known before anybody listens there."""
    found = [address for address in free_addresses(len(_taken) + count) if address not in _taken][:count]
    _taken.update(found)
    return found


class Crew:
    """Run it once."""

    def __init__(self, plan: FaultPlan, folder: Folder) -> None:
        self._plan = plan
        self._setting = plan.setting
        self._folder = folder
        self._story = Story()
        self._processes: dict[int | None, BaseProcess] = {}
        self._killed: set[int | None] = set()  # by the plan, to be started again
        self._asked: set[int | None] = set()  # to end
        self._heard: dict[int | None, float] = {}  # when it last went on
        self._changed = trio.Condition()
        self._over = False

    async def run(self) -> Story:
        begun = time.monotonic()
        write_consortium(self._folder, self._setting)
        self._proxies = {link: Proxy(link, self._plan.faults, self._strike) for link in self._setting.links}
        async with trio.open_nursery() as self._nursery:
            try:
                await self._start()
                self._nursery.start_soon(self._look_for_hangs)
                self._nursery.start_soon(self._feel_the_pulse)
                await self._until_over()
            finally:
                self._over = True
                for process in self._processes.values():
                    process.kill()
                self._nursery.cancel_scope.cancel()
        for process in self._processes.values():
            process.join()
        self._close(begun)
        return self._story

    # Start

    async def _start(self) -> None:
        entries = {link: await self._open(proxy) for link, proxy in self._proxies.items()}
        where: dict[int, Address] | dict[int, MeshConfig]
        if self._setting.is_mesh:
            where = self._mesh_places(entries)
        else:
            where = {link.caller: entry for link, entry in entries.items()}
            write_coordinator(self._folder, soak_policy(self._setting))
            await self._launch(None)
        for place, at in where.items():
            write_party(self._folder, self._setting, place, at)
            await self._launch(place)

    async def _open(self, proxy: Proxy) -> Address:
        """Where it can be called."""
        listeners = await proxy.listen()
        self._nursery.start_soon(proxy.serve, listeners)
        return Address(LOOPBACK, listeners[0].socket.getsockname()[1])

    def _mesh_places(self, entries: dict[Link, Address]) -> dict[int, MeshConfig]:
        own = free_places(self._setting.banks)
        called: dict[int, dict[int, Address]] = {place: {} for place in range(self._setting.banks)}
        for link, entry in entries.items():
            assert link.answerer is not None
            self._proxies[link].upstream = own[link.answerer]
            called[link.caller][link.answerer] = entry
        return {place: mesh_place(self._setting, own[place], peers) for place, peers in called.items()}

    async def _launch(self, who: int | None) -> None:
        common = (self._folder, self._setting)
        if who is None:
            process, incoming = launch(child.coordinate, *common)
        else:
            process, incoming = launch(child.take_part, *common, who)
        self._processes[who], self._heard[who] = process, time.monotonic()
        await self._nursery.start(self._listen, who, process, incoming)

    async def _listen(
        self, who: int | None, process: BaseProcess, incoming: Connection, *, task_status: trio.TaskStatus[None]
    ) -> None:
        """To what it tells, until it ends. Started: it is there to be called."""
        if who is not None:
            task_status.started()
        async for fact in heard(incoming):
            if isinstance(fact, Listening):
                for proxy in self._proxies.values():
                    proxy.upstream = Address(LOOPBACK, fact.port)
                task_status.started()
            await self._note(who, fact)
        await self._ended(who, await ended(process))

    async def _note(self, who: int | None, fact: Fact) -> None:
        self._story.told.append(Told(who, fact))
        if isinstance(fact, Reported):
            self._heard[who] = time.monotonic()
        async with self._changed:
            self._changed.notify_all()

    async def _ended(self, who: int | None, status: int) -> None:
        await self._note(who, Ended(time.monotonic(), status, who in self._asked))
        if who in self._killed and status == -signal.SIGKILL and not self._over:
            self._killed.discard(who)
            await self._launch(who)

    # Faults

    def _strike(self, struck: Struck) -> None:
        self._story.strikes.append(struck)
        match struck.fault.action:
            case Action.KILL:
                self._kill(struck.fault.link.caller)
            case Action.KILL_OTHER:
                self._kill(struck.fault.link.answerer)

    def _kill(self, who: int | None) -> None:
        if self._processes[who].is_alive():
            self._killed.add(who)
            self._processes[who].kill()

    async def _look_for_hangs(self) -> None:
        """A coordinator, or a member of a mesh, says in time how its session ended."""
        patience = deadline(self._setting)
        while True:
            await trio.sleep(1)
            for who, last in self._heard.items():
                leads = self._setting.is_mesh or who is None
                if leads and self._runs(who) and time.monotonic() - last > patience:
                    await self._hangs(who, f"no session ended within {patience:g} s")

    async def _feel_the_pulse(self) -> None:
        """How long this machine lets a process wait that has something to do."""
        while True:
            due = time.monotonic() + PULSE
            await trio.sleep(PULSE)
            self._story.pause = max(self._story.pause, time.monotonic() - due)

    async def _hangs(self, who: int | None, text: str) -> None:
        """Where it stands goes into its log."""
        self._story.hangs.append(f"{name(who)}: {text}")
        with suppress(ProcessLookupError):
            os.kill(self._processes[who].pid or 0, signal.SIGUSR1)
        await trio.sleep(0.5)
        self._processes[who].kill()

    # The end

    def _runs(self, who: int | None) -> bool:
        return who in self._killed or self._processes[who].is_alive()

    async def _until(self, ended: set[int | None], patience: float = float("inf")) -> set[int | None]:
        """Waits for these to end; those that do not."""
        with trio.move_on_after(patience):
            async with self._changed:
                while any(map(self._runs, ended)):
                    await self._changed.wait()
        return set(filter(self._runs, ended))

    async def _until_over(self) -> None:
        everybody: set[int | None] = set(range(self._setting.banks))
        if self._setting.is_mesh:
            await self._until_first(everybody)
        else:
            await self._until({None})
        failed = not self._setting.is_mesh and self._processes[None].exitcode != 0
        for who in await self._until(everybody, 0 if failed else LAST_WORDS):
            self._asked.add(who)
            self._processes[who].terminate()
        for who in await self._until(everybody, LAST_WORDS):
            await self._hangs(who, f"was asked to end, and did not within {LAST_WORDS:g} s")

    async def _until_first(self, everybody: set[int | None]) -> None:
        """Until one has ended by itself: in a mesh the others follow, or have nobody left."""
        async with self._changed:
            while all(map(self._runs, everybody)):
                await self._changed.wait()

    def _close(self, begun: float) -> None:
        self._story.seconds = time.monotonic() - begun
        self._story.answered = [count for proxy in self._proxies.values() for count in proxy.answered]
        for who in self._processes:
            path = self._folder.payload(who)
            self._story.models[who] = sums_in(path.read_bytes()) if path.exists() else []


async def train(plan: FaultPlan, folder: Folder) -> Story:
    """The whole of it."""
    return await Crew(plan, folder).run()
