"""Flower's PyTorch quickstart on scikit-learn's digits."""
