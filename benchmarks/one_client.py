"""One client's work in a session of n, without the n - 1 others: `client_session` plays the server to one real client.

    python -m benchmarks.one_client

The others exist as keys, and as what they would have signed and sealed for this client; what they do among themselves
is left out. One in twenty colludes and one in twenty is lost before its input leaves.
"""

import time
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import Any

from mpc.field import M31, PrimeField
from mpc.hashing import digest
from mpc.keys import AgreementSecret, SigningKey
from mpc.merkle import MerkleTree
from mpc.prg import Seed
from mpc.randomness import SeededRandomness
from mpc.shamir import LIMBS
from protocols import messages
from protocols.errors import SERVER, PartyId
from protocols.messages import AdvertiseKeys, DeliverShares, Invitation, Result, UnmaskRequest
from protocols.secagg import Client, bindings
from protocols.secagg.dealing import seal_bundles
from protocols.secagg.shares import pack_share
from protocols.secagg_plus import Client as SparseClient
from protocols.secagg_plus import bindings as sparse
from protocols.secagg_plus.degrees import graph_for
from protocols.secagg_plus.drawing import draw_holders
from protocols.secagg_plus.messages import Neighbours, Opened, Roster, Survivors
from protocols.session import NO_RECORD, TEST_WIRE, SessionParams, Subject, Terms, Variant, VectorSpec
from protocols.wire import PartySet

BITS = 26
ONE_IN = 20
SIZES = (100, 300, 1_000, 10_000)
LARGEST_COMPLETE = 1_000
ELEMENTS = 10_000
ME = PartyId(0)


class Step:
    """A message that the client has not heard yet: call it once, and time that."""

    def __init__(self, client: Client, message: Any) -> None:
        self._client, self._message = client, message
        self.said: Any = None

    def __call__(self) -> None:
        envelopes = self._client.receive(SERVER, self._message)
        self.said = envelopes[0].message if envelopes else None


def client_session(
    n: int, m: int, variant: Variant, protocol: str, *, seed: bytes = b"one client"
) -> Iterator[tuple[str, Step]]:
    """Party 0's session, step by step, of "secagg" or "secagg+": the name of the round, and the step to be called.

    Each step is called before the next one is asked for; all that the server needs is made in between. m: elements of
    26 bits.
    """
    play = _Play(n, m, variant, protocol, SeededRandomness(seed))
    return play.sparse() if protocol == "secagg+" else play.complete()


