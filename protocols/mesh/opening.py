"""Rounds 0 to 2: who takes part, everybody's seeds dealt, and the set in which all hold of all."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from mpc.keys import AgreementKey, AgreementSecret, KeyRefused
from mpc.prg import SEED_BYTES, Seed
from mpc.randomness import Randomness
from protocols.channels import opening
from protocols.errors import SERVER, DropReason, PartyId, PeerMisbehaved
from protocols.machine import Envelope
from protocols.mesh import bindings
from protocols.mesh.dealing import COMMITMENT_BYTES, BadBundle, deal, open_bundle, seal_bundle, slice_of
from protocols.mesh.messages import Hello, Holders, Ready, Roster, Share
from protocols.mesh.states import AwaitingHolders, AwaitingRoster
from protocols.mesh.view import View, once, require_members, require_under

MOST_PEERS = 64


# Round 0


def greet(view: View, rand: Randomness) -> tuple[AwaitingRoster, list[Envelope]]:
    """The only step that draws."""
    secret = AgreementSecret.generate(rand)
    own = view.sign(Hello(view.me, secret.public.raw, b""))
    deal_secret = Seed(rand.bytes(SEED_BYTES))
    return AwaitingRoster(own, secret, deal_secret, {view.me: own}, ()), view.to_all(view.terms.members, own)


def take_hello(view: View, state: AwaitingRoster, sender: PartyId, hello: Hello) -> AwaitingRoster:
    if known := state.hellos.get(sender):
        return once(state, known == hello, sender, "another key than before")
    if hello.party != sender:
        raise PeerMisbehaved(sender, DropReason.WRONG_SET, "a hello in another party's name")
    _check_hello(view, hello, sender)
    if hello.channel_key in {other.channel_key for other in state.hellos.values()}:
        raise PeerMisbehaved(sender, DropReason.BAD_KEY, "the key of another party")
    return replace(state, hellos={**state.hellos, sender: hello})


def take_roster(view: View, state: AwaitingRoster, sender: PartyId, roster: Roster) -> AwaitingRoster:
    """Checked here, used when it is its proposer's turn."""
    if roster in state.lists or _knows_both(state.lists, roster.proposer):
        return state
    require_members([roster.proposer], view.terms.members, sender)
    view.require_signed(roster.proposer, roster, sender=sender)
    if sender == roster.proposer and any(other.proposer == sender for other in state.lists):
        raise PeerMisbehaved(sender, DropReason.SECOND_ANSWER, "two rosters of one proposer")
    _check_roster(view, state, roster)
    return replace(state, lists=(*state.lists, roster))


def _knows_both(lists: Sequence[Roster] | Sequence[Holders], proposer: PartyId) -> bool:
    """Two of one proposer show what it is. More of them, which others may pass on, would only fill our memory."""
    return sum(one.proposer == proposer for one in lists) > 1


def _check_roster(view: View, state: AwaitingRoster, roster: Roster) -> None:
    proposer, ids = roster.proposer, [entry.party for entry in roster.entries]
    if ids != sorted(set(ids)) or state.own not in roster.entries:
        raise PeerMisbehaved(proposer, DropReason.WRONG_SET, "a roster that is not in order, or without our own entry")
    _threshold(view, ids, proposer)
    if len({entry.channel_key for entry in roster.entries}) != len(ids):
        raise PeerMisbehaved(proposer, DropReason.BAD_KEY, "a key appears twice in the roster")
    for entry in roster.entries:
        _check_hello(view, entry, proposer)


def _check_hello(view: View, hello: Hello, sender: PartyId) -> None:
    try:
        AgreementKey(hello.channel_key)
    except KeyRefused as exc:
        raise PeerMisbehaved(sender, DropReason.BAD_KEY, f"the key of party {hello.party}: {exc}") from exc
    view.require_signed(hello.party, hello, sender=sender)


