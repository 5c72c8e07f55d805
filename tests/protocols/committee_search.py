"""A lying coordinator shows every honest aggregator what it likes; all combinations are played and what is learnt is
computed.

The machines are real. c aggregators are the coordinator's own: they sign everything, and lie about check values. Each
honest one is shown an offer, receipts, and check values of the coordinator's choice:

    S     the clients that are offered: all, or any floor of them
    R     whose receipts there are: enough of those that can be had under S, the aggregator's own among them
    E     the clients that a colluding aggregator's lie puts out

Vows and certificates are those of the honest aggregators that stand on the same, and of the coordinator's own.

What comes out is linear in the inputs and in the noise of their shares: each answer is a row over the unknowns, which
the coordinator knows beside the rows of its own aggregators and the zeros of the canaries. A combination of its rows in
which all noise cancels says something of the inputs. The fewest clients in one are what is looked for: exactly, by
elimination.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, product
from typing import Any

from committee_room import CommitteeRoom

from mpc import prg
from mpc.field import M61
from protocols.committee import Member, bindings, checking
from protocols.committee.messages import (
    AdvertiseKey,
    Card,
    Certificate,
    Certify,
    Checks,
    CheckValues,
    Committee,
    Contribution,
    Offer,
    Receipt,
    Receipts,
    SumShare,
    Vow,
    Vows,
)
from protocols.errors import SERVER, PartyId, PeerMisbehaved
from protocols.wire import PartySet

P = M61.modulus
FLOOR = 2  # so that with three clients there are two sums whose difference is one input

Row = dict[int, int]  # unknown -> coefficient


@dataclass(frozen=True)
class Shown:
    """To one honest aggregator."""

    offered: PartySet
    receipts: PartySet
    out: PartySet


class CommitteePlay:
    """Three clients and A aggregators, the last c of which are the coordinator's; M61, one coordinate an input."""

    def __init__(self, aggregators: int, c: int, planned: int | None = None) -> None:
        """planned: for how many the session is, where it is not for c."""
        colluding = c if planned is None else planned
        self.room = CommitteeRoom(
            clients=3, aggregators=aggregators, colluding=colluding, losses=1, field=M61, length=1, cohort=FLOOR
        )
        self.numbers, self.c = self.room.numbers, c
        committee = self.numbers.aggregators
        self.honest, self.liars = committee[: len(committee) - c], frozenset(committee[len(committee) - c :])
        self.clients: PartySet = frozenset(self.room.inputs)
        self.collecting = self._collect()

    def _collect(self) -> dict[PartyId, Member]:
        """Each aggregator once it holds all contributions."""
        room, server = self.room, self.room.server()
        members = {me: room.member(me) for me in room.parties}
        envelopes = server.start()
        self.keys: dict[PartyId, AdvertiseKey] = {}
        for _ in range(2):
            for envelope in envelopes:
                for party in envelope.recipients:
                    for answer in members[party].receive(SERVER, envelope.message):
                        if isinstance(answer.message, AdvertiseKey):
                            self.keys[party] = answer.message
                        pieces = server.receive(party, answer.message)
                        assert not pieces or isinstance(answer.message, Contribution)
                        for piece in pieces:
                            members[piece.recipients[0]].receive(SERVER, piece.message)
            if any(isinstance(envelope.message, Card | Committee) for envelope in envelopes):
                break
            envelopes = server.close_round()
        self.envelopes = dict(server._state.envelopes)
        self.session = server._state.session
        return {party: members[party] for party in self.numbers.aggregators}

    def machine(self, party: PartyId) -> Member:
        """As it stands once it holds all; to be shown something else each time."""
        kept = self.collecting[party]
        rand = self.room.rand.child("again")
        identity = self.room.identities[party]
        return Member.restore(kept.snapshot(), identity=identity, rand=rand, ledger=kept.ledger)

    # What the coordinator can show

    def offer(self, clients: PartySet) -> Offer:
        packed = b"".join(self.envelopes[one] for one in sorted(clients))
        offered = bindings.offer_digest(self.session, clients, packed)
        return Offer(clients, bindings.sign_offer(self.room.identities[SERVER], offered), packed)

    @cached_property
    def offers(self) -> list[PartySet]:
        return [frozenset(some) for size in range(FLOOR, 4) for some in combinations(sorted(self.clients), size)]

    def receipt(self, party: PartyId, clients: PartySet) -> Receipt:
        """Of an honest aggregator its answer to this offer; of the coordinator's own the same, for any number."""
        (envelope,) = self.machine(party).receive(SERVER, self.offer(clients))
        message: Receipt = envelope.message
        return message

    def views(self, party: PartyId) -> Iterator[Shown]:
        """All that may be shown to it, as far as it is for the coordinator to choose alone."""
        others = [one for one in self.numbers.aggregators if one != party]
        for clients in self.offers:
            for size in range(self.numbers.enough - 1, len(others) + 1):
                for some in combinations(others, size):
                    outs = [frozenset(), *(frozenset({one}) for one in clients if self.c and len(clients) > 2)]
                    for out in outs:
                        yield Shown(clients, frozenset({party, *some}), frozenset(out))


