"""What the primitives count, and that they count for nobody else."""

import numpy as np

from mpc.field import M31
from mpc.keys import AgreementKey, AgreementSecret, SigningKey, agree_channel
from mpc.prg import Seed, accumulate, expand
from mpc.randomness import SeededRandomness
from mpc.sealing import open_sealed, seal
from mpc.work import Work, counted

RAND = SeededRandomness(b"work")


def test_every_primitive_is_counted_while_somebody_asks() -> None:
    mine, theirs, identity = AgreementSecret.generate(RAND), AgreementSecret.generate(RAND), SigningKey.generate(RAND)
    work = Work()
    with counted(work):
        key = agree_channel(mine, AgreementKey(theirs.public.raw), purpose="channel", context=())
        open_sealed(key, seal(key, b"four"))
        identity.verify_key.verify(identity.sign("label"), "label")
        total = expand(Seed(bytes(32)), "mask", M31, 0, 10)
        accumulate(total, M31, "mask", plus=[Seed(bytes(32))] * 2, minus=[Seed(bytes(32))])
        M31.matmul(np.ones((2, 3), dtype=M31.dtype), np.ones((3, 4), dtype=M31.dtype))
    assert (work.agreements, work.signatures, work.checks) == (2, 1, 1)
    assert (work.streams, work.stream_bytes) == (4, 160)
    assert (work.seals, work.sealed_bytes) == (2, 24)
    assert work.products == 24


def test_nothing_is_counted_outside_and_an_inner_count_is_its_own() -> None:
    outer, inner = Work(), Work()
    SigningKey.generate(RAND).sign("before")
    with counted(outer):
        with counted(inner):
            SigningKey.generate(RAND).sign("inside")
        SigningKey.generate(RAND).sign("beside")
    assert (outer.signatures, inner.signatures) == (1, 1)
