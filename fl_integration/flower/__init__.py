"""Inside Flower (Message API): any FedAvg-like strategy becomes a secure one, with one line on each side."""
