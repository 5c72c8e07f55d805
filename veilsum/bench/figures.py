"""The report: which figures there are, in the order in which they are taken."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from mpc import loops
from veilsum.bench import clients, comparing, floors, masks, packing, peers, rounds, sharing, unmasking
from veilsum.bench.measuring import Figure, Scale, rounded


def _aes(_scale: Scale) -> float:
    return rounded(floors.aes_gbps())


def _compiled(_scale: Scale) -> bool:
    return loops.available


FIGURES: Final[Mapping[str, Figure]] = MappingProxyType(
    {
        "compiled_loops": _compiled,
        "aes_ctr_gbps": _aes,
        "mask": masks.measure,
        "threads": masks.measure_threads,
        "share": sharing.measure_share,
        "reconstruct": sharing.measure_reconstruct,
        "unmask": unmasking.measure,
        "client": clients.measure,
        "round": rounds.measure,
        "pack": packing.measure,
        "protocols": comparing.measure,
        "peers": peers.measure,
    }
)
"""The keys of the report. A further figure is a module with a `measure` and a line here."""


def take(scale: Scale, on_start: Callable[[str], None]) -> dict[str, Any]:
    """All of them. on_start: told the name of each before it is taken."""
    report = {}
    for name, figure in FIGURES.items():
        on_start(name)
        report[name] = figure(scale)
    return report