def _threshold(view: View, ids: list[PartyId], proposer: PartyId) -> int:
    """t of the whole consortium, whichever of it these parties are: with t of a roster, two groups that do not hear
    each other would each have a sum of their own, and go on to two different models. Where c + 2 d < n the n - d that
    are left are t at least. Raises PeerMisbehaved where these are fewer, or our terms ask for more: their proposer is
    told.
    """
    try:
        view.terms.check_cohort(view.params, ids)
    except PeerMisbehaved as exc:
        if exc.sender != SERVER:
            raise
        raise PeerMisbehaved(proposer, exc.reason, exc.detail) from exc
    members = len(view.terms.members)
    threshold = view.params.threshold_for(members)
    if len(ids) < threshold:
        detail = f"a roster of {len(ids)}: {threshold} of the {members} members are needed"
        raise PeerMisbehaved(proposer, DropReason.WRONG_SET, detail)
    return threshold


def can_propose_roster(view: View, state: AwaitingRoster) -> bool:
    if view.leader(view.terms.members) != view.me or next_roster(view, state):
        return False
    try:
        _threshold(view, sorted(view.left(state.hellos)), view.me)
    except PeerMisbehaved:
        return False
    return True


def all_have_greeted(view: View, state: AwaitingRoster) -> bool:
    """And nobody lower was ever there: a successor waits for its driver, since a list may be on its way."""
    return min(view.terms.members) == view.me and view.left(view.terms.members) <= state.hellos.keys()


def propose_roster(view: View, state: AwaitingRoster) -> tuple[AwaitingRoster, list[Envelope]]:
    entries = tuple(state.hellos[party] for party in sorted(view.left(state.hellos)))
    roster = view.sign(Roster(view.me, entries, b""))
    return replace(state, lists=(*state.lists, roster)), view.to_all(view.left(state.hellos), roster)


def next_roster(view: View, state: AwaitingRoster) -> Roster | None:
    """A list whose proposer is the leader, or was lost before it."""
    due = [roster for roster in state.lists if roster.proposer <= view.leader(view.terms.members)]
    return min(due, key=lambda roster: roster.proposer, default=None)


# Round 1


def share(view: View, state: AwaitingRoster, roster: Roster) -> tuple[AwaitingHolders, list[Envelope]]:
    me, u1 = view.me, {entry.party: entry for entry in roster.entries}
    threshold = _threshold(view, list(u1), roster.proposer)
    session = bindings.session_digest(view.invite, roster)
    dealt = deal(state.deal_secret, session, me, list(u1), threshold)
    channels = {
        peer: bindings.channel(session, me, state.channel_secret, entry) for peer, entry in u1.items() if peer != me
    }
    signed = view.sign(Share(session, dealt.bundles[me].commitments, b"", b""))
    envelopes = [
        Envelope(
            (peer,), replace(signed, sealed=seal_bundle(channels[peer].sending, session, me, peer, dealt.bundles[peer]))
        )
        for peer in sorted(view.left(channels))
    ]
    own = {me: dealt.bundles[me]}
    return AwaitingHolders(roster, threshold, session, opening(channels), dealt.seeds, own, {}, ()), envelopes


def take_share(view: View, state: AwaitingHolders, sender: PartyId, message: Share) -> AwaitingHolders:
    require_under(message.under, state.session, sender)
    if known := state.bundles.get(sender):
        return once(state, known.commitments == message.commitments, sender, "other commitments than before")
    view.require_signed(sender, message, sender=sender)
    try:
        bundle = open_bundle(state.opening[sender], state.session, sender, view.me, members(state.roster), message)
    except BadBundle as exc:
        raise PeerMisbehaved(sender, DropReason.BAD_BUNDLE, str(exc)) from exc
    return replace(state, bundles={**state.bundles, sender: bundle})


# Round 2


def is_ready(view: View, state: AwaitingHolders) -> bool:
    return view.me not in state.reports and view.left(members(state.roster)) <= state.bundles.keys()


def can_report(view: View, state: AwaitingHolders) -> bool:
    """Whether enough have dealt for the session to go on without the others."""
    return view.me not in state.reports and len(state.bundles) >= max(state.threshold, view.floor)


def report(view: View, state: AwaitingHolders) -> tuple[AwaitingHolders, list[Envelope]]:
    hashes = {dealer: bindings.hash_bytes(bundle.commitments) for dealer, bundle in state.bundles.items()}
    ready = view.sign(Ready(state.session, hashes, b""))
    after = replace(state, reports={**state.reports, view.me: ready})
    return after, view.to_leader(members(state.roster), ready)


