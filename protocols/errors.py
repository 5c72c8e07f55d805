"""Whose fault was it. Two faults, two types; and the reasons, as enums, that travel and are logged.

`LocalProtocolError`: the driver called the machine in a way that the protocol does not know. A bug beside us.
`PeerMisbehaved`: the other side sent what it must not send. The driver calls `machine.drop(exc.sender, exc.reason)`.
After either the machine stands exactly where it stood before the call.
"""

from enum import StrEnum
from typing import NewType

PartyId = NewType("PartyId", int)
"""A member's place in the consortium (0, 1, ..). A client's Shamir point is 1 + its place in the session's roster."""

SERVER = PartyId(-1)
"""The coordinator's seat. It contributes nothing, holds no share and never travels as a number."""


class DropReason(StrEnum):
    """Why one participant is out of the session for another."""

    VANISHED = "vanished"  # its connection ended
    TOO_SLOW = "too-slow"  # the round closed without it
    ABORTED = "aborted"  # it said so itself
    MALFORMED = "malformed"  # not a message of this version
    UNEXPECTED = "unexpected"  # a message that does not belong here
    BAD_SIGNATURE = "bad-signature"  # not signed by the pinned identity
    BAD_KEY = "bad-key"  # not canonical, of low order, or another party's
    BAD_BUNDLE = "bad-bundle"  # a share bundle that does not open
    BAD_LENGTH = "bad-length"  # a vector or a share of another shape
    BAD_SHARE = "bad-share"  # a share or a seed that does not rebuild what was committed to
    SPLIT_VIEW = "split-view"  # no bundle opens: we were shown another roster, model or configuration
    OUTSIDE_TERMS = "outside-terms"  # the session is not one that this party accepts
    WRONG_SET = "wrong-set"  # U1 to U5 do not nest, or are too small
    NO_QUORUM = "no-quorum"  # fewer than t valid confirmations of our U3
    SECOND_ANSWER = "second-answer"  # asked again for another set
    SUMMED_BEFORE = "summed-before"  # we answered for a sum of this step, over other members or once too often
    SMALL_CHANGE = "small-change"  # too few members joined or left since the last sum, and our terms are strict


class AbortReason(StrEnum):
    """Why a session ended here without a result."""

    TOO_FEW = "too-few"  # not enough parties left to go on
    REFUSED = "refused"  # this party refused what its server sent
    SERVER_LOST = "server-lost"  # the coordinator is gone
    TOLD = "told"  # the other side aborted
    NOT_INCLUDED = "not-included"  # the sum is over others; nothing more is said in this session
    TOO_SLOW = "too-slow"  # the round closed without our answer; an input that had arrived by then is in the sum
    UNMASK_INCONSISTENT = "unmask-inconsistent"  # the masks did not come off: canaries or commitments disagree
    NO_EPOCH = "no-epoch"  # this party has no keys of the epoch that goes on: the next session shares new ones
    STOPPED = "stopped"  # our own driver ended it


class ProtocolError(Exception):
    """Anything that a machine raises."""


class LocalProtocolError(ProtocolError):
    """The driver misused the machine: a second input, an answer after the end, a round closed too early."""


class WireError(ProtocolError):
    """These bytes are not exactly one well-formed message of this version."""


class PeerMisbehaved(ProtocolError):
    """`sender` broke the protocol; drop it."""

    def __init__(self, sender: PartyId, reason: DropReason, detail: str) -> None:
        who = "the server" if sender == SERVER else f"party {sender}"
        super().__init__(f"{who}: {reason.value}: {detail}")
        self.sender = sender
        self.reason = reason
        self.detail = detail
