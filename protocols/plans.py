"""What each of the five protocols would need for one setting: its own numbers, or why it cannot meet it."""

import math
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, replace

from protocols import costs
from protocols.graph import Adversary, Failure, GraphParameters, complete, count, failure, find_graph, smallest_sum
from protocols.session import Variant, VectorSpec, smallest_cohort, smallest_threshold

LARGEST_MESH = 64
AGGREGATORS = 10
"""The size of committee that is planned for; those who set one up may choose another."""

NEVER = Failure(-math.inf, -math.inf)
"""While no more parties than counted are corrupt and lost."""

_HUNDREDTHS = 100


@dataclass(frozen=True, slots=True)
class Setting:
    """What is asked of each protocol. corrupt, dropout: fractions; the counts are rounded down."""

    parties: int
    dropout: float
    corrupt: float
    adversary: Adversary
    spec: VectorSpec

    @property
    def colluding(self) -> int:
        return count(self.parties, self.corrupt)

    @property
    def lost(self) -> int:
        return min(count(self.parties, self.dropout), self.parties - 1)

    @property
    def left(self) -> int:
        return self.parties - self.lost

    @property
    def variant(self) -> Variant:
        return Variant.CURIOUS if self.adversary is Adversary.CURIOUS else Variant.ACTIVE

    @property
    def quorum(self) -> int:
        """2q > n + c: no two sets of so many agree on different things. t > c where nothing is signed."""
        return smallest_threshold(self.variant, self.parties, self.colluding)

    @property
    def session(self) -> costs.Session:
        return costs.Session(self.parties, self.lost, self.spec, self.variant)


@dataclass(frozen=True, slots=True)
class Nearest:
    """The nearest setting that the protocol can meet: fewer losses first, then fewer corrupt parties."""

    parties: int
    dropout: float
    corrupt: float


@dataclass(frozen=True, slots=True)
class Plan:
    """A protocol's own numbers for a setting that it meets.

    client_keystream, server_keystream: bytes. agreements, checks: of keys and of signatures, by one party.
    protects: one sentence, no more than PROTOCOLS section 1 admits. risk: None where nothing is claimed yet.
    """

    degree: int
    threshold: int
    traffic: costs.Traffic
    rounds: int
    client_keystream: float
    server_keystream: float
    agreements: int
    checks: int
    protects: str
    risk: Failure | None = None


class CannotMeet(Exception):
    """The protocol cannot meet the setting; the text says why."""


def _secagg(setting: Setting) -> Plan:
    graph = complete(setting.parties, setting.corrupt, setting.dropout, adversary=setting.adversary)
    if graph is None:
        raise CannotMeet(_too_few_left(setting))
    active = setting.variant is Variant.ACTIVE
    return Plan(
        graph.degree,
        graph.threshold,
        costs.secagg(setting.session),
        5 if active else 4,
        *_masks(setting, graph.degree),
        agreements=2 * graph.degree,
        checks=2 * graph.degree if active else 0,
        protects=_whole_graph_protects(setting, graph.threshold),
        risk=NEVER,
    )


def _secagg_plus(setting: Setting) -> Plan:
    where = (setting.parties, setting.corrupt, setting.dropout)
    graph = find_graph(*where, adversary=setting.adversary)
    if graph is None:
        raise CannotMeet("no degree below that of the complete graph meets the security and the correctness bound")
    if setting.left < smallest_cohort(setting.colluding):
        raise CannotMeet(_too_few_left(setting))
    active = setting.variant is Variant.ACTIVE
    neighbours = _neighbours(setting, graph)
    return Plan(
        graph.degree,
        graph.threshold,
        costs.secagg_plus(setting.session, graph.degree, neighbours),
        6 if neighbours > graph.degree else 5 if active else 4,
        *_masks(setting, neighbours),
        agreements=round(2 * neighbours),
        checks=round(2 * neighbours) + graph.degree if active else 0,
        protects=_sparse_graph_protects(setting),
        risk=failure(*where[:1], graph, *where[1:], adversary=setting.adversary),
    )


def _neighbours(setting: Setting, graph: GraphParameters) -> float:
    """Those that a party masks with: its holders, and where each draws its own, those that drew it."""
    drawn = setting.adversary is Adversary.MALICIOUS
    return costs.drawn_peers(setting.parties, graph.degree) if drawn else graph.degree


def _mesh(setting: Setting) -> Plan:
    n, m = setting.parties, _lane_bytes(setting)
    if n > LARGEST_MESH:
        raise CannotMeet(f"a mesh has at most {LARGEST_MESH} parties")
    if setting.left < max(setting.quorum, smallest_cohort(setting.colluding)):
        raise CannotMeet(_too_few_left(setting))
    seeds = 2 * n + setting.lost * n  # of its own vector, of its column, and of the columns of the lost
    return Plan(
        n - 1,
        setting.quorum,
        costs.mesh(setting.session),
        8,
        seeds * m,
        0.0,
        agreements=n - 1,
        checks=6 * (n - 1),
        protects=f"parties that lie, up to {setting.colluding}: the total is learnt, no more",
    )


