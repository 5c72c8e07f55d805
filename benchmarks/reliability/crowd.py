"""Many parties in one process, each with its own identity, its own TLS connection and its own machine."""

import functools
from collections.abc import Callable, Iterable
from functools import partial

import trio

import net.membership
from benchmarks.reliability.faults import Setting
from benchmarks.reliability.files import Folder, party_config
from benchmarks.reliability.training import Naming, initial
from net.config import Address, load_consortium
from net.events import PartyEvent, ignore
from net.party import run_party

OnEvent = Callable[[int, PartyEvent], None]
"""Called with a party's place and what happened to it."""


async def run_crowd(
    folder: Folder, setting: Setting, places: Iterable[int], where: Address, patience: float, on_event: OnEvent
) -> None:
    """Until all have ended. The consortium's file is read once for all of them: that is not what is measured."""
    net.membership.load_consortium = functools.cache(load_consortium)  # type: ignore[attr-defined]
    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        for place in places:
            config = party_config(folder, setting, place, where, patience)
            run = partial(run_party, on_event=partial(on_event, place), stop=stop)
            nursery.start_soon(run, config, Naming(setting, ignore, place), initial(setting.steps))
