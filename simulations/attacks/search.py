"""Combines the views of all honest clients in every way, and asks what the coordinator and its colluders learn.

Views are combined by numpy's broadcasting: each client has an axis, along which its views lie. What the server knows
then, and when an honest sum is free of masks, is this (c colluders hold a share of everything and sign anything):

    b_v      of at least t holders, colluders included, somebody gave its share
    s_v      the same of the fallback's shares, before its reveal or after; with it every leaf of v, under whatever U2
    leaf_uv  under one U2, from u or from v, or through s_u or s_v; every leaf of a colluder

The masks of a set S of honest clients are gone from the sum of their y when each b is known and each leaf is known, or
lies between two members of S that were shown the same U2. The same holds for any other linear combination: where a leaf
stays unknown its two ends must have one coefficient, so a combination is one of such sets, each with its own
coefficient, and the smallest set says what can be learnt.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from simulations.attacks.views import View

Bits = npt.NDArray[np.uint8]
INNER_AXES = 3  # clients whose views are combined at once; those of the others are taken one by one


@dataclass(frozen=True)
class Finding:
    """The smallest honest sum: whose inputs are in it, and what each honest client has to be shown for it."""

    members: int
    shown: dict[int, View]

    @property
    def size(self) -> int:
        return self.members.bit_count()

    @property
    def lives(self) -> dict[int, tuple[View, ...]]:
        return {client: (view,) for client, view in self.shown.items()}

    @property
    def under(self) -> dict[int, int]:
        """Of each member: the U2 that it masked for."""
        return {client: view.u2 for client, view in self.shown.items() if self.members >> client & 1}


def smallest_sum(
    views: Mapping[int, Sequence[View]], *, parties: int, threshold: int, enough: int = 0
) -> Finding | None:
    """Over every combination of one view for each honest client. None where nothing at all is learnt.

    views: by honest client; the rest of the parties collude. enough: stop at the first sum of at most so many inputs.
    """
    best: Finding | None = None
    for chosen in _outer_choices(views):
        found = _smallest_in(chosen, parties, threshold)
        if found is not None and (best is None or found.size < best.size):
            best = found
            if best.size <= enough:
                break
    return best


def _outer_choices(views: Mapping[int, Sequence[View]]) -> Iterator[Mapping[int, Sequence[View]]]:
    outer = sorted(views)[INNER_AXES:]
    for chosen in product(*(views[client] for client in outer)):
        yield {**views} | {client: [view] for client, view in zip(outer, chosen, strict=True)}


class _Axis:
    """The views of one client, laid along its own axis."""

    def __init__(self, views: Sequence[View], axis: int, axes: int) -> None:
        shape = [1] * axes
        shape[axis] = len(views)

        def along(values: list[Any]) -> Any:
            return np.array(values).reshape(shape)

        self.u2: Bits = along([view.u2 for view in views]).astype(np.uint8)
        self.pair = along([view.u2 << 8 | view.u3 for view in views])
        self.self_shares: Bits = along([view.self_shares for view in views]).astype(np.uint8)
        self.leaves: Bits = along([view.leaves for view in views]).astype(np.uint8)
        self.mask_shares: Bits = along([view.mask_shares for view in views]).astype(np.uint8)
        self.freely: Bits = along([view.freely for view in views]).astype(np.uint8)
        self.row = along(list(range(len(views))))
        self.accepts = np.array([view.accepts for view in views])


def _smallest_in(views: Mapping[int, Sequence[View]], parties: int, threshold: int) -> Finding | None:
    honest = sorted(views)
    axes = {client: _Axis(views[client], place, len(honest)) for place, client in enumerate(honest)}
    blocked, bound = _obstacles(axes, parties, threshold)
    for members in sorted(_nonempty_subsets(honest), key=int.bit_count):
        free: Any = True
        for client in honest:
            if members >> client & 1:
                free = free & ~blocked[client] & (bound[client] & np.uint8(~members & 0xFF) == 0)
        if np.any(free):
            where = np.argwhere(np.broadcast_to(free, _shape(views)))[0]
            return Finding(members, {client: views[client][at] for client, at in zip(honest, where, strict=True)})
    return None


def _obstacles(axes: dict[int, _Axis], parties: int, threshold: int) -> tuple[dict[int, Any], dict[int, Any]]:
    """For each honest client: whether a mask of it stays for certain; and those who must be in any sum with it."""
    colluders = sum(1 << party for party in range(parties) if party not in axes)
    reveals = {client: _reveals(axes, client, colluders) for client in axes}
    b_known, s_known = {}, {}
    for owner in axes:
        held = [reveals[holder] & _bit(axes[holder].self_shares, owner) for holder in axes]
        b_known[owner] = _count(held) + colluders.bit_count() >= threshold
        held = [
            reveals[holder] & _bit(axes[holder].mask_shares, owner) | _bit(axes[holder].freely, owner)
            for holder in axes
        ]
        s_known[owner] = _count(held) + colluders.bit_count() >= threshold
    blocked: dict[int, Any] = {}
    bound: dict[int, Any] = {}
    for client, axis in axes.items():
        blocked[client] = ~b_known[client]
        bound[client] = np.zeros((), dtype=np.uint8)
        for peer in axes.keys() - {client}:
            other = axes[peer]
            same = axis.u2 == other.u2
            known = s_known[client] | s_known[peer] | (reveals[client] & _bit(axis.leaves, peer))
            known = known | (same & reveals[peer] & _bit(other.leaves, client))
            stays = _bit(axis.u2, peer) & ~known
            blocked[client] = blocked[client] | (stays & ~same)
            bound[client] = bound[client] | (stays & same).astype(np.uint8) << np.uint8(peer)
    return blocked, bound


def _reveals(axes: dict[int, _Axis], client: int, colluders: int) -> Any:
    """Whether enough others confirm, in this combination, exactly what this client was shown."""
    mine = axes[client]
    signers: Any = np.full((), colluders)
    for other, axis in axes.items():
        signers = signers | (axis.pair == mine.pair) << other
    return mine.accepts[mine.row, signers]


def _bit(masks: Bits, party: int) -> Any:
    return (masks >> np.uint8(party) & np.uint8(1)).astype(bool)


def _count(held: list[Any]) -> Any:
    total: Any = np.zeros((), dtype=np.uint8)
    for one in held:
        total = total + one.astype(np.uint8)
    return total


def _nonempty_subsets(clients: Sequence[int]) -> Iterator[int]:
    for chosen in range(1, 1 << len(clients)):
        yield sum(1 << client for place, client in enumerate(clients) if chosen >> place & 1)


def _shape(views: Mapping[int, Sequence[View]]) -> tuple[int, ...]:
    return tuple(len(views[client]) for client in sorted(views))
