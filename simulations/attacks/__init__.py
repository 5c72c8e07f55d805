"""What those who lie can do to the real machines: searched for, played, and shown.

A search: what a coordinator that lies can learn.

`cast` seats the parties of one seeded session, `lying` plays the coordinator, `views` writes down what a client gives
away for each thing that it can be shown, `search` combines the clients' views, `attack` computes the sum from the
bytes, and `playing` holds it all together for one (n, c, t).

A gallery (`veilsum attack`): attacks that win against a textbook engine and lose against the machines that ship.
`naive` are those engines, `scripted` seats whoever lies beside honest machines, `coordinator` is one that lies by
script, `holdings` what it has then, `verdicts` decides how it ended. `gallery` holds the attacks, one a module, and
`unstopped` what no check stops.
"""
