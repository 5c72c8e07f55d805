"""What peers that lie, the proposer among them, can learn of the honest inputs: every choice of what to show to whom.

Each honest peer is played on the real machine, once for each set that it can be shown, and what it then says is written
down as symbols (`MeshPlay`). `smallest_sum` combines the views of all honest peers in every way. Sets are bit masks.

The coalition knows every sigma of its own columns. Of an honest column j it may know

    P_j        the sum over the U3 that j was shown with a certificate
    sigma_ij   alone, where i showed it, or t shares of it are known: only for i in U3 and j in L, with a certificate

The seeds of a set M of honest peers are gone from the sum of their e_i when for each i in M and each honest j in the U2
of i, sigma_ij is known, or P_j is, with i in its U3 and nobody outside M whose sigma_.j is unknown.
"""

import copy
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np
from mesh_room import MeshRoom

from mpc.prg import accumulate
from protocols.errors import DropReason, PartyId, PeerMisbehaved
from protocols.mesh import Peer, bindings
from protocols.mesh.messages import (
    ExplicitShare,
    Hello,
    Holders,
    Inputs,
    InputVote,
    PartialSum,
    Recover,
    Roster,
    Share,
    Signed,
    Sums,
    SumVote,
)

LIAR = PartyId(0)  # the proposer colludes
NEVER = 99


def members(mask: int) -> list[PartyId]:
    return [PartyId(index) for index in range(mask.bit_length()) if mask >> index & 1]


def said(envelopes: Iterable[Any], kind: type) -> Any:
    return next((envelope.message for envelope in envelopes if isinstance(envelope.message, kind)), None)


@dataclass(frozen=True)
class Column:
    """A partial sum that an honest peer gives: under this U2, over this U3."""

    u2: int
    u3: int


