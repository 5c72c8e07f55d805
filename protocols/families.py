"""The protocols that this version runs, by the names under which a consortium agrees on one."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from protocols.committee.family import COMMITTEE
from protocols.epoch.family import EPOCHS
from protocols.family import Family
from protocols.lightsecagg.family import LIGHTSECAGG
from protocols.mesh.family import MESH
from protocols.secagg.family import SECAGG
from protocols.secagg_plus.family import SECAGG_PLUS

FAMILIES: Final[Mapping[str, Family]] = MappingProxyType(
    {family.name: family for family in (SECAGG, SECAGG_PLUS, MESH, COMMITTEE, LIGHTSECAGG)}
)

_EPOCHS: Final[Mapping[str, Family]] = MappingProxyType({EPOCHS.name: EPOCHS})  # their rounds have secagg's names


def family_of(protocol: str, rounds_per_epoch: int = 1) -> Family:
    """Raises KeyError where this version has no such sessions: an unknown name, or epochs of another protocol."""
    return FAMILIES[protocol] if rounds_per_epoch == 1 else _EPOCHS[protocol]


ROUND_NAMES: Final = tuple(
    dict.fromkeys(name.value for family in FAMILIES.values() for name in family.rounds if name.value != "done")
)
"""Every round of every protocol, each once: what a policy may name."""
