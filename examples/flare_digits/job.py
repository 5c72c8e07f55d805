"""Federated training on handwritten digits with NVIDIA FLARE; the server sees only sums.

pip install 'veilsum[flare,torch]'
veilsum trial veil --nodes 5 --losses 1 --rows-per-unit 10 --metric accuracy=0:1
python job.py
"""

import argparse

from model import Digits
from nvflare.app_opt.pt.recipes.fedavg import FedAvgRecipe
from nvflare.recipe import SimEnv

from veilsum.flare import secure


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sites", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workspace", default="workspace")
    given = parser.parse_args()

    recipe = FedAvgRecipe(
        name="digits",
        min_clients=given.sites - 1,
        num_rounds=given.rounds,
        model=Digits(),
        train_script="client.py",
        train_args=f"--sites {given.sites}",
    )
    secure(recipe, "veil")
    run = recipe.execute(SimEnv(num_clients=given.sites, workspace_root=given.workspace))
    print("The model is in", run.get_result())


if __name__ == "__main__":
    main()