class MeshPlay:
    """n peers in one U1, the first c of which collude and sign anything. All have dealt; from here on the liars lie."""

    def __init__(self, n: int, c: int, t: int) -> None:
        self.n, self.c, self.t = n, c, t
        self.room = MeshRoom(clients=n, colluding=c, threshold=t, length=2)
        self.honest = [PartyId(h) for h in range(c, n)]
        self.everybody = (1 << n) - 1
        self.peers: dict[PartyId, Peer] = self._deal()

    def _deal(self) -> dict[PartyId, Peer]:
        peers = self.room.peers()
        waiting = [(me, e) for me, peer in peers.items() for e in peer.start()]
        while waiting:
            sender, envelope = waiting.pop(0)
            if isinstance(envelope.message, Hello | Roster | Share):
                for recipient in envelope.recipients:
                    waiting += [(recipient, e) for e in peers[recipient].receive(sender, envelope.message)]
        return peers

    def sign(self, by: PartyId, message: Any) -> Any:
        return bindings.sign(self.room.identities[by], self.room.params.digest, message)

    def holders(self, u2: int) -> Holders:
        state: Any = self.peers[LIAR]._now.state
        dealers = {i: bindings.hash_bytes(state.bundles[i].commitments) for i in members(u2)}
        signed: Holders = self.sign(LIAR, Holders(state.session, LIAR, dealers, b""))
        return signed

    @cached_property
    def explicit(self) -> dict[tuple[PartyId, int], tuple[Peer, ExplicitShare]]:
        """(honest peer, U2) -> the peer then, and its explicit share, for every U2 that it takes."""
        found = {}
        for h, u2 in product(self.honest, range(self.everybody + 1)):
            peer = copy.copy(self.peers[h])
            try:
                share = said(peer.receive(LIAR, self.holders(u2)), ExplicitShare)
            except PeerMisbehaved:
                continue
            if share:
                self._require_symbols(h, members(u2), share)
                found[h, u2] = peer, share
        return found

    def _require_symbols(self, h: PartyId, u2: list[PartyId], share: ExplicitShare) -> None:
        """e is x less exactly these seeds."""
        state: Any = self.peers[h]._now.state
        spec = self.room.params.spec
        vector = spec.field.unpack(share.vector, spec.masked_length)
        accumulate(vector, spec.field, bindings.SEED_LABEL, plus=[state.row[j] for j in u2], minus=[])
        assert np.array_equal(vector[:2], self.room.inputs[h])

    def listed(self, u2: int, u3: int) -> Inputs:
        """The list for these sets. Of a peer that was shown another U2 there is no vector, and the hash is made up."""
        shared = bindings.list_digest(self.holders(u2))
        hashes = {i: self._input(u2, shared, i)[0].hash for i in members(u3)}
        signed: Inputs = self.sign(LIAR, Inputs(shared, LIAR, hashes, b""))
        return signed

    def _input(self, u2: int, shared: bytes, party: PartyId) -> tuple[Signed, ExplicitShare | None]:
        if (party, u2) in self.explicit:
            share = self.explicit[party, u2][1]
            return bindings.signed_hash(share), share
        made = ExplicitShare(shared, party, b"", bytes(self.room.params.spec.masked_size))
        if party in self.honest:
            return bindings.signed_hash(made), None
        made = self.sign(party, made)
        return bindings.signed_hash(made), made

    def can_vote(self, h: PartyId, u2: int, u3: int) -> bool:
        """Whether this peer signs the list, when it is given all that there is of it."""
        return said(self._offer(h, u2, u3)[1], InputVote) is not None

    def _offer(self, h: PartyId, u2: int, u3: int) -> tuple[Peer, list[Any]]:
        peer, envelopes = copy.copy(self.explicit[h, u2][0]), []
        listing = self.listed(u2, u3)
        for i in set(members(u3)) - {h}:
            _, vector = self._input(u2, listing.under, i)
            if vector:
                envelopes += peer.receive(i, vector)
        try:
            envelopes += peer.receive(LIAR, listing)
        except PeerMisbehaved:
            return peer, []
        return peer, envelopes

    def votes_twice(self, h: PartyId, u2: int, first: int, second: int) -> bool:
        """Whether it signs another list too, once its proposer is gone and the next one offers it."""
        peer, _ = self._offer(h, u2, first)
        peer.drop(LIAR, DropReason.VANISHED)
        following = PartyId(1)
        if following == h:
            return False
        again = self.sign(following, Inputs(*_fields(self.listed(u2, second), following)))
        try:
            return said(peer.receive(following, again), InputVote) is not None
        except PeerMisbehaved:
            return False

    def needs(self, h: PartyId, u2: int, u3: int, *, own: bool, astray: bool = False) -> int:
        """How many votes of others open this column, where it signs the list itself, and where it does not.

        astray: the votes of the others are for another list.
        """
        listing = self.listed(u2, u3)
        if own:
            peer, envelopes = self._offer(h, u2, u3)
        else:
            peer = copy.copy(self.explicit[h, u2][0])
            envelopes = self._show(peer, listing)
        under = bytes(32) if astray else bindings.list_digest(listing)
        return self._count(peer, envelopes, PartialSum, [i for i in members(u2) if i != h], InputVote(under, b""))

    def _show(self, peer: Peer, listing: Any) -> list[Any]:
        try:
            return list(peer.receive(LIAR, listing))
        except PeerMisbehaved:
            return []

    def _count(self, peer: Peer, envelopes: list[Any], kind: type, voters: list[PartyId], vote: Any) -> int:
        """The votes that it takes until the peer says something of this kind."""
        for count, voter in enumerate(voters):
            if said(envelopes, kind):
                return count
            envelopes += peer.receive(voter, self.sign(voter, vote))
        return len(voters) if said(envelopes, kind) else NEVER

    def summed(self, h: PartyId, column: Column) -> tuple[Peer, PartialSum] | None:
        """The peer once it gave this partial sum."""
        peer, envelopes = self._offer(h, column.u2, column.u3)
        vote = InputVote(bindings.list_digest(self.listed(column.u2, column.u3)), b"")
        if not said(envelopes, InputVote):
            envelopes = self._show(peer, self.listed(column.u2, column.u3))
        for voter in (i for i in members(column.u2) if i != h):
            envelopes += peer.receive(voter, self.sign(voter, vote))
        partial = said(envelopes, PartialSum)
        return (peer, partial) if partial else None

    def needs_to_recover(self, h: PartyId, column: Column, kept: int) -> int:
        """How many votes of others make it open the columns of U2 outside `kept`."""
        peer, own = self.summed(h, column) or (None, None)
        if peer is None or own is None:
            return NEVER
        envelopes: list[Any] = []
        hashes = {}
        for j in members(kept):
            partial = own if j == h else self._partial(own, j, column)
            hashes[j] = bindings.hash_bytes(partial.vector)
            if j != h:
                envelopes += peer.receive(j, partial)
        listing = self.sign(LIAR, Sums(own.under, LIAR, hashes, b""))
        envelopes += self._show(peer, listing)
        vote = SumVote(bindings.list_digest(listing), b"")
        return self._count(peer, envelopes, Recover, [i for i in members(column.u2) if i != h], vote)

    def _partial(self, own: PartialSum, j: PartyId, column: Column) -> PartialSum:
        """Of an honest peer its true one, of a liar any."""
        true = self.summed(j, column) if (j, column.u2) in self.explicit else None
        made = PartialSum(own.under, j, {}, b"", bytes(self.room.params.spec.masked_size))
        signed: PartialSum = true[1] if true else self.sign(j, made)
        return signed


def _fields(listing: Inputs, proposer: PartyId) -> tuple[Any, ...]:
    return listing.under, proposer, listing.hashes, b""


