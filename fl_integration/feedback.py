"""Error feedback: what a codec left of an update goes into the next one. [Seide et al. 2014; Karimireddy et al. 2019]

Each party keeps its own residual. It is as secret as an update, is never sent, and is lost without harm.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Self

import numpy as np

from fl_integration.layout import Floats, PayloadError, dump_payload, load_payload
from mpc.encoding import Codec, EncodingError
from mpc.field import FieldVector
from mpc.randomness import Randomness

_RESIDUAL: Final = "residual"
_NONE: Final[Mapping[str, float]] = {}


@dataclass(frozen=True, slots=True, eq=False)
class ErrorFeedback:
    """residual: float32[length], what earlier sums still owe. It starts as `none(length)`.

    A value: keep what `encode` returns once the sum has included this party, and this one where it has not.
    """

    residual: Floats = field(repr=False)

    @classmethod
    def none(cls, length: int) -> Self:
        """Nothing is owed yet."""
        return cls(np.zeros(length, dtype=np.float32))

    def encode(
        self, codec: Codec, update: Floats, *, weight: int = 1, metrics: Mapping[str, float] = _NONE, rand: Randomness
    ) -> tuple[FieldVector, Self]:
        """(vector, feedback after it): `update` and the residual, encoded, and what that leaves out.

        With weight 0 all of it is left out. Raises EncodingError as `codec.encode`, and for a codec whose error is on
        average no smaller than what it is of (`variance` 1 or more): the residual would grow without end. Then build it
        with `damped`. Leave room for the residual in `norm` and `clip`: what is cut is owed as well.
        """
        if codec.variance >= 1:
            raise EncodingError("error feedback wants a codec that leaves less than all behind: build it with damped")
        wanted = update + self.residual
        vector = codec.encode(wanted, weight=weight, metrics=metrics, rand=rand)
        sent = codec.decode_sum(vector).mean if weight else np.zeros_like(wanted)
        return vector, type(self)(wanted - sent)

    def to_bytes(self) -> bytes:
        """The residual, for this party's own disk; as secret as an update."""
        return dump_payload({_RESIDUAL: self.residual}, {})

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Raises PayloadError on anything but what `to_bytes` gave."""
        tensors, meta = load_payload(data)
        residual = tensors.get(_RESIDUAL)
        if residual is None or len(tensors) > 1 or meta or residual.dtype != np.float32 or residual.ndim != 1:
            raise PayloadError("not the residual of an error feedback: start it anew, with none(length)")
        return cls(residual)
