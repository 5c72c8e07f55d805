"""Round 7: the columns of the lost, from their dealers or from t shares, each seed checked against its commitment."""

from collections.abc import Mapping
from dataclasses import replace

from mpc.prg import Seed
from protocols.errors import AbortReason, DropReason, PartyId, PeerMisbehaved
from protocols.machine import Aborted, Envelope
from protocols.mesh.dealing import commitments_of, rebuild_seeds, shares_fit
from protocols.mesh.messages import HeldShares, Lacking, Recover
from protocols.mesh.opening import members
from protocols.mesh.states import Recovering, Recovery
from protocols.mesh.view import View, require_members, require_under


def lost_of(state: Recovering) -> list[PartyId]:
    """L, in order."""
    return sorted(state.holders.dealers.keys() - state.sums.hashes.keys())


def silent(state: Recovering) -> list[PartyId]:
    """The members of U3 whose seeds for L are not here."""
    return sorted(state.inputs.hashes.keys() - state.found.keys())


def take_recover(view: View, state: Recovering, sender: PartyId, message: Recover) -> Recovering:
    require_under(message.under, state.recovery.under, sender)
    view.require_signed(sender, message, sender=sender)
    lost = lost_of(state)
    if message.seeds.keys() != (set(lost) if sender in state.inputs.hashes else set()):
        raise PeerMisbehaved(sender, DropReason.WRONG_SET, "seeds for others than the lost")
    if message.shares.keys() != state.inputs.hashes.keys() & set(lost):
        raise PeerMisbehaved(sender, DropReason.WRONG_SET, "shares of others than the lost")
    _check_shares(state, sender, message.shares)
    if message.seeds:
        seeds = [Seed(message.seeds[holder]) for holder in lost]
        if commitments_of(seeds, state.session, sender, lost) != state.commitments[sender]:
            raise PeerMisbehaved(sender, DropReason.BAD_SHARE, "seeds that it did not commit to")
        packed = b"".join(seed.raw for seed in seeds)
        return _took(state, {**state.found, sender: packed}, _with(state, sender, message.shares))
    return _took(state, state.found, _with(state, sender, message.shares))


def ask(view: View, state: Recovering) -> tuple[Recovering, list[Envelope]]:
    """Some peers of U3 did not send their seeds, to us at least: everybody has shares of them."""
    message = view.sign(Lacking(state.recovery.under, frozenset(silent(state)), b""))
    return replace(state, asked=True), view.to_all(state.holders.dealers, message)


def answer(view: View, recovery: Recovery, sender: PartyId, message: Lacking) -> list[Envelope]:
    """Shares of seeds that the second certificate lays open, and of no others."""
    require_under(message.under, recovery.under, sender)
    view.require_signed(sender, message, sender=sender)
    require_members(message.dealers, recovery.shares, sender)
    shares = {dealer: recovery.shares[dealer] for dealer in sorted(message.dealers)}
    return [Envelope((sender,), view.sign(HeldShares(recovery.under, shares, b"")))]


def take_shares(view: View, state: Recovering, sender: PartyId, message: HeldShares) -> Recovering:
    require_under(message.under, state.recovery.under, sender)
    view.require_signed(sender, message, sender=sender)
    if not state.asked:
        raise PeerMisbehaved(sender, DropReason.UNEXPECTED, "shares that we did not ask for")
    require_members(message.shares, state.inputs.hashes, sender)
    _check_shares(state, sender, message.shares)
    return _took(state, state.found, _with(state, sender, message.shares))


def _took(
    state: Recovering, found: Mapping[PartyId, bytes], answers: Mapping[PartyId, Mapping[PartyId, bytes]]
) -> Recovering:
    """A re-send changes nothing."""
    return state if (found, answers) == (state.found, state.answers) else replace(state, found=found, answers=answers)


def _check_shares(state: Recovering, sender: PartyId, shares: Mapping[PartyId, bytes]) -> None:
    if not all(shares_fit(packed, len(lost_of(state))) for packed in shares.values()):
        raise PeerMisbehaved(sender, DropReason.BAD_SHARE, "shares of another shape, or outside the field")


def _with(
    state: Recovering, holder: PartyId, shares: Mapping[PartyId, bytes]
) -> dict[PartyId, Mapping[PartyId, bytes]]:
    """The answers, with a holder's first about each dealer."""
    return {
        dealer: {holder: shares[dealer], **held} if dealer in shares else held for dealer, held in state.answers.items()
    }


def rebuild(state: Recovering) -> tuple[Recovering, dict[PartyId, frozenset[PartyId]]] | None:
    """Every row that t shares give back, and by dealer the holders whose shares were off its polynomials."""
    u1, lost = members(state.roster), lost_of(state)
    point = {party: place for place, party in enumerate(u1, start=1)}
    found, disputed = dict(state.found), {}
    for dealer in silent(state):
        answers = {point[holder]: packed for holder, packed in state.answers[dealer].items()}
        rebuilt = rebuild_seeds(
            answers, state.commitments[dealer],
            threshold=state.threshold, session=state.session, dealer=dealer, lost=lost,
        )  # fmt: skip
        if rebuilt:
            found[dealer] = b"".join(seed.raw for seed in rebuilt[0])
            disputed[dealer] = frozenset(u1[at - 1] for at in rebuilt[1])
    return (replace(state, found=found), disputed) if len(found) > len(state.found) else None


def give_up(view: View, state: Recovering) -> Aborted | None:
    """Everybody who is left has answered about a dealer, at least t of them, and no t of the shares fit: it dealt
    them.
    """
    for dealer in silent(state):
        held = state.answers[dealer].keys()
        if len(held) >= state.threshold and view.left(state.holders.dealers) <= held:
            return Aborted(AbortReason.UNMASK_INCONSISTENT, DropReason.BAD_SHARE, dealer)
    return None
