"""Where a contributor stands, in numbers that its snapshot shares with its party's ledger. [PROTOCOLS rule 12]"""

from dataclasses import dataclass, replace
from typing import Annotated

from protocols.ledger import Ledger
from protocols.wire import Size

Digest = Annotated[bytes, Size(32)]


@dataclass(frozen=True, slots=True)
class Standing:
    """In the snapshot and, but for `key`, in the ledger.

    key: of what is summed (`differencing_key`). session: None until the client is invited; I and the client's own keys,
    so that an invitation that is played back never names a session that was. seq: the steps taken in it.
    """

    key: Digest
    session: Digest | None = None
    seq: int = 0

    def after(self, opened: bytes | None) -> "Standing":
        """One step on. opened: the session's name, where it was this step that opened it."""
        return replace(self, session=self.session if opened is None else opened, seq=self.seq + 1)

    def written(self, ledger: Ledger, *, ended: bool) -> Ledger:
        """`ledger` with the step that led here; a session that has ended is no longer in it."""
        if self.session is None:
            return ledger
        return ledger.ended(self.session) if ended else ledger.moved(self.session, self.seq)

    def require_last(self, ledger: Ledger, *, ended: bool) -> None:
        """Raises LocalProtocolError unless the snapshot of this standing is the last one that was written."""
        if self.session is not None and not ended:
            ledger.require_last(self.session, self.seq)