class _Play:
    def __init__(self, n: int, m: int, variant: Variant, protocol: str, rand: SeededRandomness) -> None:
        self._rand, self._active = rand, variant is Variant.ACTIVE
        self._keys = {PartyId(one): SigningKey.generate(rand) for one in range(-1, n)}
        members = {one: key.verify_key for one, key in self._keys.items() if one != SERVER}
        nothing, planned = digest("one client"), n // ONE_IN
        subject = Subject(nothing, 1, self._keys[SERVER].verify_key.raw, nothing, nothing, NO_RECORD)
        spec = VectorSpec(m, PrimeField.with_bits(BITS))
        self._params = SessionParams(
            subject, spec, rand.bytes(32), planned, variant=variant, protocol=protocol, wire=TEST_WIRE, losses=planned
        )
        terms = Terms(subject, members, spec, planned, variant=variant, protocol=protocol)
        kind = SparseClient if protocol == "secagg+" else Client
        self._client = kind(ME, identity=self._keys[ME], terms=terms, rand=rand)
        self._client.set_input(spec.field.uniform(m, rand))
        self._u1: PartySet = frozenset(members)
        self._u3 = frozenset(PartyId(one) for one in range(n - planned))
        self._channels = {one: AgreementSecret.generate(rand) for one in sorted(self._u1 - {ME})}

    def complete(self) -> Iterator[tuple[str, Step]]:
        own = yield from self._ask("advertise", Invitation(self._params))
        entries = tuple(self._entries(own).values())
        session = bindings.session_digest(self._params, entries)
        roster = messages.Roster(entries, self._signed(bindings.sign_roster, session))
        yield from self._ask("share", roster)
        others = self._u1 - {ME}
        shared = yield from self._deliver(session, own, others)
        survivors = messages.Survivors(self._u3, self._signed(bindings.sign_survivors, shared, self._u3))
        yield from self._finish(shared, survivors, others)

    def sparse(self) -> Iterator[tuple[str, Step]]:
        own = yield from self._ask("advertise", Invitation(self._params))
        entries = self._entries(own)
        tree = MerkleTree([sparse.entry_leaf(entry) for entry in entries.values()])
        session = sparse.session_digest(self._params, self._u1, tree.root)
        roster = Roster(self._u1, tree.root, self._signed(sparse.sign_roster, session))
        chosen = yield from self._ask("choose-holders", roster)
        degree = graph_for(self._params, len(self._u1)).degree
        drew_me = draw_holders(Seed(self._rand.bytes(32)), session, self._u1 - {ME}, degree)  # as many as chance gives
        holders = frozenset(chosen.holders if self._active else drew_me)
        peers = holders | frozenset(drew_me)
        opened = tuple(Opened(entries[one], tree.path(one)) for one in sorted(peers | {ME}))
        yield from self._ask("share", Neighbours(drew_me, opened))
        shared = yield from self._deliver(session, own, frozenset(drew_me))
        signed = {
            one: sparse.signed_input(b"y", sparse.sign_input(self._keys[one], shared, b"y"))
            for one in sorted(peers & self._u3 if self._active else ())
        }
        survivors = Survivors(self._u3, self._signed(bindings.sign_survivors, shared, self._u3), signed)
        yield from self._finish(shared, survivors, holders)

    def _ask(self, name: str, message: Any) -> Generator[tuple[str, Step], None, Any]:
        step = Step(self._client, message)
        yield name, step
        return step.said

    def _entries(self, own: AdvertiseKeys) -> Mapping[PartyId, AdvertiseKeys]:
        """Of all of U1, in order: each party's two keys, signed where the variant signs."""
        entries = {ME: own}
        for one, secret in self._channels.items():
            pair = secret.public.raw, AgreementSecret.generate(self._rand).public.raw
            signature = bindings.sign_keys(self._keys[one], self._params.digest, one, *pair) if self._active else b""
            entries[one] = AdvertiseKeys(one, *pair, signature)
        return entries

    def _deliver(
        self, session: bytes, own: AdvertiseKeys, owners: PartySet
    ) -> Generator[tuple[str, Step], None, bytes]:
        """Bundles of all owners, and D2 with everybody in U2."""
        shared = bindings.shared_digest(session, self._u1)
        bundles: dict[PartyId, bytes] = {}
        for owner in sorted(owners):
            both = pack_share(M31.uniform(LIMBS, self._rand)) + pack_share(M31.uniform(LIMBS, self._rand))
            channel = bindings.channel(session, owner, self._channels[owner], own)
            bundles |= {owner: seal_bundles({ME: both}, {ME: channel}, session, owner)[ME]}
        yield from self._ask("masked-input", DeliverShares(self._u1, bundles, self._signed(bindings.sign_u2, shared)))
        return shared

    def _finish(self, shared: bytes, survivors: Any, signers: PartySet) -> Iterator[tuple[str, Step]]:
        yield from self._ask("confirm" if self._active else "unmask", survivors)
        if self._active:
            confirmed = {
                one: bindings.sign_confirmation(self._keys[one], shared, self._u3) for one in sorted(signers & self._u3)
            }
            yield from self._ask("unmask", UnmaskRequest(confirmed))
        vector = bytes(-(-self._params.spec.length * BITS // 8))
        signature = self._signed(bindings.sign_result, shared, self._u3, vector)
        yield from self._ask("result", Result(self._u3, signature, vector))

    def _signed(self, sign: Callable[..., bytes], *body: Any) -> bytes:
        return sign(self._keys[SERVER], *body) if self._active else b""


def main() -> None:
    for protocol in ("secagg", "secagg+"):
        for n in SIZES:
            if protocol == "secagg+" or n <= LARGEST_COMPLETE:
                took = measure(n, ELEMENTS, Variant.ACTIVE, protocol)
                rounds = ", ".join(f"{name} {seconds * 1e3:.0f}" for name, seconds in took.items())
                print(f"{protocol} n = {n:,}: {sum(took.values()) * 1e3:.0f} ms ({rounds})")  # noqa: T201


def measure(n: int, m: int, variant: Variant, protocol: str) -> dict[str, float]:
    """Round -> seconds of processor time of one client."""
    took = {}
    for name, step in client_session(n, m, variant, protocol):
        start = time.process_time()
        step()
        took[name] = time.process_time() - start
    return took


if __name__ == "__main__":
    main()