def take_ready(view: View, state: AwaitingHolders, sender: PartyId, ready: Ready) -> AwaitingHolders:
    require_under(ready.under, state.session, sender)
    if known := state.reports.get(sender):
        return once(state, known == ready, sender, "another report than before")
    view.require_signed(sender, ready, sender=sender)
    require_members(ready.dealers, members(state.roster), sender)
    return replace(state, reports={**state.reports, sender: ready})


def all_are_ready(view: View, state: AwaitingHolders) -> bool:
    u1 = members(state.roster)
    return min(u1) == view.me and view.left(u1) <= state.reports.keys()


def can_propose_holders(view: View, state: AwaitingHolders) -> bool:
    if view.leader(members(state.roster)) != view.me or view.me not in state.reports:
        return False
    if any(one.proposer <= view.me for one in state.lists):
        return False  # others may stand on it: a second one would split us
    return len(_clique(view, state)) >= max(state.threshold, view.floor)


def propose_holders(view: View, state: AwaitingHolders) -> tuple[AwaitingHolders, list[Envelope]]:
    dealers = {party: state.reports[party].dealers[party] for party in _clique(view, state)}
    holders = view.sign(Holders(state.session, view.me, dealers, b""))
    return replace(state, lists=(*state.lists, holders)), view.to_all(members(state.roster), holders)


def _clique(view: View, state: AwaitingHolders) -> list[PartyId]:
    """Parties that all hold of all, and the same commitments: whoever misses most others goes, until nobody does."""
    said = {party: state.reports[party].dealers for party in view.left(state.reports)}
    circle = sorted(party for party in said if party in said[party])
    while circle:
        missing = {party: sum(not _mutual(said, party, other) for other in circle) for party in circle}
        worst = max(circle, key=lambda party: (missing[party], party))
        if not missing[worst]:
            return circle
        circle.remove(worst)
    return circle


def _mutual(said: Mapping[PartyId, Mapping[PartyId, bytes]], one: PartyId, other: PartyId) -> bool:
    return said[one].get(other) == said[other][other] and said[other].get(one) == said[one][one]


def take_holders(view: View, state: AwaitingHolders, sender: PartyId, holders: Holders) -> AwaitingHolders:
    """Checked here, used when it is its proposer's turn and we hold of everybody in it."""
    require_under(holders.under, state.session, sender)
    if holders in state.lists or _knows_both(state.lists, holders.proposer):
        return state
    u1 = members(state.roster)
    require_members([holders.proposer], u1, sender)
    view.require_signed(holders.proposer, holders, sender=sender)
    if sender == holders.proposer and any(other.proposer == sender for other in state.lists):
        raise PeerMisbehaved(sender, DropReason.SECOND_ANSWER, "two sets of holders of one proposer")
    require_members(holders.dealers, u1, holders.proposer)
    if len(holders.dealers) < max(state.threshold, view.floor):
        raise PeerMisbehaved(
            holders.proposer,
            DropReason.WRONG_SET,
            f"U2 has {len(holders.dealers)} parties, {max(state.threshold, view.floor)} are needed",
        )
    return replace(state, lists=(*state.lists, holders))


def next_holders(view: View, state: AwaitingHolders) -> Holders | None:
    """A list whose proposer is the leader or was lost before it, where all that it names lies here; or is without
    us.
    """
    leader = view.leader(members(state.roster))
    due = [one for one in state.lists if one.proposer <= leader and (view.me not in one.dealers or _held(state, one))]
    return min(due, key=lambda one: one.proposer, default=None)


def _held(state: AwaitingHolders, holders: Holders) -> bool:
    return all(
        dealer in state.bundles and bindings.hash_bytes(state.bundles[dealer].commitments) == commitments
        for dealer, commitments in holders.dealers.items()
    )


def members(roster: Roster) -> list[PartyId]:
    """U1, in order."""
    return [entry.party for entry in roster.entries]


def commitments_for(packed: bytes, roster: Roster, holders: list[PartyId]) -> bytes:
    """Of one dealer's commitments, those to the seeds of these holders."""
    return slice_of(packed, COMMITMENT_BYTES, members(roster), holders)
