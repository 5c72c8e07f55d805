"""Who masks with whom, as numbers: the degree of the graph and the threshold of the shares, found from a proof.

`complete` is the graph of Bonawitz et al. (CCS 2017), `find_graph` the sparse one of Bell et al. (CCS 2020). Both take
fractions of corrupt and of dropped parties; the counts are these fractions of n, rounded down. Logarithms are natural
within this file, to the base 2 where they leave it.
"""

import math
from bisect import bisect_left
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

import numpy as np
import numpy.typing as npt

from protocols.session import RETRIES_AFTER_REVEAL, Variant, smallest_cohort, smallest_threshold

LARGEST_GRAPH = 1_000_000
ATTEMPTS = 1 + RETRIES_AFTER_REVEAL
"""Sessions in which a server may try for one party's input, each with fresh draws. [PROTOCOLS, rule 13]"""

_ALPHA = 0.5
_BOUND = 0.9  # the published solver calls all above infeasible; the search ends long before its degrees reach n
_ROUNDING = 1e-14  # a fraction that is a hair below a whole count means the count
_LN2 = math.log(2)

Logs = npt.NDArray[np.float64]


class Adversary(StrEnum):
    """What the coordinator may do, beside what corrupt parties tell it."""

    CURIOUS = "curious"  # follows the protocol and looks
    SEMI_MALICIOUS = "semi-malicious"  # lies, but was honest about the graph and about who was lost
    MALICIOUS = "malicious"  # lies as it likes


@dataclass(frozen=True, slots=True)
class GraphParameters:
    """degree: the holders of each party's shares, itself not among them. threshold: the shares that rebuild a secret.

    In a graph for a malicious server a party masks with those that it drew and those that drew it: about 2 x degree.
    """

    degree: int
    threshold: int


@dataclass(frozen=True, slots=True)
class Failure:
    """Bounds on two probabilities, as logarithms to the base 2; -inf where the event cannot happen.

    insecure: a sum of fewer inputs than promised can be learnt. incorrect: a secret that is needed cannot be rebuilt.
    """

    insecure: float
    incorrect: float


def count(n: int, fraction: float) -> int:
    """So many of n parties: the fraction of n, rounded down."""
    return math.floor((fraction + _ROUNDING) * n)


def complete(
    n: int, corrupt_fraction: float = 0.0, dropout_fraction: float = 0.0, *, adversary: str = Adversary.MALICIOUS
) -> GraphParameters | None:
    """Everybody masks with everybody. None where the losses leave fewer than the threshold, or too small a sum.

    Curious server: t > c. One that lies: 2t > n + c. Nothing is left to chance. Raises ValueError as `find_graph`.
    [Bonawitz et al., CCS 2017; PROTOCOLS 3A]
    """
    corrupt, left = _checked_counts(n, corrupt_fraction, dropout_fraction)
    variant = Variant.CURIOUS if Adversary(adversary) is Adversary.CURIOUS else Variant.ACTIVE
    threshold = smallest_threshold(variant, n, corrupt)
    return GraphParameters(n - 1, threshold) if left >= max(threshold, smallest_cohort(corrupt)) else None


def find_graph(
    n: int,
    corrupt_fraction: float,
    dropout_fraction: float,
    *,
    adversary: str,
    security_bits: float = 40,
    correctness_bits: float = 20,
    attempts: int = ATTEMPTS,
) -> GraphParameters | None:
    """The sparse graph of the smallest even degree below n - 1 that meets the adversary, or None.

    It is insecure with probability at most 2^-security_bits, and gives no sum with at most 2^-correctness_bits.
    curious, semi-malicious: the rule of the published solver. [google-parfait/federated-compute; Bell et al., CCS 2020]
    malicious: holders drawn by each client itself, over so many `attempts`. [PROTOCOLS 3B, K: own reasoning]
    Raises ValueError for n outside 1..1,000,000, a fraction outside 0..1 (1 excluded), or an unknown adversary.
    """
    corrupt, left = _checked_counts(n, corrupt_fraction, dropout_fraction)
    kind = Adversary(adversary)
    weight = 1 if kind is Adversary.CURIOUS else 2
    if corrupt_fraction + weight * dropout_fraction > _BOUND:
        return None
    bits = security_bits + (math.log2(attempts) if kind is Adversary.MALICIOUS else 0)
    case = _Case(n, corrupt, left, kind, -(bits + 1) * _LN2, -correctness_bits * _LN2)
    bounds, choose = (_drawn_bounds, _drawn) if kind is Adversary.MALICIOUS else (_published_bounds, _published)
    degree = 2
    while degree < n - 1:
        lowest, highest = bounds(case, degree)
        threshold = choose(case, degree, lowest, highest) if lowest <= highest else None
        if threshold is not None:
            return GraphParameters(degree, threshold)
        degree += _step(lowest - highest)
    return None


