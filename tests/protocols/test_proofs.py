"""Proofs before somebody who was not there: they convict the one that they name, and no honest party, however they are
put together from what anybody ever said.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import combinations, product
from typing import Any

import pytest
from cheats import AccountableRoom, Cheat, Plan, held, other_share, signed_beside

from mpc.keys import AgreementSecret, BadSignature, good_signatures_remembered
from protocols.accounts import NotProven, Proof, check, court_of, judge, proof_from_bytes, proof_to_bytes
from protocols.errors import PartyId, PeerMisbehaved, WireError
from protocols.messages import (
    DroppedReveal,
    FallbackShares,
    Invitation,
    MaskKeyReveal,
    Reveal,
    Round,
    SurvivorReveal,
    UnmaskShares,
)
from protocols.secagg import bindings, vouching
from protocols.secagg.dealing import deal, points_of
from protocols.secagg.proofs import Court, Opening, Said, Scene, WrongDealing, WrongSeed, WrongShare
from protocols.secagg.vouching import KINDS, Dealing, Secret, reveals_in
from simulations.attacks.lying import LyingServer, Parties, answer

CHEATER, TARGET, LOST = PartyId(1), PartyId(2), PartyId(4)
ONE_LOST = {4: Round.MASKED_INPUT}


@pytest.fixture(autouse=True)
def _checked_once() -> Iterator[None]:
    with good_signatures_remembered():
        yield


@cache
def convicting(cheat: Cheat, target: PartyId, lost: bool) -> tuple[AccountableRoom, Any]:
    room = AccountableRoom(length=2)
    (found,) = held(room, {CHEATER: Plan(cheat, target)}, ONE_LOST if lost else {}).server.proofs
    assert check(found, room.consortium).cheater == CHEATER
    return room, found


KINDS_OF_PROOF = [
    (Cheat.DEALS_BAD_SELF_SHARE, TARGET, False),
    (Cheat.REVEALS_WRONG_SHARE, TARGET, False),
    (Cheat.REVEALS_WRONG_SEED, LOST, True),
]
every_kind = pytest.mark.parametrize("kind", KINDS_OF_PROOF, ids=[str(one[0].name) for one in KINDS_OF_PROOF])


@every_kind
def test_a_proof_is_of_one_consortium_in_one_version(kind: tuple[Cheat, PartyId, bool]) -> None:
    room, found = convicting(*kind)
    for other in (replace(room.consortium, version=2), replace(room.consortium, name="others")):
        with pytest.raises(NotProven, match="was not one of"):
            check(found, other)


@every_kind
def test_a_proof_convicts_no_other_identity(kind: tuple[Cheat, PartyId, bool]) -> None:
    room, found = convicting(*kind)
    members = dict(room.terms.members)
    with pytest.raises(NotProven):
        judge(found, {**members, CHEATER: members[TARGET]})
    with pytest.raises(NotProven, match="had no part"):
        judge(found, {party: key for party, key in members.items() if party != CHEATER})


@every_kind
def test_a_proof_with_a_byte_changed_proves_nothing(kind: tuple[Cheat, PartyId, bool]) -> None:
    room, found = convicting(*kind)
    data = proof_to_bytes(found)
    for at in range(0, len(data), 5):
        changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        with pytest.raises((WireError, NotProven)):
            check(proof_from_bytes(changed), room.consortium)


def test_a_session_that_is_not_accountable_gives_no_proof() -> None:
    room, found = convicting(*KINDS_OF_PROOF[1])
    plain = replace(found, scene=replace(found.scene, params=replace(room.params, accountable=False)))
    with pytest.raises(NotProven, match="no accountable session"):
        judge(plain, room.terms.members)


def test_a_proof_shows_no_share_but_those_that_it_is_about() -> None:
    room = AccountableRoom(length=2)
    plans = {CHEATER: Plan(Cheat.REVEALS_WRONG_SHARE, TARGET), LOST: Plan(Cheat.DEALS_BAD_SELF_SHARE, TARGET)}
    of_share, of_dealing = map(proof_to_bytes, held(room, plans).server.proofs)
    dealt = every_true_share(room)
    assert not [share for share in dealt if share in of_share]  # the one in it is the wrong one
    assert {dealt[share] for share in dealt if share in of_dealing} == {(LOST, Secret.SELF)}


def every_true_share(room: AccountableRoom) -> dict[bytes, tuple[PartyId, Secret]]:
    """Of all dealers, as they deal in this room."""
    clients = {me: room.client(me) for me in room.parties}
    entries = [answer(client, Invitation(room.params)) for client in clients.values()]
    session, points = bindings.session_digest(room.params, entries), points_of(room.parties, room.parties)
    found: dict[bytes, tuple[PartyId, Secret]] = {}
    for dealer, client in clients.items():
        state: Any = client._state
        _, dealt = deal(state.deal_secret, state.mask_secret, session, threshold=room.t, points=points)
        for both in dealt.values():
            found |= {both[:35]: (dealer, Secret.SELF), both[35:]: (dealer, Secret.MASK)}
    return found


# Everybody against one: the coordinator and all others put together what they can from what it said in several sessions


HONEST = PartyId(0)


@dataclass(frozen=True)
class Scenery:
    """One session of which the others hold everything but the honest party's own secrets. u2: what it was shown.

    said: all that it signed there. dealing: what it vouched for. shares: (kind, holder) -> what it dealt them.
    """

    scene: Scene
    u2: Parties
    said: tuple[UnmaskShares | FallbackShares, ...]
    dealing: Dealing
    shares: dict[tuple[Secret, PartyId], bytes]
    mask_secrets: dict[PartyId, AgreementSecret]


def scenery(nonce: bytes) -> list[Scenery]:
    """Every pair of sets that a lying coordinator can show the honest party in one session, and all that it then says.

    An honest party answers once; here it answers each, which gives the others more than they can have.
    """
    room = AccountableRoom(clients=3, length=2)
    room.params = replace(room.params, nonce=nonce)
    server = LyingServer(room)
    scene = Scene(room.params, server.entries)
    dealing = Dealing.of(server.shares[HONEST], server.clients)
    secrets = {other: server.mask_secret(other) for other in room.parties if other != HONEST}
    shares = {
        (kind, holder): share
        for holder in room.parties
        if holder != HONEST
        for kind, share in zip(Secret, opened_by(server, holder), strict=True)
    }
    shown = [(u2, u3) for u2 in subsets(room.parties) for u3 in subsets(u2) if HONEST in u3]
    said = {sets: everything_said(server, *sets) for sets in shown}
    return [Scenery(scene, u2, said[u2, u3], dealing, shares, secrets) for u2, u3 in shown if said[u2, u3]]


def opened_by(server: LyingServer, holder: PartyId) -> tuple[bytes, bytes]:
    client, _ = server.masked(holder, frozenset(server.clients))
    state: Any = client._state
    return state.self_shares[HONEST], state.mask_shares[HONEST]


def everything_said(server: LyingServer, u2: Parties, u3: Parties) -> tuple[UnmaskShares | FallbackShares, ...]:
    try:
        client, _ = server.masked(HONEST, u2)
        answer(client, server.survivors(u2, u3))
        said = [answer(client, server.request(u3, u2, u3))]
    except PeerMisbehaved:
        return ()
    if u2 - u3:
        said.append(answer(client, server.fallback(u2 - u3)))
    return tuple(said)


def subsets(parties: Iterable[PartyId]) -> list[Parties]:
    members = sorted(parties)
    return [frozenset(chosen) for size in range(len(members) + 1) for chosen in combinations(members, size)]


@pytest.fixture
def sceneries(monkeypatch: pytest.MonkeyPatch) -> list[Scenery]:
    monkeypatch.setattr("protocols.session.smallest_cohort", lambda colluding, cohort=1: 1)  # U3 of two as well
    return scenery(bytes(32)) + scenery(bytes(range(32)))


def reveals_of(sceneries: list[Scenery]) -> list[tuple[PartyId, Reveal]]:
    """Everything that was revealed, and of whom; and a wrong one of each kind."""
    true = [(owner, reveal) for one in sceneries for said in one.said for owner, reveal in reveals_in(said).items()]
    wrong = [SurvivorReveal(bytes(35)), MaskKeyReveal(bytes(35)), DroppedReveal(bytes(32))]
    return list(dict.fromkeys([*true, *((CHEATER, reveal) for reveal in wrong)]))


def own_digest(owner: PartyId, reveal: Reveal) -> bytes:
    if isinstance(reveal, DroppedReveal):
        return b""
    return vouching.share_digest(owner, HONEST, KINDS[type(reveal)], reveal.share)


def paths_of(said: UnmaskShares | FallbackShares) -> list[tuple[int, int, bytes]]:
    reveals = reveals_in(said)
    accepted = {owner: own_digest(owner, reveal) for owner, reveal in reveals.items()}
    tree = vouching.reveal_tree(said, accepted)
    return [(place, len(reveals), tree.path(place)) for place in range(len(reveals))]


def everything_signed(sceneries: list[Scenery]) -> Iterator[tuple[Scenery, Said]]:
    """Each signature of the honest party in the first session beside each owner, each reveal as of either kind, each
    digest and each path that anybody has seen in either session.
    """
    known = reveals_of(sceneries)
    digests = {b"", bytes(32), *(own_digest(*one) for one in known)}
    reveals = dict.fromkeys(retyped for _, reveal in known for retyped in as_either_kind(reveal))
    for one in [one for one in sceneries if one.scene == sceneries[0].scene]:
        for said, owner, reveal, accepted in product(one.said, map(PartyId, range(3)), reveals, digests):
            for place, count, path in paths_of(said):
                yield one, Said(HONEST, said.round, owner, reveal, accepted, place, count, path, said.signature)


def as_either_kind(reveal: Reveal) -> list[Reveal]:
    return (
        [reveal] if isinstance(reveal, DroppedReveal) else [SurvivorReveal(reveal.share), MaskKeyReveal(reveal.share)]
    )


def convicted_holders(sceneries: list[Scenery]) -> list[Proof]:
    members = AccountableRoom(clients=3).terms.members
    courts = {one.dealing.signature: court_of(one.scene, members) for one in sceneries}
    found, tried = [], 0
    for one, said in everything_signed(sceneries):
        accusations: list[Proof] = [WrongShare(one.scene, one.u2, said)]
        if isinstance(said.reveal, DroppedReveal):
            accusations = [WrongSeed(one.scene, one.u2, said, secret.raw) for secret in one.mask_secrets.values()]
        found += [one_more for one_more in accusations if stands(one_more, courts[one.dealing.signature])]
        tried += len(accusations)
    assert tried > 5000
    return found


def stands(proof: Proof, court: Court) -> bool:
    try:
        proof.verify(court)
    except NotProven:
        return False
    return True


def convicts(proof: Proof, members: Any) -> bool:
    return stands(proof, court_of(proof.scene, members))


@pytest.mark.slow
def test_no_honest_holder_is_convicted_by_anything_that_it_ever_signed(sceneries: list[Scenery]) -> None:
    assert convicted_holders(sceneries) == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", [SurvivorReveal, DroppedReveal])
def test_the_same_search_convicts_a_holder_that_signed_one_wrong_thing(
    sceneries: list[Scenery], kind: type[Reveal]
) -> None:
    room = AccountableRoom(clients=3, length=2)
    at, one = next((at, one) for at, one in enumerate(sceneries) if len(one.said) == 2)
    shared = bindings.shared_digest(bindings.session_digest(one.scene.params, one.scene.entries), one.u2)
    true = one.said[0]
    wrong = kind(bytes(35 if kind is SurvivorReveal else 32))
    owner = next(owner for owner, reveal in reveals_in(true).items() if type(reveal) is kind)
    changed = replace(true, reveals={**reveals_in(true), owner: wrong})
    lie = signed_beside(room.identities[HONEST], shared, HONEST, changed, true)
    sceneries[at] = replace(one, said=(lie,))
    members = room.terms.members
    said = lie_as_said(lie, true, owner)
    guilty = [WrongShare(one.scene, one.u2, said), WrongSeed(one.scene, one.u2, said, mask_secret_of(one, owner))]
    assert [convicts(proof, members) for proof in guilty] == [kind is SurvivorReveal, kind is DroppedReveal]


def mask_secret_of(one: Scenery, party: PartyId) -> bytes:
    return one.mask_secrets.get(party, one.mask_secrets[CHEATER]).raw


def lie_as_said(lie: UnmaskShares, true: UnmaskShares, owner: PartyId) -> Said:
    reveals = reveals_in(true)
    accepted = {party: own_digest(party, reveal) for party, reveal in reveals.items()}
    place = sorted(reveals).index(owner)
    path = vouching.reveal_tree(lie, accepted).path(place)
    return Said(
        HONEST, lie.round, owner, reveals_in(lie)[owner], accepted[owner], place, len(reveals), path, lie.signature
    )


# The honest party as a dealer


def every_opening(sceneries: list[Scenery], kind: Secret) -> Iterator[Opening]:
    """Each share that anybody holds, as it is and changed, at each place, with each path and each digest beside it."""
    shares = {share for one in sceneries for share in one.shares.values()}
    shares |= {other_share(share) for share in shares}
    beside = Secret.MASK if kind is Secret.SELF else Secret.SELF
    dealings = {one.dealing.signature: one.dealing for one in sceneries}.values()
    for holder, share, dealing, place in product((CHEATER, TARGET), shares, dealings, range(3)):
        tree = dealing.tree(HONEST)
        for at, on_the_way in product(range(3), range(3)):
            yield Opening(
                holder, share, dealing.digest(at, beside), dealing.bundle(at), place, tree.path(on_the_way)
            )  # fmt: skip


def vouched_for(one: Scenery, kind: Secret, opening: Opening, members: Any) -> bool:
    session = bindings.session_digest(one.scene.params, one.scene.entries)
    dealing = one.dealing
    try:
        root = opening.root(HONEST, kind, 3)
        bindings.verify_shares(members[HONEST], session, HONEST, dealing.signature, dealing.commitment, root)
    except (NotProven, BadSignature):
        return False
    return True


@pytest.mark.slow
@pytest.mark.parametrize("kind", Secret)
def test_no_honest_dealer_is_convicted_by_any_shares_however_they_are_put_together(
    sceneries: list[Scenery], kind: Secret
) -> None:
    """Of all openings only the true ones are under its root, and any t of these give what it committed to."""
    members = AccountableRoom(clients=3).terms.members
    sessions = {one.dealing.signature: one for one in sceneries}.values()
    openings = list(every_opening(sceneries, kind))
    for one in sessions:
        valid = [opening for opening in openings if vouched_for(one, kind, opening, members)]
        assert {(opening.holder, opening.share) for opening in valid} == {
            (holder, one.shares[kind, holder]) for holder in (CHEATER, TARGET)
        }
        dealing = one.dealing
        for pair in product(valid, repeat=2):
            proof = WrongDealing(one.scene, HONEST, kind, dealing.commitment, dealing.signature, 3, pair)
            assert not convicts(proof, members)


def test_fewer_or_more_shares_than_t_or_one_twice_convict_no_dealer() -> None:
    room, found = convicting(*KINDS_OF_PROOF[0])
    first, *others = found.openings
    for openings in ((), (first, *others[:-1]), (first, first, *others[1:]), (first, *others, others[-1])):
        with pytest.raises(NotProven):
            check(replace(found, openings=openings), room.consortium)


def test_shares_of_a_dealing_that_fits_convict_no_dealer_of_the_other_kind() -> None:
    room, found = convicting(*KINDS_OF_PROOF[0])
    with pytest.raises(NotProven):
        check(replace(found, kind=Secret.MASK), room.consortium)
