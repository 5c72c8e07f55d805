"""PyTorch modules in a federated loop: see docs/pytorch.md. Needs torch: pip install 'veilsum[torch]'."""

from fl_integration.torch_client import TorchClient
from fl_integration.torch_models import Descent, load_arrays, to_arrays

__all__ = ["Descent", "TorchClient", "load_arrays", "to_arrays"]
