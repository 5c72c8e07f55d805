"""Which protocol, and with which numbers: what each of the five would cost and withstand, and one to take.

No clock: the rate at which this machine makes keystream is handed in. What a number rests on stands in docs/advisor.md.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from mpc.field import PrimeField
from protocols.graph import Adversary
from protocols.plans import PLANS, CannotMeet, Nearest, Plan, Setting, nearest
from protocols.session import SMALLEST_COHORT, Variant, VectorSpec

CHEAP_SECONDS = 0.1
"""A complete graph that costs less is always taken."""

# For choosing between graphs. Measured on a machine with two cores; the keystream rate only where none is handed in.
ASSUMED_KEYSTREAM_GBPS = 5.0
_AGREEMENT_SECONDS = 55e-6
_VERIFICATION_SECONDS = 128e-6


@dataclass(frozen=True, slots=True)
class Row:
    """One protocol. Every figure is None where it cannot meet the setting; `why_not` then says why.

    degree: peers with whom a party shares its secrets. threshold: answers that rebuild them. bits: of a field element.
    bytes_up, bytes_down: of one party that stays. server_bytes: in and out, None without a server.
    rounds: exchanges in which one message goes up and one comes down; between peers, from all to all.
    *_keystream_seconds: of one party, of the server, at the rate that was handed in, else None.
    work_seconds: of computing, one party's and the server's keystream, at a rate that is assumed where none was given.
    seconds: of a session for one party, None unless bandwidth, latency and rate are known.
    p_insecure, p_fail: bounds on the probability that a smaller sum can be learnt, and that there is no sum; 0 where it
    cannot happen within the counts (the log2 is None then), None where nothing is claimed.
    """

    name: str
    feasible: bool
    protects: str | None = None
    why_not: str | None = None
    nearest: Nearest | None = None
    variant: str | None = None
    degree: int | None = None
    threshold: int | None = None
    bits: int | None = None
    bytes_up: int | None = None
    bytes_down: int | None = None
    server_bytes: int | None = None
    rounds: int | None = None
    client_keystream_seconds: float | None = None
    server_keystream_seconds: float | None = None
    seconds: float | None = None
    p_insecure: float | None = None
    p_fail: float | None = None
    log2_p_insecure: float | None = None
    log2_p_fail: float | None = None
    work_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Advice:
    """recommended: None where no protocol meets the setting. rows: in the order of the names."""

    recommended: str | None
    reason: str
    setting: Setting
    rows: Mapping[str, Row]


def advise(
    parties: int,
    dropout: float,
    corrupt: float,
    *,
    adversary: str = Adversary.MALICIOUS,
    dimension: int = 100_000,
    bits: int = 16,
    bandwidth_mbps: float | None = None,
    latency_ms: float | None = None,
    keystream_gbps: float | None = None,
) -> Advice:
    """What each protocol would need for sums of `dimension` values of `bits` bits over `parties`, and one of them.

    dropout, corrupt: fractions of the parties, 0..1, 1 excluded. bandwidth: Mbit/s of one party's link, each way.
    latency: milliseconds there and back. keystream: AES-CTR as field elements, GB/s of one core.
    Raises ValueError for what no protocol could be asked.
    """
    if parties < SMALLEST_COHORT:
        raise ValueError(
            f"a sum covers at least {SMALLEST_COHORT} parties, not {parties}: two would learn each other's input"
        )
    spec = VectorSpec(dimension, field_for(parties, bits))
    setting = Setting(parties, dropout, corrupt, Adversary(adversary), spec)
    given = _Rates(bandwidth_mbps, latency_ms, keystream_gbps)
    rows = {name: _row(name, setting, given) for name in PLANS}
    recommended, reason = recommend(setting, rows)
    return Advice(recommended, reason, setting, rows)


def recommend(setting: Setting, rows: Mapping[str, Row]) -> tuple[str | None, str]:
    """The protocol to take, of those that meet the setting, and why, in one sentence.

    A sparse graph never where the corrupt or the lost parties round down to none, nor where the complete one is cheap.
    """
    able = [name for name in _PREFERENCE if rows[name].feasible]
    if not (setting.colluding and setting.lost) and "secagg+" in able:
        able.remove("secagg+")
    if not able:
        return None, _nothing(setting, rows)
    sparse, whole = rows["secagg+"], rows["secagg"]
    if able[0] != "secagg":
        return able[0], f"the complete graph cannot meet the setting ({whole.why_not}), {able[0]} can"
    if why_complete := _why_complete(setting, whole, sparse):
        return "secagg", why_complete
    return "secagg+", (
        f"{sparse.degree} share holders a party in place of {whole.degree} bring the work from "
        f"{_seconds(whole.work_seconds)} to {_seconds(sparse.work_seconds)}"
    )


def resolve(parties: int, colluding: int, losses: int, variant: Variant) -> tuple[str, str]:
    """What "auto" stands for in a consortium of so many, and why: never less than `variant` withstands.

    A mesh and a committee change who is trusted, so they are chosen by people. Raises ValueError where nothing else
    meets the numbers.
    """
    advice = _advise_counts(parties, colluding, losses, variant)
    if advice.recommended not in _WITH_A_COORDINATOR:
        raise ValueError(advice.reason)
    return advice.recommended, advice.reason


def reconsider(protocol: str, parties: int, colluding: int, planned: int, lost: int, variant: Variant) -> str | None:
    """What the advisor would change, had it planned for so many lost parties; one sentence, None for nothing.

    protocol, planned: what the consortium agreed on. Raises ValueError as `advise`.
    """
    now = _advise_counts(parties, colluding, planned, variant).rows[protocol]
    advice = _advise_counts(parties, colluding, lost, variant)
    then = advice.rows[protocol]
    seen = f"{lost} of {parties} parties were lost and {planned} planned for"
    if not then.feasible:
        return f"{seen}: {protocol} does not stand that beside {colluding} colluding ({then.why_not}); plan for fewer"
    if advice.recommended in _WITH_A_COORDINATOR and protocol in _WITH_A_COORDINATOR - {advice.recommended}:
        return f"{seen}: with so many {advice.recommended} would be taken, {advice.reason}"
    changed = [
        f"{name} {getattr(then, name):,} in place of {getattr(now, name):,}"
        for name in ("degree", "threshold")
        if now.feasible and getattr(then, name) != getattr(now, name)
    ]
    return f"{seen}: with so many it would be {' and '.join(changed)}" if changed else None


def _advise_counts(parties: int, colluding: int, losses: int, variant: Variant) -> Advice:
    adversary = Adversary.CURIOUS if variant is Variant.CURIOUS else Adversary.MALICIOUS
    return advise(parties, losses / parties, colluding / parties, adversary=adversary)


def _why_complete(setting: Setting, whole: Row, sparse: Row) -> str | None:
    """Why no sparse graph; None where one is in order."""
    assert whole.work_seconds is not None
    if not setting.colluding or not setting.lost:
        none = "corrupt" if not setting.colluding else "lost"
        return f"the fractions come to no {none} party of {setting.parties}, and a sparse graph is not planned on none"
    if whole.work_seconds < CHEAP_SECONDS:
        return f"the complete graph costs {_seconds(whole.work_seconds)}, which leaves nothing for a sparse one to save"
    if not sparse.feasible:
        return f"the complete graph meets the setting, and no sparse one does: {sparse.why_not}"
    assert sparse.work_seconds is not None
    if sparse.work_seconds >= whole.work_seconds:
        return "the complete graph meets the setting, and the sparse one that does would cost no less"
    return None


def _nothing(setting: Setting, rows: Mapping[str, Row]) -> str:
    near = rows["secagg"].nearest
    remedy = f"secagg can at dropout {near.dropout:g} and corrupt {near.corrupt:g}" if near else "add parties"
    return f"no protocol withstands {setting.colluding} corrupt and {setting.lost} lost of {setting.parties}: {remedy}"


def _seconds(value: float | None) -> str:
    return f"{value or 0:.2g} s"


def field_for(parties: int, bits: int) -> PrimeField:
    """The smallest that holds the sum of so many values. Raises ValueError where none does."""
    if not 2 <= bits <= 32:
        raise ValueError(f"a value has 2 to 32 bits, not {bits}")
    largest = parties * (2**bits - 1)
    needed = largest.bit_length()
    for size in (needed, needed + 1) if needed < 32 else (needed,) if needed == 32 else ():
        if PrimeField.with_bits(size).modulus > largest:
            return PrimeField.with_bits(size)
    return PrimeField.with_bits(61)


# A committee and a mesh change who is trusted: they are listed for people to choose, and taken when nothing else can.
_PREFERENCE = ("secagg", "secagg+", "lightsecagg", "committee", "mesh")
_WITH_A_COORDINATOR = frozenset({"secagg", "secagg+", "lightsecagg"})


# --- from a plan to a row ---


@dataclass(frozen=True, slots=True)
class _Rates:
    bandwidth_mbps: float | None
    latency_ms: float | None
    keystream_gbps: float | None

    def __post_init__(self) -> None:
        for name in ("bandwidth_mbps", "latency_ms", "keystream_gbps"):
            value = getattr(self, name)
            if value is not None and not (value > 0 or (value == 0 and name == "latency_ms")):
                raise ValueError(f"{name} is {value}, it must be positive")

    def keystream(self, size: float) -> float | None:
        return None if self.keystream_gbps is None else size / (self.keystream_gbps * 1e9)

    def work(self, plan: Plan) -> float:
        """Seconds of computing, one party's and the server's keystream: what a sparse graph can save."""
        rate = (self.keystream_gbps or ASSUMED_KEYSTREAM_GBPS) * 1e9
        keys = plan.agreements * _AGREEMENT_SECONDS + plan.checks * _VERIFICATION_SECONDS
        return (plan.client_keystream + plan.server_keystream) / rate + keys

    def seconds(self, plan: Plan) -> float | None:
        """One party's session: every exchange there and back, its bytes over its link, and the computing."""
        if self.bandwidth_mbps is None or self.latency_ms is None or self.keystream_gbps is None:
            return None
        sending = 8 * (plan.traffic.up + plan.traffic.down) / (self.bandwidth_mbps * 1e6)
        return plan.rounds * self.latency_ms / 1e3 + sending + self.work(plan)


