"""Where a client stands in its party's ledger. [PROTOCOLS rule 12]"""

from dataclasses import dataclass, replace

from mpc.hashing import digest
from protocols.ledger import Ledger
from protocols.secagg.states import AwaitingRoster, Digest, Ended, State


@dataclass(frozen=True, slots=True)
class Standing:
    """In the snapshot and, but for `key`, in the ledger.

    key: of what is summed (`differencing_key`). session: None until the client is invited; I and the client's own keys,
    so that an invitation that is played back never names a session that was. seq: the steps taken in it.
    """

    key: Digest
    session: Digest | None = None
    seq: int = 0

    def after(self, state: State) -> "Standing":
        """One step on, in `state`."""
        session = self.session
        if isinstance(state, AwaitingRoster):
            session = digest("open session", state.params.digest, state.own.channel_key, state.own.mask_key)
        return replace(self, session=session, seq=self.seq + 1)

    def written(self, ledger: Ledger, state: State) -> Ledger:
        """`ledger` with the step that led here; a session that has ended is no longer in it."""
        if self.session is None:
            return ledger
        return ledger.ended(self.session) if isinstance(state, Ended) else ledger.moved(self.session, self.seq)

    def require_last(self, ledger: Ledger, state: State) -> None:
        """Raises LocalProtocolError unless the snapshot of this standing is the last one that was written."""
        if self.session is not None and not isinstance(state, Ended):
            ledger.require_last(self.session, self.seq)