def _step(gap: int) -> int:
    """To the next even degree that can do: a holder more raises neither bound by more than one, and lowers none."""
    return gap + gap % 2 if gap > 0 else 2


def failure(
    n: int,
    graph: GraphParameters,
    corrupt_fraction: float,
    dropout_fraction: float,
    *,
    adversary: str,
    attempts: int = ATTEMPTS,
) -> Failure:
    """What the union bounds come to for these parameters, over all `attempts` where the server is malicious.

    The complete graph fails in neither way while no more parties than counted are corrupt and lost, and in both beyond.
    """
    corrupt, left = _checked_counts(n, corrupt_fraction, dropout_fraction)
    kind, k, t = Adversary(adversary), graph.degree, graph.threshold
    if k == n - 1:
        needed = smallest_threshold(Variant.CURIOUS if kind is Adversary.CURIOUS else Variant.ACTIVE, n, corrupt)
        return Failure(-math.inf if t >= needed else 0.0, -math.inf if left >= t else 0.0)
    if not 1 <= t <= k < n:
        raise ValueError(f"no graph of {n} parties has degree {k} and threshold {t}")
    ln_n = math.log(n)
    if kind is Adversary.MALICIOUS:
        both = ln_n + at_least(n - 1, corrupt, k)[max(2 * t - k, 0)]
        insecure = np.logaddexp(both, log_small_sums(n, corrupt, k, t, smallest_sum(n - corrupt))) + math.log(attempts)
        incorrect = ln_n + below(n - 1, left - 1, k)[t]
    else:
        caught = 2 * t - k if kind is Adversary.SEMI_MALICIOUS else t
        exposed = ln_n + at_least(n, corrupt, k)[max(caught, 0)]
        insecure = np.logaddexp(log_disconnected(n, corrupt + n - left, k), exposed)
        incorrect = ln_n + below(n, left, k)[t]
    return Failure(min(float(insecure) / _LN2, 0.0), min(float(incorrect) / _LN2, 0.0))


def _checked_counts(n: int, corrupt_fraction: float, dropout_fraction: float) -> tuple[int, int]:
    """Corrupt parties, and those that are left after the losses."""
    if not 1 <= n <= LARGEST_GRAPH:
        raise ValueError(f"a graph has 1 to {LARGEST_GRAPH:,} parties, not {n}")
    if not (0 <= corrupt_fraction < 1 and 0 <= dropout_fraction < 1):
        raise ValueError("the fractions of corrupt and of dropped parties lie in 0..1, 1 excluded")
    return count(n, corrupt_fraction), max(n - count(n, dropout_fraction), 1)


# --- the rules ---


@dataclass(frozen=True, slots=True)
class _Case:
    """What is asked. Both bounds are logarithms: of each insecure event, and of a sum that cannot be unmasked."""

    n: int
    corrupt: int
    left: int
    adversary: Adversary
    secure: float
    correct: float


def _published_bounds(case: _Case, k: int) -> tuple[int, int]:
    """t1 + 1 and t2: above what the corrupt neighbours of anybody hold, within what is left of anybody's neighbours."""
    n, ln_n = case.n, math.log(case.n)
    t1 = _first(at_least(n, case.corrupt, k) < case.secure - ln_n) - 1
    t2 = _first(below(n, case.left, k) >= case.correct - ln_n) - 1
    if case.adversary is Adversary.SEMI_MALICIOUS:
        t1 = math.ceil((t1 + k - 1.25) / 2)
    return t1 + 1, t2


def _published(case: _Case, k: int, lowest: int, highest: int) -> int | None:
    disconnected = log_disconnected(case.n, case.corrupt + case.n - case.left, k)
    return max(lowest, 2) if disconnected < case.secure else None


