"""The form in which a caller gives an update and gets the mean back: arrays or torch tensors; one, listed or named.

torch is not imported here: whoever hands in its tensors has it, and a tensor can make another of its kind. Two names of
one storage (tied weights) are two tensors: each travels, and both names get the mean.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeAlias

import numpy as np

from fl_integration.layout import Array, LayoutError, Tensors

Update: TypeAlias = Any
"""An array or a torch tensor; a list of them; or a mapping of names to them, as a `state_dict` is."""

ALONE = "update"
"""The name of a single array's one tensor. A list's are "0", "1", .."""

Restore: TypeAlias = Callable[[Array], Any]


@dataclass(frozen=True, slots=True)
class Form:
    """How an update was given. restore: for each tensor, by name, how its mean becomes what the caller uses."""

    kind: type
    restore: Mapping[str, Restore]

    @classmethod
    def of(cls, update: Update) -> Self:
        """The form of this update. Raises LayoutError for what is no array, list or mapping."""
        return cls(_kind(update), {name: _restorer(tensor) for name, tensor in _named(update).items()})

    @classmethod
    def of_names(cls, names: Sequence[str]) -> Self:
        """The form in numpy arrays that goes with these names, before any update was given here."""
        listed = set(names) == {str(place) for place in range(len(names))}
        kind = np.ndarray if list(names) == [ALONE] else list if listed else dict
        return cls(kind, dict.fromkeys(names, _unchanged))

    def restored(self, tensors: Tensors) -> Any:
        """The named arrays, in this form."""
        if self.kind is np.ndarray:
            return self.restore[ALONE](tensors[ALONE])
        if self.kind is list:
            return [self.restore[str(place)](tensors[str(place)]) for place in range(len(tensors))]
        return {name: restore(tensors[name]) for name, restore in self.restore.items()}


def tensors_of(update: Update) -> dict[str, Array]:
    """The update as named numpy arrays, which share its memory where they can. Raises LayoutError."""
    return {name: _array(name, tensor) for name, tensor in _named(update).items()}


def _kind(update: Update) -> type:
    if isinstance(update, Mapping):
        return dict
    if isinstance(update, np.ndarray) or _is_torch(update):
        return np.ndarray
    if isinstance(update, Sequence) and not isinstance(update, str | bytes):
        return list
    raise LayoutError(f"an update is an array, a list of arrays or a mapping of names to arrays, not {type(update)}")


def _named(update: Update) -> dict[str, Any]:
    kind = _kind(update)
    if kind is np.ndarray:
        return {ALONE: update}
    return dict(update) if kind is dict else {str(place): tensor for place, tensor in enumerate(update)}


def _array(name: str, tensor: Any) -> Array:
    if not _is_torch(tensor):
        return np.asarray(tensor)
    plain = tensor.detach().cpu()
    try:
        return np.asarray(plain.numpy())
    except TypeError:  # bfloat16 and narrower, which numpy lacks
        pass
    try:
        return np.asarray(plain.float().numpy())
    except (TypeError, RuntimeError) as exc:
        raise LayoutError(f"tensor {name!r} is of type {tensor.dtype} and no dense array of numbers") from exc


def _is_torch(tensor: Any) -> bool:
    return hasattr(tensor, "detach") and hasattr(tensor, "new_tensor")


def _restorer(tensor: Any) -> Restore:
    if not _is_torch(tensor):
        return _unchanged
    empty = tensor.detach().new_empty(0)  # its type and device, and not its storage
    return lambda mean: empty.new_tensor(mean)


def _unchanged(mean: Array) -> Array:
    return mean