def _committee(setting: Setting) -> Plan:
    """The fractions hold for aggregators too, rounded up. Wrong shares are corrected where the adversary may lie.

    It is the session with `losses` lost + 2 wrong: s + 2e <= d. There is one variant, which is active.
    """
    size = AGGREGATORS
    corrupt, lost = math.ceil(size * setting.corrupt - 1e-9), math.ceil(size * setting.dropout - 1e-9)
    privacy = max(corrupt, 1)
    wrong = corrupt if setting.variant is Variant.ACTIVE else 0
    packed = size - privacy - lost - 2 * wrong
    quorum = smallest_threshold(setting.variant, size, corrupt)
    if packed < 1 or size - lost < quorum:
        raise CannotMeet(f"{size} aggregators do not withstand {corrupt} corrupt and {lost} lost among them")
    if setting.left < smallest_cohort(setting.colluding):
        raise CannotMeet(_too_few_left(setting))
    traffic = costs.committee(setting.session, size, packed)
    noise = privacy * _lane_bytes(setting) / packed
    return Plan(
        size,
        privacy + packed,
        traffic,
        7,
        noise,
        0.0,
        agreements=size,
        checks=size + quorum,
        protects=f"up to {privacy} corrupt of {size} aggregators; one more and every input is read",
    )


def _lightsecagg(setting: Setting) -> Plan:
    """T = c (at least 1), and U all that are left: the fewest bytes."""
    privacy, decode = max(setting.colluding, 1), setting.left
    if decode < max(setting.quorum, smallest_cohort(setting.colluding)) or decode <= privacy:
        raise CannotMeet(_too_few_left(setting))
    n, pieces, active = setting.parties, decode - privacy, setting.variant is Variant.ACTIVE
    keystream = _lane_bytes(setting) * (1 + privacy / pieces)
    traffic = costs.lightsecagg(setting.session, pieces)
    return Plan(
        n - 1,
        decode,
        traffic,
        5 if active else 4,
        keystream,
        0.0,
        agreements=n - 1,
        checks=2 * (n - 1) if active else 0,
        protects=f"{_coordinator(setting)}: only the sum over those that stayed is learnt",
    )


def _too_few_left(setting: Setting) -> str:
    c, n = setting.colluding, setting.parties
    if setting.left < smallest_cohort(c):
        return f"{setting.left} parties are left of {n}, and a sum covers at least {smallest_cohort(c)}"
    return f"{setting.left} parties are left of {n}, and {setting.quorum} must answer with {c} corrupt among them"


def _whole_graph_protects(setting: Setting, threshold: int) -> str:
    if setting.variant is Variant.CURIOUS:
        return f"{_coordinator(setting)}: a sum covers at least {smallest_cohort(setting.colluding)} inputs"
    honest = threshold - setting.colluding
    return f"{_coordinator(setting)}: a sum over all that stayed, {honest} honest inputs or more, or nothing"


def _sparse_graph_protects(setting: Setting) -> str:
    against = _coordinator(setting)
    if setting.adversary is Adversary.MALICIOUS:
        honest = smallest_sum(setting.parties - setting.colluding)
        return f"{against}: a sum over {honest} honest inputs or more, or nothing"
    return f"{against}: only the sum over those that stayed is learnt"


def _coordinator(setting: Setting) -> str:
    kind = {
        Adversary.CURIOUS: "a coordinator that follows the protocol and looks",
        Adversary.SEMI_MALICIOUS: "a coordinator that lies, but not about the graph or the losses",
        Adversary.MALICIOUS: "a coordinator that lies as it likes",
    }[setting.adversary]
    beside = "1 party" if setting.colluding == 1 else f"{setting.colluding} parties"
    return f"{kind}, with up to {beside} beside it"


def _masks(setting: Setting, neighbours: float) -> tuple[float, float]:
    """Keystream bytes of one client, (k + 1) m, and of the server, s m and for each lost party k s / (n - 1) m more.

    s are left; a lost party has so many neighbours among them, and an element takes a lane of 4 or 8 bytes.
    """
    n, left, m = setting.parties, setting.left, _lane_bytes(setting)
    return (neighbours + 1) * m, (left + setting.lost * neighbours * left / (n - 1)) * m


def _lane_bytes(setting: Setting) -> float:
    return float(setting.spec.masked_length * setting.spec.field.itemsize)


PLANS: dict[str, Callable[[Setting], Plan]] = {
    "secagg": _secagg,
    "secagg+": _secagg_plus,
    "mesh": _mesh,
    "committee": _committee,
    "lightsecagg": _lightsecagg,
}


def nearest(name: str, setting: Setting) -> Nearest | None:
    """Fewer losses, in hundredths; where none will do, fewer corrupt parties too. None: there is no such setting."""
    if name == "mesh" and setting.parties > LARGEST_MESH:
        setting = replace(setting, parties=LARGEST_MESH)
    for field in ("dropout", "corrupt"):
        steps = range(math.floor(_HUNDREDTHS * getattr(setting, field) + 1e-9) + 1)
        found = bisect_left(steps, True, key=lambda step: not _meets(name, _lower(setting, field, step))) - 1
        setting = _lower(setting, field, max(found, 0))
        if found >= 0:
            return Nearest(setting.parties, setting.dropout, setting.corrupt)
    return None


def _lower(setting: Setting, field: str, hundredths: int) -> Setting:
    if field == "dropout":
        return replace(setting, dropout=hundredths / _HUNDREDTHS)
    return replace(setting, corrupt=hundredths / _HUNDREDTHS)


def _meets(name: str, setting: Setting) -> bool:
    try:
        PLANS[name](setting)
    except CannotMeet:
        return False
    return True
