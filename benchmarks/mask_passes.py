"""Where the time of a mask goes: each pass over its keystream by itself, and what each mask costs whatever its length.

    python -m benchmarks.mask_passes

The last line is JSON: nanoseconds a byte of each pass over 400 kB, the fastest of many runs; microseconds of what is
done once a mask; and what two threads bring.
"""

import json
from functools import partial

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext
from cryptography.hazmat.primitives.ciphers.algorithms import AES128
from cryptography.hazmat.primitives.ciphers.modes import CTR, ECB

from mpc import loops
from mpc.field import PrimeField
from mpc.hashing import expand_key
from veilsum.bench.masks import measure_threads
from veilsum.bench.measuring import Scale, Work, by_turns, rounded

SIZE = 400_000
RUNS = 200
ONCE = 100


def main() -> None:
    field = PrimeField.with_bits(26)
    words, total = np.ones((2, SIZE // 4), dtype=np.uint32)
    source, out = bytes(SIZE), np.empty(SIZE + 16, dtype=np.uint8)
    by_counter, by_block = Cipher(AES128(bytes(16)), CTR(bytes(16))).encryptor(), cipher()
    passes: dict[str, Work] = {
        "AES-128-CTR": lambda: by_counter.update_into(source, out),
        "AES-128 of counters": lambda: by_block.update_into(source, out),
        "cut to 26 bits": lambda: np.bitwise_and(words, field.mask, out=words),
        "look for words above p": lambda: np.maximum.reduce(words),
        "add": lambda: np.add(total, words, out=total),
    }
    if loops.available:
        third = len(words) // 3  # three rows of so many words, as they are added
        looped = loops.Total(field.zeros(third), words, mask=int(field.mask), modulus=field.modulus)
        stretch = looped.stretch(slice(0, third), 3, apart=third, lead=0)
        passes["cut, look and add in the compiled loop"] = partial(stretch.put, 3, minus=False)
    once: dict[str, Work] = {
        "derive the key": lambda: [expand_key(bytes(32), bytes(60), 16) for _ in range(ONCE)],
        "set up the cipher": lambda: [cipher() for _ in range(ONCE)],
    }
    found = {
        "ns_a_byte": {name: rounded(1e9 * best / SIZE) for name, best in _best(passes).items()},
        "us_a_mask": {name: rounded(1e6 * best / ONCE) for name, best in _best(once).items()},
        "threads": measure_threads(Scale(quick=False)),
    }
    print(json.dumps(found))  # noqa: T201


def cipher() -> CipherContext:
    """AES block by block, as a mask's is."""
    return Cipher(AES128(bytes(16)), ECB()).encryptor()


def _best(works: dict[str, Work]) -> dict[str, float]:
    taken = by_turns([partial(work) for work in works.values()], RUNS)
    return {name: min(one) for name, one in zip(works, taken, strict=True)}


if __name__ == "__main__":
    main()
