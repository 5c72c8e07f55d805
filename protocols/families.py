"""The protocols that this version runs, by the names under which a consortium agrees on one."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from protocols.family import Family
from protocols.lightsecagg.family import LIGHTSECAGG
from protocols.mesh.family import MESH
from protocols.secagg.family import SECAGG

FAMILIES: Final[Mapping[str, Family]] = MappingProxyType(
    {family.name: family for family in (SECAGG, MESH, LIGHTSECAGG)}
)


def family_of(protocol: str) -> Family:
    """Raises KeyError for a name that no consortium could have agreed on."""
    return FAMILIES[protocol]


ROUND_NAMES: Final = tuple(
    dict.fromkeys(name.value for family in FAMILIES.values() for name in family.rounds if name.value != "done")
)
"""Every round of every protocol, each once: what a policy may name."""
