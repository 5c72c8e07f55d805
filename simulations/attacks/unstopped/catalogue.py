"""All demonstrations, in the order in which they are shown."""

from typing import Final

from simulations.attacks.unstopped import (
    differencing_across_models,
    membership,
    poisoned_input,
    rolled_back_disk,
    seized_party,
    sum_of_three,
    wrong_sum,
)
from simulations.attacks.unstopped.demonstration import Demonstration

DEMONSTRATIONS: Final[tuple[Demonstration, ...]] = (
    poisoned_input.DEMONSTRATION,
    sum_of_three.DEMONSTRATION,
    membership.DEMONSTRATION,
    differencing_across_models.DEMONSTRATION,
    wrong_sum.DEMONSTRATION,
    seized_party.DEMONSTRATION,
    rolled_back_disk.DEMONSTRATION,
)
