"""A certificate that issues another party's.

Every member has a root of its own, which signs the leaves that it connects with. A member signs one in the name of
another: the chain is good, the root is pinned, the handshake succeeds. Whoever reads the name in the leaf now talks to
somebody else, and takes its keys, inputs and aborts for those of the other.

Stopped by reading no name: a peer is the pin whose key signed its leaf. The impostor is connected, as itself, and
stands where it stood. Somebody with no pinned root does not get that far, whatever name it goes by.
"""

import ssl
from collections.abc import Mapping
from typing import Any, Final

from mpc.keys import SigningKey
from mpc.randomness import SeededRandomness
from net.tls import Pins, RootSecret, issue_leaf, new_root, tls_context
from protocols.roster import Card
from simulations.attacks.gallery.attack import Attack
from simulations.attacks.verdicts import Ending, Goal, NothingHappened, Run

_BANK, _IMPOSTOR, _HUB, _STRANGER = "bank-0", "bank-1", "hub", "stranger"
_NAMES: Final = (_BANK, _IMPOSTOR, _HUB, _STRANGER)


class _Connecting:
    """Cards and roots of two members, their coordinator, and somebody whom nobody pinned."""

    def __init__(self, seed: bytes) -> None:
        rand = SeededRandomness(b"attack on tls " + seed)
        self._roots = {name: RootSecret.generate(rand.child(f"root {name}")) for name in _NAMES}
        self._cards = {
            name: Card.issue(name, SigningKey.generate(rand.child(f"identity {name}")), new_root(name, root))
            for name, root in self._roots.items()
        }
        self.members = Pins.of([self._cards[_BANK], self._cards[_IMPOSTOR]])

    def shown(self, by: str, *, called: str) -> ssl.SSLObject:
        """The coordinator's side after a handshake with a leaf that `by` signed and that names `called`.

        Raises ssl.SSLError where the chain is not good.
        """
        hub = issue_leaf(self._cards[_HUB].tls_root, self._roots[_HUB], name=_HUB)
        leaf = issue_leaf(self._cards[by].tls_root, self._roots[by], name=called)
        return _shake_hands(
            tls_context(ssl.PROTOCOL_TLS_SERVER, hub, self.members),
            tls_context(ssl.PROTOCOL_TLS_CLIENT, leaf, Pins.of([self._cards[_HUB]])),
        )


def _shake_hands(server: ssl.SSLContext, client: ssl.SSLContext) -> ssl.SSLObject:
    """In memory: what one side writes the other reads."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    near = server.wrap_bio(up, down, server_side=True)
    far = client.wrap_bio(down, up)
    waiting = {near, far}
    while waiting:
        waiting = {side for side in waiting if not _is_done(side)}
    return near


def _is_done(side: ssl.SSLObject) -> bool:
    try:
        side.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True


def naive(seed: bytes) -> Run:
    """It takes whoever has a good chain for whom the leaf names."""
    name = _common_name(_Connecting(seed).shown(_IMPOSTOR, called=_BANK).getpeercert() or {})
    if name != _BANK:
        return Run(Ending.LOST, f"it is taken for {name}")
    return Run(Ending.WON, f"{_IMPOSTOR} is taken for {name}, and acts in its name")


def _common_name(certificate: Mapping[str, Any]) -> str:
    return next(str(value) for part in certificate["subject"] for key, value in part if key == "commonName")


def ours(seed: bytes) -> Run:
    tls = _Connecting(seed)
    who = tls.members.who_signed(tls.shown(_IMPOSTOR, called=_BANK).getpeercert(binary_form=True) or b"")
    also = f"a root that nobody pinned, in the name of {_BANK}: {_refusal(tls)}"
    if who == _BANK:
        return Run(Ending.WON, f"{_IMPOSTOR} is taken for {who}", (also,))
    return Run(Ending.REFUSED, f"the pin whose key signed the leaf is that of {who}: it is connected as {who}", (also,))


def _refusal(tls: _Connecting) -> str:
    try:
        tls.shown(_STRANGER, called=_BANK)
    except ssl.SSLCertVerificationError as exc:
        return exc.reason
    raise NothingHappened("a root that nobody pinned is connected")


ATTACK: Final = Attack(
    "certificate",
    Goal.FRAME,
    "connects with a certificate in the name of another member",
    "Clark and van Oorschot, S&P 2013 (any root issues any name)",
    __doc__,
    naive,
    ours,
)
