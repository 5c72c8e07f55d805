"""The protocols in virtual time, without a network."""