@dataclass
class Played:
    """The combinations of views of all honest aggregators."""

    play: CommitteePlay

    def __post_init__(self) -> None:
        play = self.play
        self._receipts = {
            (party, clients): play.receipt(party, clients)
            for party in play.numbers.aggregators
            for clients in play.offers
        }
        self._answers: dict[Any, tuple[list[Row], list[Row]]] = {}
        self._ranks: dict[frozenset[Any], int | None] = {}

    def smallest_sum(self, enough: int = 0) -> int | None:
        """The fewest clients that something is learnt of; None where nothing is."""
        play, best = self.play, None
        for chosen in product(*(list(play.views(party)) for party in play.honest)):
            shown = dict(zip(play.honest, chosen, strict=True))
            if not self._possible(shown):
                continue
            found = self._learnt(shown)
            if found is not None and (best is None or found < best):
                best = found
                if best <= enough:
                    break
        return best

    def _possible(self, shown: dict[PartyId, Shown]) -> bool:
        """There are receipts under an offer of those honest ones only that were shown it."""
        return all(
            shown[other].offered == view.offered for view in shown.values() for other in view.receipts - self.play.liars
        )

    def _learnt(self, shown: dict[PartyId, Shown]) -> int | None:
        rows: set[Any] = set()
        for party, view in shown.items():
            vowing = frozenset(
                other for other, one in shown.items()
                if other in view.receipts and (one.offered, one.receipts) == (view.offered, view.receipts)
            )  # fmt: skip
            certifying = frozenset(other for other in vowing if shown[other].out == view.out)
            rows.add((party, view, vowing, certifying))
        key = frozenset(self._rows_of(*one) for one in rows)
        if key not in self._ranks:
            self._ranks[key] = self._fewest(key)
        return self._ranks[key]

    def _rows_of(self, party: PartyId, view: Shown, vowing: PartySet, certifying: PartySet) -> Any:
        """What this aggregator is brought to say, as names of rows: (its point, challenge) and (its point, set)."""
        key = (party, view, vowing, certifying)
        if key not in self._answers:
            self._answers[key] = self._ask(*key)
        return self._answers[key]

    def _ask(self, party: PartyId, view: Shown, vowing: PartySet, certifying: PartySet) -> Any:
        """The real machine, shown all this."""
        play, machine = self.play, self.play.machine(party)
        liars, identities = play.liars & view.receipts, play.room.identities
        nothing: tuple[Any, Any] = (None, None)
        try:
            machine.receive(SERVER, play.offer(view.offered))
            receipts = {one: self._receipts[one, view.offered] for one in sorted(view.receipts)}
            (vow,) = machine.receive(SERVER, Receipts(receipts))
            assert isinstance(vow.message, Vow)
            offered = bindings.offer_digest(play.session, view.offered, play.offer(view.offered).envelopes)
            agreed = bindings.agreed_digest(offered, receipts)
            vows = {one: bindings.sign_vow(identities[one], agreed) for one in sorted(vowing | liars)}
            (values,) = machine.receive(SERVER, Vows(vows))
        except PeerMisbehaved:
            return nothing
        rho = bindings.challenge(offered, receipts)
        check = (party, rho.raw, tuple(sorted(view.offered)))
        answering = sorted(vowing | liars)
        checks = self._checks(view, agreed, rho, answering)
        try:
            (certificate,) = machine.receive(SERVER, checks)
            assert isinstance(certificate.message, Certify)
            included = machine._now.aggregator.included  # type: ignore[union-attr]
            signed = {
                one: bindings.sign_certificate(identities[one], play.room.params.digest, agreed, included)
                for one in sorted(certifying | liars)
            }
            (total,) = machine.receive(SERVER, Certificate(signed))
            assert isinstance(total.message, SumShare)
        except PeerMisbehaved:
            return check, None
        assert isinstance(values.message, CheckValues)
        return check, (party, tuple(sorted(included)))

    def _checks(self, view: Shown, agreed: bytes, rho: Any, answering: Sequence[PartyId]) -> Checks:
        """The true values; of one of the coordinator's own, where it wants clients out, others for these."""
        play = self.play
        kappa, clients = play.numbers.repetitions, sorted(view.offered)
        values = {}
        for party in answering:
            held = play.collecting[party]._now.aggregator.held  # type: ignore[union-attr]
            packed = checking.check_values(play.numbers, rho, [held[one].share for one in clients])
            row = M61.unpack(packed, len(clients) * kappa)
            for one in view.out if party == min(play.liars, default=None) else ():
                place = clients.index(one) * kappa
                row[place] = (int(row[place]) + 1) % P
            values[party] = M61.pack(row)
        signatures = {
            party: bindings.sign_values(play.room.identities[party], agreed, one) for party, one in values.items()
        }
        return Checks(signatures, b"".join(values[party] for party in answering))

    # Linear algebra

    def _fewest(self, answers: frozenset[Any]) -> int | None:
        """Clients in the smallest set of which a combination of rows, free of noise, says something."""
        known = Knowledge(self.play)
        for check, total in sorted(answers, key=repr):
            if check is not None:
                known.add_check(*check)
            if total is not None:
                known.add_sum(*total)
        return known.fewest()