def _drawn_bounds(case: _Case, k: int) -> tuple[int, int]:
    """The smallest t under which never-both holds, the largest under which correct does."""
    n, ln_n = case.n, math.log(case.n)
    corrupt_holders = _first(at_least(n - 1, case.corrupt, k) <= case.secure - ln_n)  # 2t - k of them would do harm
    highest = _first(below(n - 1, case.left - 1, k) > case.correct - ln_n) - 1
    return max((corrupt_holders + k + 1) // 2, 2), highest


def _drawn(case: _Case, k: int, lowest: int, highest: int) -> int | None:
    """The smallest t between the bounds under which alpha-sum holds too."""
    if not _sums_are_large(case, k, highest):
        return None
    candidates = range(lowest, highest + 1)
    return candidates[bisect_left(candidates, True, key=lambda t: _sums_are_large(case, k, t))]


def _sums_are_large(case: _Case, k: int, t: int) -> bool:
    honest = case.n - case.corrupt
    too_few = smallest_sum(honest)
    if too_few > 1:  # the last term alone, most often the largest, spares the sum
        chance = at_least(case.n - 1, too_few - 2 + case.corrupt, k)[t]
        if log_choose(honest, too_few - 1) + (too_few - 1) * chance > case.secure:
            return False
    return log_small_sums(case.n, case.corrupt, k, t, too_few) <= case.secure


def smallest_sum(honest: int) -> int:
    """alpha x h, alpha = 1/2: fewer honest inputs than this are too few. [own reasoning: PROTOCOLS names no alpha]"""
    return math.ceil(_ALPHA * honest)


def log_disconnected(n: int, removed: int, k: int) -> float:
    """ln of the expected number of pairs of gaps, k/2 neighbours on the ring each, among `removed` of n parties.

    A Harary graph falls apart only where two such gaps are. [Bell et al., CCS 2020]
    """
    if k > removed:
        return -math.inf
    pairs = math.log(n) + math.log(n - k - 1) - _LN2
    return pairs + math.lgamma(removed + 1) + math.lgamma(n - k + 1) - math.lgamma(n + 1) - math.lgamma(removed - k + 1)


def log_small_sums(n: int, corrupt: int, k: int, t: int, too_few: int) -> float:
    """ln of the sum over a < too_few of C(h, a) Pr[Hyp(n - 1, a - 1 + c, k) >= t]^a, with h = n - c.

    The expected number of sets of a honest parties of which each has t of its k holders among the others of the set
    and the corrupt parties: those are the sets that could be shown a U3 of their own. [PROTOCOLS 3B, K alpha-sum]
    """
    honest, others = n - corrupt, n - 1
    sizes = np.arange(1, min(too_few, honest + 1))
    if not len(sizes) or t > k:
        return -math.inf
    # Pr[Hyp(N, M, k) >= t] is the probability that the t-th drawn, in the order of the N, stands at one of the first M.
    marked = int(sizes[-1]) - 1 + corrupt
    places = np.arange(t, min(marked, others - k + t) + 1)
    enough = np.full(others + 1, -np.inf)
    if len(places):
        at_place = log_choose(places - 1, t - 1) + log_choose(others - places, k - t) - log_choose(others, k)
        enough[t : places[-1] + 1] = np.logaddexp.accumulate(at_place)
        enough[places[-1] + 1 :] = enough[places[-1]]
    terms = log_choose(honest, sizes) + sizes * np.minimum(enough[sizes - 1 + corrupt], 0.0)
    return float(np.logaddexp.reduce(terms))


# --- the hypergeometric distribution, in logarithms: nothing overflows or vanishes ---


def at_least(total: int, marked: int, drawn: int) -> Logs:
    """ln Pr[X >= x] for x = 0..drawn + 1: X of the `drawn` are marked, of `total` of which `marked` are."""
    tail: Logs = np.logaddexp.accumulate(_log_pmf(total, marked, drawn)[::-1])[::-1]
    return np.append(np.minimum(tail, 0.0), -np.inf)


def below(total: int, marked: int, drawn: int) -> Logs:
    """ln Pr[X < x] for x = 0..drawn + 1."""
    head: Logs = np.logaddexp.accumulate(_log_pmf(total, marked, drawn))
    return np.append(-np.inf, np.minimum(head, 0.0))


def _log_pmf(total: int, marked: int, drawn: int) -> Logs:
    x = np.arange(drawn + 1)
    ways = log_choose(marked, x) + log_choose(total - marked, drawn - x)
    ways -= log_choose(total, drawn)
    return ways


def log_choose(n: int | npt.NDArray[np.int64], k: int | npt.NDArray[np.int64]) -> Logs:
    """ln of n over k, -inf where it is zero. n up to 1,000,000; numbers or arrays that broadcast."""
    factorial = _log_factorials(_table_size(int(np.max(n))))
    fits = (np.asarray(k) >= 0) & (np.asarray(k) <= n)
    inside = np.where(fits, k, 0)
    ways: Logs = np.where(fits, factorial[n] - factorial[inside] - factorial[n - inside], -np.inf)
    return ways


def _table_size(largest: int) -> int:
    """Powers of two: at most 21 tables serve all sizes."""
    return 1 << max(largest, 1).bit_length()


@cache
def _log_factorials(size: int) -> Logs:
    """ln of 0!, 1!, .., size!"""
    return np.fromiter(map(math.lgamma, range(1, size + 2)), dtype=np.float64, count=size + 1)


def _first(holds: npt.NDArray[np.bool_]) -> int:
    """The first index where it holds; it does at the end."""
    return int(np.argmax(holds))
