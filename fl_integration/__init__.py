"""Models, tables and tensors on the one side, vectors for secure aggregation on the other. No cryptography here.

Nothing is imported at this level: a program that aggregates numpy arrays loads neither pandas, scikit-learn nor torch.
"""
