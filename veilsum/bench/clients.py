"""One client's whole work in a session, from the bytes that it hears to the bytes that it says, over its primitives."""

from functools import partial
from typing import Any, Final

from protocols.session import Variant
from veilsum.bench import floors
from veilsum.bench.lone import Hearing
from veilsum.bench.measuring import Scale, Work, compare, rounded
from veilsum.bench.sessions import Setting

LARGE: Final = (10_000, 1_000_000)  # parties and elements of the sparse graph's row


def measure(scale: Scale) -> list[dict[str, Any]]:
    """1000 parties on a complete graph, 100,000 elements (quick: 100 and 20,000); 10,000 on a sparse one, not quick."""
    parties, elements = (100, 20_000) if scale.quick else (1000, 100_000)
    found = [_row(complete(parties, elements, variant), scale) for variant in (Variant.ACTIVE, Variant.CURIOUS)]
    return found if scale.quick else [*found, _row(sparse(*LARGE), scale)]


def complete(parties: int, elements: int, variant: Variant) -> Hearing:
    """Everybody stays, and no more confirmations come than are needed."""
    setting = Setting.of(parties, elements, variant)
    return Hearing.of(setting, quorum=setting.params.threshold_for(parties))


def sparse(parties: int, elements: int) -> Hearing:
    """Active secagg+; one in twenty colludes and one in twenty is lost."""
    few = parties // 20
    return Hearing.of(Setting.of(parties, elements, protocol="secagg+", colluding=few, losses=few))


def _row(hearing: Hearing, scale: Scale) -> dict[str, Any]:
    params = hearing.setting.params
    found = compare(hearing.work, primitives(hearing), scale.times)
    return {
        "protocol": params.protocol,
        "n": len(hearing.setting.members),
        "m": params.spec.length,
        "degree": hearing.degree,
        "variant": params.variant.value,
        "seconds": rounded(found.seconds),
        "floor_seconds": rounded(found.floor_seconds),
        "ratio": rounded(found.ratio),
    }


def primitives(hearing: Hearing) -> Work:
    """For each peer 2 agreements and 3 key derivations; a mask of 4 bytes an element with each and one more; and the
    signatures checked.
    """
    peers, elements = hearing.peers, hearing.setting.params.spec.length
    parts: list[Work] = [
        floors.agreements(2 * peers),
        floors.derivations(3 * peers),
        partial(floors.aes, (peers + 1) * elements * 4),
        floors.checks(hearing.checks),
    ]

    def work() -> None:
        for part in parts:
            part()

    return work
