"""What a peer computes: its explicit share, the sum of its column, and at the end the result. [PROTOCOLS 3C]

x_i = e_i + sum over j in U2 of PRG(sigma_ij)      so      sum of x_i over U3 = sum of e_i + sum of P_j,
P_j = sum over i in U3 of PRG(sigma_ij)
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from mpc import prg
from mpc.additive import explicit_share
from mpc.field import FieldVector
from mpc.prg import Seed
from protocols.errors import AbortReason, DropReason, PartyId, PeerMisbehaved
from protocols.machine import Aborted, Aggregate, Envelope, Finished
from protocols.mesh import bindings
from protocols.mesh.certifying import certified, check_vector, lacking
from protocols.mesh.dealing import COMMITMENT_BYTES, slice_of
from protocols.mesh.messages import ExplicitShare, Holders, Inputs, InputVote, Output, PartialSum, Recover, Result, Sums
from protocols.mesh.opening import commitments_for, members
from protocols.mesh.states import (
    AwaitingHolders,
    AwaitingOutputs,
    Certifying,
    CertifyingInputs,
    CertifyingSums,
    Ended,
    Recovering,
    Recovery,
)
from protocols.mesh.view import View, once, require_members, require_under
from protocols.secagg.shares import SHARE_BYTES
from protocols.session import VectorSpec


def split_input(
    view: View, state: AwaitingHolders, holders: Holders, vector: FieldVector
) -> tuple[CertifyingInputs, list[Envelope]]:
    """Round 3. Our input, canaries behind it, less our row of seeds."""
    spec, shared = view.params.spec, bindings.list_digest(holders)
    row = {holder: state.row[holder] for holder in holders.dealers}
    whole = np.concatenate([vector, spec.field.zeros(spec.canaries)])
    explicit = explicit_share(whole, list(row.values()), field=spec.field, label=bindings.SEED_LABEL)
    message = view.sign(ExplicitShare(shared, view.me, b"", spec.field.pack(explicit)))
    after = CertifyingInputs(
        state.roster, state.threshold, state.session, holders, shared, shared,
        {view.me: message}, {}, (), None, {}, None,
        row, {dealer: state.bundles[dealer] for dealer in holders.dealers},
    )  # fmt: skip
    return after, view.to_all(holders.dealers, message)


def sum_column(view: View, state: CertifyingInputs) -> tuple[CertifyingSums, list[Envelope]]:
    """Round 5, with the certificate only. What is left of our own seeds and shares is what U3 and L may need."""
    inputs: Inputs = certified(state)
    assert state.certificate is not None
    spec, digest = view.params.spec, state.certificate.of
    column = spec.field.zeros(spec.masked_length)
    prg.accumulate(
        column, spec.field, bindings.SEED_LABEL, plus=[state.bundles[i].seed for i in inputs.hashes], minus=()
    )
    message = view.sign(PartialSum(digest, view.me, state.certificate.signatures, b"", spec.field.pack(column)))
    after = CertifyingSums(
        state.roster, state.threshold, state.session, state.holders, state.shared, digest,
        {view.me: message}, {}, (), None, {}, None,
        inputs=inputs,
        row=state.row if view.me in inputs.hashes else {},
        commitments={i: state.bundles[i].commitments for i in inputs.hashes},
        shares={i: state.bundles[i].shares for i in inputs.hashes},
        explicit={i: vector for i, vector in state.vectors.items() if isinstance(vector, ExplicitShare)},
        holding=frozenset(party for party, vote in state.votes.items() if vote.under == digest),
        total=None,
    )  # fmt: skip
    return after, view.to_all(state.holders.dealers, message)


def take_late(view: View, state: CertifyingSums, sender: PartyId, vector: ExplicitShare) -> CertifyingSums:
    """An explicit share that was certified before it got here. Others come too late to be of any use."""
    if bindings.signed_hash(vector).hash not in lacking_explicit(state).values() or state.total is not None:
        return state
    require_under(vector.under, state.shared, sender)
    require_members([vector.party], state.inputs.hashes, sender)
    check_vector(view, state.shared, sender, vector)
    return replace(state, explicit={**state.explicit, vector.party: vector})


def take_late_vote(view: View, state: CertifyingSums, sender: PartyId, vote: InputVote) -> CertifyingSums:
    """It says that one more peer holds all explicit shares."""
    if vote.under != state.under or sender in state.holding:
        return state
    view.require_signed(sender, vote, sender=sender)
    return replace(state, holding=state.holding | {sender})


def gather(view: View, state: Certifying) -> CertifyingSums | None:
    """Adds up the explicit shares once all are here, and lets go of them once nobody can lack one."""
    if not isinstance(state, CertifyingSums):
        return None
    if state.total is None and not lacking_explicit(state):
        total = add_packed(view.params.spec, [state.explicit[party].vector for party in state.inputs.hashes])
        return replace(state, total=total)
    if state.explicit and state.total is not None and view.left(state.holders.dealers) <= state.holding | {view.me}:
        return replace(state, explicit={})
    return None


def take_output(view: View, state: AwaitingOutputs, sender: PartyId, message: Output) -> AwaitingOutputs:
    require_under(message.under, state.shared, sender)
    if known := state.outputs.get(sender):
        return once(state, known == message, sender, "another result than before")
    view.require_signed(sender, message, sender=sender)
    own = state.outputs.get(view.me)
    if own and (own.included, own.result) != (message.included, message.result):
        raise PeerMisbehaved(sender, DropReason.SPLIT_VIEW, "another result than ours from the same certified lists")
    return replace(state, outputs={**state.outputs, sender: message})


def finish(view: View, state: AwaitingOutputs) -> Ended:
    """With our own result: t have signed the same, or the driver waits no longer for those who would."""
    assert state.result is not None
    return finished(view, Result(frozenset(state.inputs.hashes), state.result), state.recovery)


def lacking_explicit(state: CertifyingSums) -> dict[PartyId, bytes]:
    """The explicit shares of U3 that are not here, by their hash."""
    return lacking(state.inputs.hashes, state.explicit)


def add_packed(spec: VectorSpec, packed: Iterable[bytes]) -> bytes:
    total = spec.field.zeros(spec.masked_length)
    for one in packed:
        spec.field.add(total, spec.field.unpack(one, spec.masked_length), out=total)
    return spec.field.pack(total)


def settle_sums(view: View, state: CertifyingSums) -> tuple[Recovering | AwaitingOutputs | Ended, list[Envelope]]:
    """With the second certificate: the columns of L are opened, where there is anybody in L; else this is the
    result.
    """
    sums: Sums = certified(state)
    assert state.certificate is not None
    spec, lost = view.params.spec, sorted(state.holders.dealers.keys() - sums.hashes.keys())
    total = state.total
    if total is not None:
        whole = not lacking(sums.hashes, state.vectors)
        columns = [state.vectors[party].vector for party in sums.hashes] if whole else []
        total = add_packed(spec, [total, *columns]) if whole else None
    u1, digest = members(state.roster), state.certificate.of
    recovery = Recovery(digest, {i: slice_of(row, SHARE_BYTES, u1, lost) for i, row in state.shares.items()})
    recovering = Recovering(
        state.roster, state.threshold, state.session, state.holders, state.shared, state.inputs, sums, recovery,
        commitments={i: commitments_for(row, state.roster, lost) for i, row in state.commitments.items()},
        found={view.me: b"".join(state.row[j].raw for j in lost)} if state.row else {},
        answers={i: {view.me: recovery.shares[i]} for i in state.inputs.hashes},
        asked=False,
        total=total,
    )  # fmt: skip
    if not lost:
        return give_result(view, recovering, total)
    own = {j: state.row[j].raw for j in lost} if state.row else {}
    shares = {i: recovery.shares[i] for i in lost if i in state.inputs.hashes}
    message = view.sign(Recover(digest, state.certificate.signatures, own, shares, b""))
    return recovering, view.to_all(state.holders.dealers, message)


def add_columns(view: View, state: Recovering) -> bytes | None:
    """The total with the columns of L, all seeds of which are found."""
    if state.total is None:
        return None
    spec = view.params.spec
    total = spec.field.unpack(state.total, spec.masked_length)
    for packed in state.found.values():
        prg.accumulate(total, spec.field, bindings.SEED_LABEL, plus=seeds_of(packed), minus=())
    return spec.field.pack(total)


def seeds_of(packed: bytes) -> Sequence[Seed]:
    return [Seed(packed[at : at + COMMITMENT_BYTES]) for at in range(0, len(packed), COMMITMENT_BYTES)]


def give_result(view: View, state: Recovering, total: bytes | None) -> tuple[AwaitingOutputs | Ended, list[Envelope]]:
    """Round 8. Where the canaries are not zero something does not belong, and there is no result."""
    included, after = frozenset(state.inputs.hashes), _awaiting(state)
    if total is None:
        return after, []
    spec = view.params.spec
    vector = spec.field.unpack(total, spec.masked_length)
    if vector[spec.length :].any():
        return Ended(Aborted(AbortReason.UNMASK_INCONSISTENT)), []
    packed = spec.field.pack(vector[: spec.length])
    message = view.sign(Output(state.shared, included, bindings.hash_bytes(packed), b""))
    after = AwaitingOutputs(
        after.roster, after.threshold, after.holders, after.shared, after.inputs, after.sums, after.recovery,
        {view.me: message}, packed,
    )  # fmt: skip
    return after, view.to_all(state.holders.dealers, message)


def _awaiting(state: Recovering) -> AwaitingOutputs:
    return AwaitingOutputs(
        state.roster, state.threshold, state.holders, state.shared, state.inputs, state.sums, state.recovery, {}, None
    )


def finished(view: View, result: Result, recovery: Recovery | None) -> Ended:
    """`result` is one that we computed, or that t peers signed."""
    spec = view.params.spec
    vector = spec.field.unpack(result.vector, spec.length)
    return Ended(Finished(Aggregate(vector, result.included)), recovery)
