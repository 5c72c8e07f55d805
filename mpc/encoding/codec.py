"""The interface of whatever turns an update into a vector over a field, and a sum of those into a mean."""

from collections.abc import Mapping
from typing import Protocol

from mpc.encoding.parts import NONE, Decoded, Floats
from mpc.field import FieldVector, PrimeField
from mpc.randomness import Randomness


class Codec(Protocol):
    """The same at every party and at whoever reads the sum. `Encoding` says what each call takes and raises."""

    @property
    def length(self) -> int:
        """Values in an update."""

    @property
    def vector_length(self) -> int:
        """Elements of an encoded vector."""

    @property
    def field(self) -> PrimeField:
        """What the elements are in."""

    @property
    def clients(self) -> int:
        """Most inputs that one sum may hold."""

    @property
    def max_weight(self) -> int:
        """Weights are 0..max_weight."""

    @property
    def error_bounds(self) -> tuple[float, ...]:
        """For each span of the update, most that a value of a decoded mean differs from the weighted mean.

        It holds for what was not clipped; infinite where a transform leaves values out or adds them together.
        """

    @property
    def error_bound(self) -> float:
        """The largest of `error_bounds`."""

    @property
    def variance(self) -> float:
        """What transforms add: the expected squared L2 error of a mean of L2 norm 1. 0 where nothing is left out."""

    def encode(
        self,
        update: Floats,
        *,
        weight: int = 1,
        metrics: Mapping[str, float] = NONE,
        counters: Mapping[str, int] = NONE,
        rand: Randomness,
    ) -> FieldVector:
        """One party's input as a vector of `vector_length`."""

    def decode_sum(self, vector: FieldVector) -> Decoded:
        """The means and sums that a sum of encoded vectors stands for."""