@dataclass
class Search:
    """The views of all honest peers of one play, combined."""

    play: MeshPlay

    def __post_init__(self) -> None:
        play = self.play
        self.u2s = {h: [u2 for other, u2 in play.explicit if other == h] for h in play.honest}
        self.can_vote = {(h, u2, u3) for h, u2 in play.explicit for u3 in _subsets(u2) if play.can_vote(h, u2, u3)}
        self.need = {
            (h, u2, u3, own): play.needs(h, u2, u3, own=own)
            for h, u2 in play.explicit
            for u3 in _subsets(u2)
            for own in (False, True)
        }
        self.twice = any(
            play.votes_twice(h, u2, first, second)
            for h, u2, first in self.can_vote
            for other, under, second in self.can_vote
            if (other, under) == (h, u2) and first != second
        )
        self.need_again = {
            (h, Column(u2, u3), kept): play.needs_to_recover(h, Column(u2, u3), kept)
            for (h, u2, u3, own), need in self.need.items()
            if own and need < NEVER
            for kept in _subsets(u2)
        }

    def smallest_sum(self) -> int | None:
        """Honest inputs in the smallest sum that comes out of any combination; None where nothing does."""
        best: int | None = None
        for size in (size for shown in self._shown() for size in self._with_columns(shown)):
            best = size if best is None else min(best, size)
            if best == 1:
                break  # none is smaller
        return best

    def _shown(self) -> Iterator[dict[PartyId, int]]:
        """To each honest peer its U2."""
        honest = self.play.honest
        for chosen in product(*(self.u2s[h] for h in honest)):
            yield dict(zip(honest, chosen, strict=True))

    def _with_columns(self, shown: dict[PartyId, int]) -> Iterator[int]:
        """To each its list to vote for, then of the certified ones one to open."""
        honest = self.play.honest
        lists = {h: [u3 for u3 in _subsets(shown[h]) if self._votable(h, shown, u3)] for h in honest}
        tallies = set()
        for votes in product(*([None, *lists[h]] for h in honest)):
            supporters = {h: lists[h] if self.twice else [u3] for h, u3 in zip(honest, votes, strict=True)}
            opened = tuple(tuple(self._opened(h, shown, supporters)) for h in honest)
            tallies.add(opened)
        done = set()
        for opened in tallies:
            for columns in product(*opened):
                if columns not in done:
                    done.add(columns)
                    yield from self._with_losses(shown, dict(zip(honest, columns, strict=True)))

    def _votable(self, h: PartyId, shown: dict[PartyId, int], u3: int) -> bool:
        """There are vectors under this U2 of those only that were shown it."""
        return (h, shown[h], u3) in self.can_vote and all(shown.get(i, shown[h]) == shown[h] for i in members(u3))

    def _opened(self, h: PartyId, shown: dict[PartyId, int], supporters: dict[PartyId, Any]) -> Iterator[Column | None]:
        yield None
        u2 = shown[h]
        for u3 in _subsets(u2):
            votes = sum(shown[o] == u2 and u3 in supporters[o] for o in self.play.honest if o != h)
            votes += sum(1 for i in range(self.play.c) if u2 >> i & 1)
            if self.need[h, u2, u3, u3 in supporters[h]] <= votes:
                yield Column(u2, u3)

    def _with_losses(self, shown: dict[PartyId, int], columns: dict[PartyId, Column | None]) -> Iterator[int]:
        """No column opened as lost; and, to all that stand on one column alike, each list of sums that they certify."""
        yield from self._sizes(shown, columns, {})
        for column in {one for one in columns.values() if one}:
            group = [h for h, one in columns.items() if one == column]
            for kept in _subsets(column.u2):
                if any(columns.get(j, column) != column for j in members(kept)):
                    continue
                votes = len(group) + sum(1 for i in range(self.play.c) if column.u2 >> i & 1)
                lost = {
                    h: column.u2 & ~kept for h in group if self.need_again.get((h, column, kept), NEVER) <= votes - 1
                }
                if lost:
                    yield from self._sizes(shown, columns, lost)

    def _sizes(
        self, shown: dict[PartyId, int], columns: dict[PartyId, Column | None], lost: dict[PartyId, int]
    ) -> Iterator[int]:
        honest = self.play.honest
        known = {(i, j) for i, j in product(honest, honest) if self._seed_known(i, j, columns, lost)}
        for mask in range(1, 1 << len(honest)):
            chosen = {h for place, h in enumerate(honest) if mask >> place & 1}
            if all(self._free(i, j, chosen, columns, known) for i in chosen for j in honest if shown[i] >> j & 1):
                yield len(chosen)

    def _seed_known(
        self, i: PartyId, j: PartyId, columns: dict[PartyId, Column | None], lost: dict[PartyId, int]
    ) -> bool:
        """From the dealer itself, or from t shares, those of the liars among them."""
        givers = [h for h, mask in lost.items() if mask >> j & 1 and columns[h] and columns[h].u3 >> i & 1]  # type: ignore[union-attr]
        return i in givers or len(givers) + self.play.c >= self.play.t

    def _free(
        self,
        i: PartyId,
        j: PartyId,
        chosen: set[PartyId],
        columns: dict[PartyId, Column | None],
        known: set[tuple[PartyId, PartyId]],
    ) -> bool:
        column = columns[j]
        if (i, j) in known:
            return True
        if column is None or not column.u3 >> i & 1:
            return False
        return all(o in chosen or (o, j) in known for o in self.play.honest if column.u3 >> o & 1)


def _subsets(mask: int) -> Iterator[int]:
    sub = mask
    while sub:
        yield sub
        sub = (sub - 1) & mask
