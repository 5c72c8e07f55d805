"""Inside NVIDIA FLARE: each round of a FedAvg controller is one secure sum, each site's own training runs unchanged."""
