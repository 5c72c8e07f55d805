"""The input of a contributor, checked where it comes in."""

import numpy as np

from mpc.field import FieldError, FieldVector
from protocols.errors import LocalProtocolError
from protocols.session import VectorSpec


def checked_input(spec: VectorSpec, vector: FieldVector) -> FieldVector:
    """A copy. Raises LocalProtocolError unless it has the shape and the field of the session."""
    if not isinstance(vector, np.ndarray):
        raise LocalProtocolError("an input is an array")
    if vector.shape != (spec.length,):
        raise LocalProtocolError(f"an input of shape {vector.shape}, the session sums ({spec.length},)")
    try:
        return spec.field.check(vector).copy()
    except FieldError as exc:
        raise LocalProtocolError(f"the input is not in the field: {exc}") from exc