def _row(name: str, setting: Setting, rates: _Rates) -> Row:
    try:
        plan = PLANS[name](setting)
    except CannotMeet as exc:
        return Row(name, False, None, str(exc), nearest(name, setting))
    insecure, incorrect = (plan.risk.insecure, plan.risk.incorrect) if plan.risk else (None, None)
    return Row(
        name,
        True,
        plan.protects,
        variant=setting.variant.value,
        degree=plan.degree,
        threshold=plan.threshold,
        bits=setting.spec.field.bits,
        bytes_up=plan.traffic.up,
        bytes_down=plan.traffic.down,
        server_bytes=plan.traffic.server,
        rounds=plan.rounds,
        client_keystream_seconds=rates.keystream(plan.client_keystream),
        server_keystream_seconds=None if name == "mesh" else rates.keystream(plan.server_keystream),
        seconds=rates.seconds(plan),
        work_seconds=rates.work(plan),
        p_insecure=_probability(insecure),
        p_fail=_probability(incorrect),
        log2_p_insecure=_finite(insecure),
        log2_p_fail=_finite(incorrect),
    )


def _probability(exponent: float | None) -> float | None:
    return None if exponent is None else 2.0**exponent


def _finite(exponent: float | None) -> float | None:
    return exponent if exponent is not None and math.isfinite(exponent) else None
