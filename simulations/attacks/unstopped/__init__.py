"""What no check here stops, one a module: demonstrations on the real machines that succeed, and what would help.

They are the other side of the gallery, and of the threat model: what a party puts into its own input, what the sum
itself says, a seized party, a disk that is rolled back, and a coordinator's word for what the sum is.
`catalogue.DEMONSTRATIONS` are all of them.
"""
