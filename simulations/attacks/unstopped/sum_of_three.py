"""What a sum of three says to two of them.

Three banks, an honest coordinator, an exact sum: the smallest that there can be, a sum of two is refused. Two of the
banks put their own inputs beside it, and the third's is what is left. With one bank against a coordinator that helps
it is the same for two honest ones: each learns the other's. Masks hide an input among others, and here there are no
others.
"""

from typing import Final

from simulations.attacks.gallery.running import left_of, summed
from simulations.attacks.scene import Scene
from simulations.attacks.unstopped.demonstration import Demonstration, Seen


def show(seed: bytes) -> Seen:
    scene = Scene(seed, clients=3)
    room = scene.cast()
    total = summed(scene, room).total
    if total is None:
        return Seen(False, "there is no sum")
    guess = scene.guess_from_field(left_of(scene, room, total))
    return Seen(guess.exact, f"the third bank's update: {guess}", guess=guess)


DEMONSTRATION: Final = Demonstration(
    "sum-of-three",
    "two of three parties take their own inputs off the sum",
    "folklore; Bonawitz et al., CCS 2017 (what the output says)",
    "more parties; a larger Terms.cohort; noise (differential privacy)",
    __doc__,
    show,
)
