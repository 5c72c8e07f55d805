"""The shipping state machines in virtual time: what losses do to a protocol, its bytes, its seconds and a training.

The manual of the simulator.

Operations. A scenario (`scenario.Scenario`) is a value: it prints as TOML and comes back. `simulate(scenario)` runs its
rounds, each of which is one session of the protocol's own machines, made by the protocol's `Family` as every other
driver makes them. Each message is encoded and decoded by the protocol's own codec. `sweep` runs a grid of scenarios,
`report` draws what came of them, `training` puts a federated training on top.

Time. An event happens at a virtual second, events of one second in the order in which they were made. A message waits
for its sender's link, travels, waits for its recipient's link, and is handled when the recipient has handled what came
before. Computing takes what the work that was counted (`mpc.work`) costs at the scenario's rates (`rates.toml`) on a
device so fast. What many parties are shown alike is decoded once, and a signature that was found good is not checked
again in the same session: values are frozen, both are functions, and the work is counted as if each had done it. A
round is over when the shipping deadlines (`protocols.deadlines`) say so.

Failures, drawn from the scenario's seed or named in it: a party vanishes before its message of a stage leaves; a
message is lost, late, sent twice or overtaken; a link or a device is slow; a region goes dark; a victim's neighbours
are taken away. The others see that a party vanished, or (`noticed = false`) only that nothing comes.

Not failures. A message changed on its way, or sent in another's name: links are authenticated, and the attack tests
speak of those who lie. A crash that is survived: the conformance tests take machines up from their snapshots. A party
that is slow but inside the deadline. What is sent to a party that was dropped, or by it: that is ignored.

Not simulated: what TLS and TCP add, the upload's grant (one more exchange before a vector leaves, two at a time; here
they queue at the server's link), the second of quiet after which peers without a server go on, the model on its way to
the parties, and time lost to disks.

Sources of nondeterminism: none. A run is a function of scenario and seed, to the byte. Machines draw from
`SeededRandomness`, everything else from generators that are seeded by purpose and round, so that one more fault moves
no other. `--measure` adds seconds of this machine's clock, and nothing else depends on them.
"""
