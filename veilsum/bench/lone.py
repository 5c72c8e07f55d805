"""One client alone in a session of n: what it hears is made without what the n - 1 others do among themselves.

The others exist as keys, and as what they would have signed and sealed for this client. So many as the session plans
to lose are lost before their input leaves; all others stay.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from mpc import shamir
from mpc.field import M31
from mpc.keys import AgreementSecret
from mpc.merkle import MerkleTree
from mpc.prg import Seed
from mpc.randomness import SeededRandomness
from protocols import messages
from protocols.errors import SERVER, PartyId
from protocols.machine import Contributor
from protocols.messages import AdvertiseKeys, DeliverShares, Invitation, Result, UnmaskRequest
from protocols.secagg import bindings
from protocols.secagg.dealing import seal_bundles
from protocols.secagg.shares import pack_share
from protocols.secagg_plus import bindings as sparse
from protocols.secagg_plus.degrees import graph_for
from protocols.secagg_plus.drawing import draw_holders
from protocols.secagg_plus.messages import Neighbours, Opened, Roster, Survivors
from protocols.session import Variant
from protocols.wire import PartySet
from veilsum.bench.sessions import Setting

ME = PartyId(0)


@dataclass(slots=True)
class Hearing:
    """A client and what it hears, in order. It is seeded, so it answers the same bytes in every run.

    degree, threshold: how many hold its shares, and how many of them open a secret. peers: parties with which it
    agrees on keys. checks: signatures of theirs that it checks. bytes_up: of all that it says.
    """

    setting: Setting
    degree: int
    threshold: int
    heard: list[bytes] = field(default_factory=list, repr=False)
    peers: int = 0
    checks: int = 0
    bytes_up: int = 0

    @classmethod
    def of(cls, setting: Setting, *, quorum: int | None = None) -> "Hearing":
        """A session of secagg or secagg+. quorum: so many confirmations are shown; None: all that its holders give."""
        params, n = setting.params, len(setting.members)
        if params.protocol == "secagg+":
            graph = graph_for(params, n)
            hearing = cls(setting, graph.degree, graph.threshold)
            _Others(hearing, quorum).sparse()
        else:
            hearing = cls(setting, n - 1, params.threshold_for(n))
            _Others(hearing, quorum).complete()
        return hearing

    @property
    def bytes_down(self) -> int:
        return sum(map(len, self.heard))

    def work(self) -> None:
        """All of the session, from the bytes that are heard to the bytes that are said."""
        for _ in self.steps():
            pass

    def steps(self) -> Iterator[str]:
        """The same, with a stop after each answer: the name of the round."""
        client = self.client()
        for data in self.heard:
            message = self.setting.family.codec.decode(data)
            answer(client, message, self.setting)
            yield message.round.value

    def client(self) -> Contributor:
        return self.setting.contributor(ME)


def answer(client: Contributor, message: Any, setting: Setting) -> tuple[Any, bytes]:
    """What a client says, and its bytes; (None, b"") where it says nothing."""
    for envelope in client.receive(SERVER, message):
        return envelope.message, setting.family.codec.encode(envelope.message)
    return None, b""


class _Others:
    """The server and the other parties, as far as one client meets them."""

    def __init__(self, hearing: Hearing, quorum: int | None) -> None:
        self._hearing, self._setting, self._quorum = hearing, hearing.setting, quorum
        self._params = self._setting.params
        self._active = self._params.variant is Variant.ACTIVE
        self._rand = SeededRandomness(b"others")
        self._client = hearing.client()
        self._keys = self._setting.identities
        n = len(self._setting.members)
        self._u1: PartySet = frozenset(self._setting.members)
        self._u3: PartySet = frozenset(map(PartyId, range(n - self._params.losses)))
        self._channels = {one: AgreementSecret.generate(self._rand) for one in sorted(self._u1 - {ME})}

    def complete(self) -> None:
        own = self._tell(Invitation(self._params))
        entries = tuple(self._entries(own).values())
        session = bindings.session_digest(self._params, entries)
        self._tell(messages.Roster(entries, self._signed(bindings.sign_roster, session)))
        others = self._u1 - {ME}
        shared = self._deliver(session, own, others)
        survivors = messages.Survivors(self._u3, self._signed(bindings.sign_survivors, shared, self._u3))
        self._finish(shared, survivors, holders=self._u1, peers=others, signed=0)

    def sparse(self) -> None:
        own = self._tell(Invitation(self._params))
        entries = self._entries(own)
        tree = MerkleTree([sparse.entry_leaf(entry) for entry in entries.values()])
        session = sparse.session_digest(self._params, self._u1, tree.root)
        chosen = self._tell(Roster(self._u1, tree.root, self._signed(sparse.sign_roster, session)))
        # as many as chance gives drew this client
        owners = draw_holders(Seed(self._rand.bytes(32)), session, self._u1 - {ME}, self._hearing.degree)
        holders = frozenset(chosen.holders if self._active else owners)
        peers = holders | frozenset(owners)
        opened = tuple(Opened(entries[one], tree.path(one)) for one in sorted(peers | {ME}))
        self._tell(Neighbours(owners, opened))
        shared = self._deliver(session, own, frozenset(owners))
        signed = {
            one: sparse.signed_input(b"y", sparse.sign_input(self._keys[one], shared, b"y"))
            for one in sorted(peers & self._u3 if self._active else ())
        }
        survivors = Survivors(self._u3, self._signed(bindings.sign_survivors, shared, self._u3), signed)
        self._finish(shared, survivors, holders=holders, peers=peers, signed=len(signed))

    def _tell(self, message: Any) -> Any:
        """What the client hears goes into its hearing; what it says comes back."""
        self._hearing.heard.append(self._setting.family.codec.encode(message))
        said, data = answer(self._client, message, self._setting)
        self._hearing.bytes_up += len(data)
        return said

    def _entries(self, own: AdvertiseKeys) -> Mapping[PartyId, AdvertiseKeys]:
        """Of all of U1, in order: each party's two keys, signed where the variant signs."""
        entries = {ME: own}
        for one, secret in self._channels.items():
            pair = secret.public.raw, AgreementSecret.generate(self._rand).public.raw
            signature = bindings.sign_keys(self._keys[one], self._params.digest, one, *pair) if self._active else b""
            entries[one] = AdvertiseKeys(one, *pair, signature)
        return entries

    def _deliver(self, session: bytes, own: AdvertiseKeys, owners: PartySet) -> bytes:
        """Bundles of all owners. Returns D2 with everybody in U2."""
        shared = bindings.shared_digest(session, self._u1)
        bundles: dict[PartyId, bytes] = {}
        for owner in sorted(owners):
            both = b"".join(pack_share(M31.uniform(shamir.LIMBS, self._rand)) for _ in range(2))
            channel = bindings.channel(session, owner, self._channels[owner], own)
            bundles |= {owner: seal_bundles({ME: both}, {ME: channel}, session, owner)[ME]}
        self._tell(DeliverShares(self._u1, bundles, self._signed(bindings.sign_u2, shared)))
        return shared

    def _finish(self, shared: bytes, survivors: Any, *, holders: PartySet, peers: PartySet, signed: int) -> None:
        self._tell(survivors)
        self._hearing.peers = len(peers)
        if self._active:
            confirming = sorted(holders & self._u3)[: self._quorum]
            confirmed = {one: bindings.sign_confirmation(self._keys[one], shared, self._u3) for one in confirming}
            self._hearing.checks = len(peers) + signed + len(confirmed)
            self._tell(UnmaskRequest(confirmed))
        spec = self._params.spec
        vector = spec.field.pack(spec.field.zeros(spec.length))
        self._tell(Result(self._u3, self._signed(bindings.sign_result, shared, self._u3, vector), vector))

    def _signed(self, sign: Callable[..., bytes], *body: Any) -> bytes:
        return sign(self._keys[SERVER], *body) if self._active else b""
