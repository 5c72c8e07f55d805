"""What a person who runs a process reads. Each is one line: what happened, and the remedy."""


class NetError(Exception):
    """Anything that ends a process or is refused with a line for people."""


class ConfigError(NetError):
    """A file that cannot be used: names the file, the key and the remedy."""


class KeyFileError(NetError):
    """A key file that is missing, readable by others or damaged."""


class LedgerError(NetError):
    """A ledger that is damaged, or that another process holds."""


class RecordsError(NetError):
    """A file of records that is damaged, not one at all, or not ours to write."""


class JournalError(NetError):
    """A journal from which no session can be taken up: torn, damaged, another identity's, or not its ledger's."""


class TlsError(NetError):
    """A TLS root that cannot be a pin, or a peer that no pin vouches for."""


class FrameError(NetError):
    """The bytes on a connection are not the frames that it may carry now. The connection ends."""


class FrameTooLarge(FrameError):
    """A frame above what this connection may send in its present state."""


class Truncated(FrameError):
    """The connection ended inside a frame."""


class UnknownKind(FrameError):
    """A frame of a kind that does not exist."""


class TooFewParties(NetError):
    """Fewer parties than a session needs were there, and the patience is over."""


class NoResult(NetError):
    """Every attempt at a training step was aborted."""


class CoordinatorNotThere(NetError):
    """Nobody answered at the coordinator's address while the patience lasted."""


class NotTheCoordinator(NetError):
    """Somebody answered, but not the coordinator of our consortium file."""


class NotAdmitted(NetError):
    """The coordinator ended the connection before it welcomed us."""


class PartyRefused(NetError):
    """One side told the other why it does not take part."""
