"""The attacks, one a module. Each is run twice on the same updates: against a textbook engine, where it has to win, and
against the machines that ship, where it has to lose; and each says by what.

An attacker does the same in both, as strongly as it can: against the real machines it signs whatever it has the keys
for (the coordinator's and its colluders'), and tries what else would help it. A module's first lines say what it
does, who described it, and what it breaks. `catalogue.ATTACKS` are all of them; the one on certificates needs the
network's code and is added by the command (`veilsum/attack_on_tls.py`).
"""
