"""t-of-n sharing of many secrets at once: a polynomial for each, a share for each point, all as matrix products.

A share point is a field element other than 0, where the secret lies. A secret is anything a field vector holds; 32
bytes become nine limbs below 2^30 in M31 (`to_limbs`). [Shamir 79; decoding: Gao 03]
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from mpc.field import M31, FieldVector, PrimeField
from mpc.randomness import Randomness

LIMBS = 9
LIMB_BITS = 30
SECRET_BYTES = 32

_CACHED = 16  # responder sets whose matrices are kept: a session has one, or one for each neighbourhood


class SharingError(ValueError):
    """Shares or parameters that no sharing of this kind can have."""


class NotEnoughShares(SharingError):
    """Fewer shares than the threshold."""


class TooManyErrors(SharingError):
    """More wrong shares than the redundancy can correct: `(shares - threshold) // 2` for each secret."""


class CorruptSecret(SharingError):
    """Limbs that no secret has: a share was wrong."""


@dataclass(frozen=True, slots=True, repr=False)
class Corrected:
    """What error-correcting reconstruction found.

    secrets: one element a secret. wrong: the points whose share disagrees with the sharing of at least one secret; a
    wrong share does not convict its holder, for the dealer may have dealt it.
    """

    secrets: FieldVector
    wrong: frozenset[int]

    def __repr__(self) -> str:
        return f"Corrected(<{len(self.secrets)} secrets>, wrong={sorted(self.wrong)})"


@dataclass(frozen=True, slots=True, repr=False)
class Decoded:
    """What `decode` found, one secret a column.

    points: ascending. coefficients: (threshold, secrets), the constant first. differs: (points, secrets), whether the
    share is off its polynomial. failed: (secrets,), whether there is no polynomial near enough.
    """

    points: tuple[int, ...]
    coefficients: FieldVector
    differs: npt.NDArray[np.bool_]
    failed: npt.NDArray[np.bool_]

    @property
    def wrong(self) -> frozenset[int]:
        """The points whose share is off the polynomial of at least one secret."""
        return frozenset(point for point, row in zip(self.points, self.differs, strict=True) if row.any())

    def __repr__(self) -> str:
        return f"Decoded(<{len(self.failed)} secrets>, wrong={sorted(self.wrong)})"


def split(
    secrets: FieldVector, *, threshold: int, points: Sequence[int], field: PrimeField, rand: Randomness
) -> FieldVector:
    """Share each secret by a uniform polynomial of degree threshold - 1 of its own.

    Returns a matrix (points, secrets): row i is the share of points[i]. Any `threshold` rows give the secrets back,
    fewer say nothing. Raises SharingError unless 1 <= threshold <= the number of points, all distinct, in 1..p-1.
    """
    places = _checked_points(points, field)
    if not 1 <= threshold <= len(places):
        raise SharingError(f"threshold {threshold} of {len(places)} points")
    count = len(field.check(secrets))
    noise = field.uniform((threshold - 1) * count, rand).reshape(threshold - 1, count)
    return field.matmul(_powers(places, threshold, field), np.concatenate([secrets[np.newaxis], noise]))


def reconstruct(shares: Mapping[int, FieldVector], *, threshold: int, field: PrimeField) -> FieldVector:
    """The secrets from `threshold` shares by Lagrange interpolation at 0. [Shamir 79]

    shares: point -> share, all of equal length. Exactly the lowest `threshold` points are used.
    Raises NotEnoughShares below that. A wrong share gives a wrong secret, undetected: authenticate the secret.
    """
    places, matrix = _stacked(shares, threshold, field)
    return field.matmul(lagrange_at_zero(places[:threshold], field), matrix[:threshold])


def correct(shares: Mapping[int, FieldVector], *, threshold: int, field: PrimeField) -> Corrected:
    """The secrets from all shares, although up to (shares - threshold) // 2 of them are wrong in each secret.

    Raises NotEnoughShares below the threshold, TooManyErrors when some secret has no such sharing. Beyond that bound
    a forged sharing may be taken for the true one, as with every such code.
    """
    found = decode(shares, threshold=threshold, field=field)
    if found.failed.any():
        raise TooManyErrors(f"more than {(len(found.points) - threshold) // 2} of {len(found.points)} shares are wrong")
    return Corrected(found.coefficients[0], found.wrong)


def decode(shares: Mapping[int, FieldVector], *, threshold: int, field: PrimeField) -> Decoded:
    """The polynomials of degree below the threshold nearest to the shares, for each secret by itself.

    As `correct`, but a secret that has no such polynomial is named and does not stop the others.
    """
    places, matrix = _stacked(shares, threshold, field)
    budget, count = (len(places) - threshold) // 2, matrix.shape[1]
    coefficients = np.zeros((threshold, count), dtype=field.dtype)
    differs, failed = np.zeros(matrix.shape, dtype=bool), np.zeros(count, dtype=bool)
    pending, tried = np.arange(count), None
    while len(pending):
        # wrong holders are mostly the same for all secrets: avoiding those known so far settles most of the rest
        basis = np.sort(np.argsort(differs.any(axis=1), kind="stable")[:threshold]).tolist()
        if basis != tried:
            tried, received = basis, matrix[:, pending]
            near = _interpolate([places[i] for i in basis], received[basis], field)
            off = field.matmul(_powers(places, threshold, field), near) != received
            settled = off.sum(axis=0) <= budget
            coefficients[:, pending[settled]], differs[:, pending[settled]] = near[:, settled], off[:, settled]
            pending = pending[~settled]
            continue
        if not budget:
            failed[pending] = True
            break
        first, pending = pending[0], pending[1:]
        try:
            coefficients[:, first], differs[:, first] = _decode(places, matrix[:, first], threshold, field)
        except TooManyErrors:
            failed[first] = True
    return Decoded(places, coefficients, differs, failed)


def evaluate(coefficients: FieldVector, points: Sequence[int], field: PrimeField) -> FieldVector:
    """(points, columns): what polynomials, one a column with its constant first, have at these points."""
    return field.matmul(_powers(tuple(points), len(coefficients), field), coefficients)


def lagrange_at_zero(points: Sequence[int], field: PrimeField) -> FieldVector:
    """The weights w with f(0) = sum of w[i] f(points[i]) for every polynomial f of degree below their number.

    Read-only; kept for the last few sets of points. Raises SharingError as `split` does for its points.
    """
    return _lagrange_at_zero(_checked_points(points, field), field)


def to_limbs(secret: bytes) -> FieldVector:
    """32 bytes -> nine elements of M31 below 2^30, the lowest first (little endian)."""
    if len(secret) != SECRET_BYTES:
        raise ValueError(f"a secret is {SECRET_BYTES} bytes, not {len(secret)}")
    value = int.from_bytes(secret, "little")
    return M31.vector((value >> (LIMB_BITS * i)) & (2**LIMB_BITS - 1) for i in range(LIMBS))


def from_limbs(limbs: FieldVector) -> bytes:
    """The 32 bytes of `to_limbs`. Raises CorruptSecret for a limb or a value out of range: nothing is reduced."""
    if M31.check(limbs).shape != (LIMBS,):
        raise ValueError(f"a secret has {LIMBS} limbs, not a shape of {limbs.shape}")
    if int(limbs.max()) >= 2**LIMB_BITS:
        raise CorruptSecret(f"a limb is not below 2^{LIMB_BITS}")
    value = sum(int(limb) << (LIMB_BITS * i) for i, limb in enumerate(limbs))
    if value >> (8 * SECRET_BYTES):
        raise CorruptSecret(f"the limbs exceed {SECRET_BYTES} bytes")
    return value.to_bytes(SECRET_BYTES, "little")


def _checked_points(points: Iterable[int], field: PrimeField) -> tuple[int, ...]:
    places = tuple(points)
    if not all(0 < place < field.modulus for place in places) or len(set(places)) != len(places):
        raise SharingError(f"share points are distinct and lie in 1..{field.modulus - 1}")
    return places


def _stacked(
    shares: Mapping[int, FieldVector], threshold: int, field: PrimeField
) -> tuple[tuple[int, ...], FieldVector]:
    """The points in ascending order and a matrix of their shares in rows, all checked."""
    if threshold < 1:
        raise SharingError(f"threshold {threshold}")
    if len(shares) < threshold:
        raise NotEnoughShares(f"{len(shares)} shares, the threshold is {threshold}")
    places = _checked_points(sorted(shares), field)
    rows = [shares[place] for place in places]
    if any(row.ndim != 1 or len(row) != len(rows[0]) for row in rows):
        raise SharingError("shares of different shapes")
    return places, field.check(np.stack(rows))


@lru_cache(maxsize=_CACHED)
def _lagrange_at_zero(points: tuple[int, ...], field: PrimeField) -> FieldVector:
    # w_i = prod over j != i of x_j / (x_j - x_i) = (prod of all x_j) / (x_i prod over j != i of (x_j - x_i))
    x = field.vector(points)
    differences = field.sub(x[:, np.newaxis], x[np.newaxis, :])
    np.fill_diagonal(differences, 1)
    below = field.mul(x, _product(differences, field))
    weights = field.mul(_product(x[:, np.newaxis], field), field.inv(below))
    weights.flags.writeable = False
    return weights


@lru_cache(maxsize=_CACHED)
def _powers(points: tuple[int, ...], count: int, field: PrimeField) -> FieldVector:
    """The Vandermonde matrix: row i holds the powers 0..count-1 of points[i]. Read-only."""
    powers = np.ones((len(points), 1), dtype=field.dtype)
    step = field.vector(points)[:, np.newaxis]
    while powers.shape[1] < count:
        powers = np.concatenate([powers, field.mul(powers, step)], axis=1)
        step = field.mul(step, step)
    powers = np.ascontiguousarray(powers[:, :count])
    powers.flags.writeable = False
    return powers


def _product(rows: FieldVector, field: PrimeField) -> FieldVector:
    """The product over the first axis, by halves."""
    while len(rows) > 1:
        half = len(rows) // 2
        folded = field.mul(rows[:half], rows[half : 2 * half])
        rows = np.concatenate([folded, rows[2 * half :]])
    product: FieldVector = rows[0]
    return product


def _interpolate(points: Sequence[int], values: FieldVector, field: PrimeField) -> FieldVector:
    """Coefficients, the constant first, of the polynomials through (points[i], values[i, column]), one a column."""
    quotients, weights = _lagrange_basis(tuple(points), field)
    return field.matmul(quotients, field.mul(weights[:, np.newaxis], values))


@lru_cache(maxsize=_CACHED)
def _lagrange_basis(points: tuple[int, ...], field: PrimeField) -> tuple[FieldVector, FieldVector]:
    """(coefficients of g / (x - x_i) in column i, 1 / its value at x_i), where g has all points for roots."""
    x, g = field.vector(points), _from_roots(points, field)
    quotients = np.empty((len(points), len(points)), dtype=field.dtype)
    row = np.zeros_like(x)
    for k in reversed(range(len(points))):  # synthetic division by all x - x_i side by side
        row = field.add(field.mul(row, x), np.broadcast_to(g[k + 1], x.shape))
        quotients[k] = row
    differences = field.sub(x[np.newaxis, :], x[:, np.newaxis])
    np.fill_diagonal(differences, 1)
    return quotients, field.inv(_product(differences, field))


def _from_roots(roots: Sequence[int], field: PrimeField) -> FieldVector:
    """Coefficients of the monic polynomial with these roots, the constant first."""
    g = field.vector([1])
    for root in field.vector(roots):
        shifted = np.concatenate([field.zeros(1), g])
        shifted[:-1] = field.sub(shifted[:-1], field.mul(g, root))
        g = shifted
    return g


def _decode(
    places: tuple[int, ...], word: FieldVector, threshold: int, field: PrimeField
) -> tuple[FieldVector, npt.NDArray[np.bool_]]:
    """(coefficients of f, where f differs from `word`), f the only polynomial of degree < threshold near enough.

    [Gao 03] Raises TooManyErrors when there is none.
    """
    previous, current = _from_roots(places, field), _interpolate(places, word[:, np.newaxis], field)[:, 0]
    u, v = field.zeros(1), field.vector([1])
    while 2 * _degree(current) >= len(places) + threshold:
        quotient, rest = _divide(previous, current, field)
        previous, current = current, rest
        u, v = v, _subtract(u, _multiply(quotient, v, field), field)
    message, rest = _divide(current, v, field)
    if rest.any() or _degree(message) >= threshold:
        raise TooManyErrors(f"more than {(len(places) - threshold) // 2} of {len(places)} shares are wrong")
    coefficients = _padded(message, threshold)[:threshold]
    differs: npt.NDArray[np.bool_] = field.matmul(_powers(places, threshold, field), coefficients) != word
    return coefficients, differs


def _degree(poly: FieldVector) -> int:
    """-1 for the zero polynomial."""
    nonzero = np.flatnonzero(poly)
    return int(nonzero[-1]) if len(nonzero) else -1


def _padded(poly: FieldVector, length: int) -> FieldVector:
    return np.concatenate([poly, np.zeros(max(0, length - len(poly)), dtype=poly.dtype)])


def _subtract(a: FieldVector, b: FieldVector, field: PrimeField) -> FieldVector:
    length = max(len(a), len(b))
    return field.sub(_padded(a, length), _padded(b, length))


def _multiply(a: FieldVector, b: FieldVector, field: PrimeField) -> FieldVector:
    """Product of polynomials; `a` is short (a quotient of Euclid's algorithm), so the loop runs over it."""
    product = field.zeros(len(a) + len(b) - 1)
    for at, factor in enumerate(a):
        part = product[at : at + len(b)]
        field.add(part, field.mul(b, factor), out=part)
    return product


def _divide(a: FieldVector, b: FieldVector, field: PrimeField) -> tuple[FieldVector, FieldVector]:
    """Quotient and remainder of polynomials, b not zero."""
    low, high = _degree(b), _degree(a)
    if high < low:
        return field.zeros(1), a
    divisor, rest = b[: low + 1], a[: high + 1].copy()
    lead = pow(int(divisor[-1]), -1, field.modulus)
    quotient = field.zeros(high - low + 1)
    for at in reversed(range(high - low + 1)):
        quotient[at] = int(rest[at + low]) * lead % field.modulus
        part = rest[at : at + low + 1]
        field.sub(part, field.mul(divisor, quotient[at]), out=part)
    return quotient, rest[: max(low, 1)]
