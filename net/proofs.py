"""The coordinator's proofs of who cheated in an accountable session: a file each, in a folder beside its records.

A proof holds shares of a session that is over, so it is for whoever judges and not for everybody's copy of the record:
folder and files are their owner's alone. `veilsum verify` checks one. [PROTOCOLS rule 6]
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from net.errors import NetError
from net.store import sync_folder, write_whole
from protocols.accounts import Offence, Proof, proof_to_bytes
from protocols.evidence import Verdict
from protocols.roster import Consortium

FOLDER: Final = ".proofs"
_SUFFIX: Final = ".proof"
_OWNER_ALONE: Final = 0o700


@dataclass(frozen=True, slots=True)
class ProofsFolder:
    """Made when the first proof is written."""

    path: Path
    consortium: Consortium

    def write(self, record: int, proofs: Iterable[Proof]) -> dict[Verdict, Path]:
        """One of each verdict, on disk, and where. record: the number of the session's. Raises NetError."""
        each = {proof.verdict: proof for proof in proofs}
        files = {verdict: self.path / self._name(record, verdict) for verdict in each}
        if files:
            self._make()
        for verdict, file in files.items():
            write_whole(file, proof_to_bytes(each[verdict]))
        return files

    def _name(self, record: int, verdict: Verdict) -> str:
        """Records under each consortium file are numbered anew."""
        cheater = self.consortium.members[verdict.cheater].name
        offence = Offence(verdict.reason).label
        return f"version-{self.consortium.version}-record-{record}-{cheater}-{offence}{_SUFFIX}"

    def _make(self) -> None:
        try:
            self.path.mkdir(mode=_OWNER_ALONE, exist_ok=True)
            sync_folder(self.path.parent)
        except OSError as exc:
            raise NetError(f"{self.path}: cannot be made: {exc.strerror}") from exc
