"""Combines what all honest clients were shown, and asks whose inputs the coordinator learns together.

As `search.py`, over a graph: a combination is a row of numbers, one view a client, and rows are tried in batches. In
each, for every set S of honest clients whose masks all come off their sum, PROTOCOLS 3B says that each member has at
least t - c_v honest holders in S, c_v of its holders colluding. A set of which that is not true is a finding.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
from plus_lying import Holders, Shown

Rows = npt.NDArray[np.int64]
Views = dict[int, list[Shown]]
BATCH = 1 << 18


@dataclass(frozen=True)
class Finding:
    """members: whose sum is learnt, as bits. shown: what each honest client was shown for it."""

    members: int
    shown: dict[int, Shown]

    @property
    def size(self) -> int:
        return self.members.bit_count()


class Search:
    """views: by honest client; the other parties collude and sign, reveal and say whatever is wanted."""

    def __init__(self, holders: Holders, views: Views, threshold: int) -> None:
        self.holders, self.views, self.threshold = holders, views, threshold
        self.honest = sorted(views)
        self.colluders = sum(1 << one for one in holders if one not in views)
        self._columns = {one: _columns(views[one], len(holders)) for one in self.honest}
        self.rows_tried = 0

    def every_row(self) -> Iterator[Rows]:
        """Every combination there is."""
        sizes = [len(self.views[one]) for one in self.honest]
        inner = 1
        while len(sizes) > inner and int(np.prod(sizes[-inner - 1 :])) <= BATCH:
            inner += 1
        tail = np.indices(sizes[-inner:]).reshape(inner, -1).T
        for head in product(*(range(size) for size in sizes[:-inner])):
            yield np.hstack([np.tile(head, (len(tail), 1)).astype(np.int64), tail])

    def two_stories(self) -> Iterator[Rows]:
        """Every pair of stories (U2, U3), each client told one of them, in every way."""
        told = sorted({(one.u2, one.u3) for views in self.views.values() for one in views if one.u3})
        silent = np.array([len(self.views[one]) for one in self.honest])  # a view that gives nothing at all
        table = np.tile(silent, (len(told), 1))
        for column, client in enumerate(self.honest):
            for place, one in enumerate(self.views[client]):
                if one.u3:
                    table[told.index((one.u2, one.u3)), column] = place
        ways = np.array(list(product((False, True), repeat=len(self.honest))))
        first, second = np.triu_indices(len(told), k=1)
        step = max(BATCH // len(ways), 1)
        for at in range(0, len(first), step):
            a, b = table[first[at : at + step], None, :], table[second[at : at + step], None, :]
            yield np.where(ways[None], a, b).reshape(-1, len(self.honest))

    def first(self, batches: Iterator[Rows], *, smallest: int | None = None) -> Finding | None:
        """The first set that breaks the claim; or, where `smallest` is given, the first of at most so many members."""
        honest = sum(1 << one for one in self.honest)
        sets = sorted((one for one in range(1, honest + 1) if one & ~honest == 0), key=int.bit_count)
        wanted = [one for one in sets if (self._breaks(one) if smallest is None else one.bit_count() <= smallest)]
        for rows in batches:
            self.rows_tried += len(rows)
            for members, free in self._free_of_masks(rows, wanted):
                if free.any():
                    return self._finding(members, rows[int(np.argmax(free))])
        return None

    def _breaks(self, members: int) -> bool:
        """Whether a member has fewer than t - c_v honest holders among them."""
        for one in self.honest:
            if members >> one & 1:
                holders = sum(1 << holder for holder in self.holders[one])
                enough = self.threshold - (holders & self.colluders).bit_count()
                if (holders & members).bit_count() < enough:
                    return True
        return False

    def _finding(self, members: int, row: Any) -> Finding:
        shown = {
            one: self.views[one][at] for one, at in zip(self.honest, row, strict=True) if at < len(self.views[one])
        }
        return Finding(members, shown)

    def _free_of_masks(self, rows: Rows, sets: Sequence[int]) -> Iterator[tuple[int, npt.NDArray[np.bool_]]]:
        at = {one: rows[:, column] for column, one in enumerate(self.honest)}
        got = {one: {name: values[at[one]] for name, values in self._columns[one].items()} for one in self.honest}
        confirms = {one: self._confirms(one, got) for one in self.honest}
        reveals = {one: self._reveals(one, at, got, confirms) for one in self.honest}
        b, s = (
            {owner: self._opened(owner, kind, got, reveals) for owner in self.honest}
            for kind in ("self_shares", "mask_shares")
        )
        blocked, bound = self._obstacles(got, reveals, b, s)
        for members in sets:
            free = np.ones(len(rows), dtype=bool)
            for one in self.honest:
                if members >> one & 1:
                    free &= ~blocked[one] & (bound[one] & ~members == 0)
            yield members, free

    def _confirms(self, one: int, got: dict[int, dict[str, Any]]) -> Any:
        """It takes U3 if those whose signed input it wants were shown its U2. Colluders sign under any."""
        mine = got[one]
        takes = mine["u3"] > 0
        for peer in self.honest:
            takes = takes & ((mine["needs"] >> peer & 1 == 0) | (got[peer]["u2"] == mine["u2"]))
        return takes

    def _reveals(self, one: int, at: dict[int, Any], got: dict[int, dict[str, Any]], confirms: dict[int, Any]) -> Any:
        mine, signers = got[one], np.full(len(at[one]), self.colluders, dtype=np.int64)
        for other in self.honest:
            same = (got[other]["u2"] == mine["u2"]) & (got[other]["u3"] == mine["u3"]) & confirms[other]
            signers |= same.astype(np.int64) << other
        return confirms[one] & mine["accepts"][np.arange(len(signers)), signers]

    def _opened(self, owner: int, kind: str, got: dict[int, dict[str, Any]], reveals: dict[int, Any]) -> Any:
        known = sum(1 for holder in self.holders[owner] if self.colluders >> holder & 1)
        given = sum(
            (reveals[holder] & (got[holder][kind] >> owner & 1 == 1)).astype(np.int64) for holder in self.honest
        )
        return known + given >= self.threshold

    def _obstacles(
        self, got: dict[int, dict[str, Any]], reveals: dict[int, Any], b: dict[int, Any], s: dict[int, Any]
    ) -> tuple[dict[int, Any], dict[int, Any]]:
        """For each client: whether a mask of it stays for certain; and who must be in any sum with it."""
        blocked, bound = {}, {}
        for one in self.honest:
            blocked[one] = ~b[one] | (got[one]["u2"] == 0)
            bound[one] = np.zeros(len(blocked[one]), dtype=np.int64)
            for peer in set(self.honest) - {one}:
                same = got[one]["u2"] == got[peer]["u2"]
                known = s[one] | s[peer] | (reveals[one] & (got[one]["leaves"] >> peer & 1 == 1))
                known = known | (same & reveals[peer] & (got[peer]["leaves"] >> one & 1 == 1))
                stays = (got[one]["masks"] >> peer & 1 == 1) & ~known
                blocked[one] = blocked[one] | (stays & ~same)
                bound[one] |= (stays & same).astype(np.int64) << peer
        return blocked, bound


def _columns(views: Sequence[Shown], parties: int) -> dict[str, Any]:
    """Field -> its value in each view; behind them one in which the client was shown and gave nothing."""
    all_views = [*views, Shown(0, 0)]
    columns: dict[str, Any] = {
        name: np.array([getattr(one, name) for one in all_views], dtype=np.int64)
        for name in ("u2", "masks", "u3", "needs", "self_shares", "leaves", "mask_shares")
    }
    columns["accepts"] = np.array(
        [
            [any(quorum & ~signers == 0 for quorum in one.quorums) for signers in range(1 << parties)]
            for one in all_views
        ]
    )
    return columns