class Knowledge:
    """The coordinator's rows. Unknowns: of each client the secrets of each block, then all noise and masks."""

    def __init__(self, play: CommitteePlay) -> None:
        self.play, numbers = play, play.numbers
        self._width = numbers.packing.decode  # values that fix one polynomial: T noise, ell secrets
        self._columns = numbers.share_length
        self.rows: list[Row] = []
        for client in sorted(play.clients):
            for liar in sorted(play.liars):
                self.rows += [self._share(client, column, liar) for column in range(self._columns)]
            self.rows += [{unknown: 1} for unknown in self._zeros(client)]

    def add_check(self, party: PartyId, rho: bytes, clients: tuple[PartyId, ...]) -> None:
        numbers = self.play.numbers
        factors = prg.expand(prg.Seed(rho), bindings.CHALLENGE, M61, 0, numbers.repetitions * numbers.blocks)
        weights = factors.reshape(numbers.repetitions, numbers.blocks).tolist()
        for client, (place, row) in product(clients, enumerate(weights)):
            terms = [(self._share(client, column, party), weight) for column, weight in enumerate(row)]
            self.rows.append(_combined([*terms, (self._share(client, numbers.blocks + place, party), 1)]))

    def add_sum(self, party: PartyId, clients: tuple[PartyId, ...]) -> None:
        for column in range(self.play.numbers.blocks):
            self.rows.append(_combined([(self._share(client, column, party), 1) for client in clients]))

    def fewest(self) -> int | None:
        """Eliminate the noise; what is left are rows over inputs alone. Of these, the fewest clients in one."""
        over_inputs = _eliminate(self.rows, lambda unknown: not self._is_input(unknown))
        clients = sorted(self.play.clients)
        for size in range(1, len(clients) + 1):
            for some in combinations(clients, size):
                inside = {self._input(one) for one in some}
                if any(row for row in _eliminate(over_inputs, lambda unknown, inside=inside: unknown not in inside)):
                    return size
        return None

    def _unknown(self, client: PartyId, column: int, node: int) -> int:
        return (client * self._columns + column) * self._width + node

    def _input(self, client: PartyId) -> int:
        """Its one coordinate: the first secret of the first block."""
        return self._unknown(client, 0, 0)

    def _is_input(self, unknown: int) -> bool:
        return unknown in {self._input(client) for client in self.play.clients}

    def _zeros(self, client: PartyId) -> list[int]:
        """Canaries and filling: what is known of every input."""
        packing, blocks = self.play.numbers.packing, self.play.numbers.blocks
        known = {self._unknown(client, column, row) for column in range(blocks) for row in range(packing.packed)}
        return sorted(known - {self._input(client)})

    def _share(self, client: PartyId, column: int, party: PartyId) -> Row:
        """Of the value at this point, over the nodes that fix the polynomial: secrets, then noise at 1..T."""
        packing, point = self.play.numbers.packing, self.play.numbers.points[party]
        nodes = [P - 1 - row for row in range(packing.packed)] + list(range(1, packing.privacy + 1))
        return {
            self._unknown(client, column, place): weight
            for place, weight in enumerate(_lagrange(tuple(nodes), point))
            if weight
        }


def _lagrange(nodes: tuple[int, ...], at: int) -> list[int]:
    """Written down a second time, by hand."""
    weights = []
    for one in nodes:
        weight = 1
        for other in nodes:
            if other != one:
                weight = weight * (at - other) * pow(one - other, -1, P) % P
        weights.append(weight)
    return weights


def _combined(terms: list[tuple[Row, int]]) -> Row:
    total: Row = {}
    for row, factor in terms:
        for unknown, weight in row.items():
            total[unknown] = (total.get(unknown, 0) + weight * factor) % P
    return {unknown: weight for unknown, weight in total.items() if weight}


def _eliminate(rows: list[Row], out: Any) -> list[Row]:
    """Combinations of the rows in which no unknown is left that `out` says must go: a basis of them."""
    left: list[Row] = []
    pivots: list[tuple[int, Row]] = []
    for row in rows:
        for pivot, by in pivots:
            if pivot in row:
                row = _combined([(row, 1), (by, -row[pivot])])
        pivot_here = next((unknown for unknown in row if out(unknown)), None)
        if pivot_here is not None:
            inverse = pow(row[pivot_here], -1, P)
            pivots.append((pivot_here, _combined([(row, inverse)])))
        elif row:
            left.append(row)
    return left
