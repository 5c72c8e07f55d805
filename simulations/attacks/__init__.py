"""What a coordinator that lies can learn, searched for on the real machines.

`cast` seats the parties of one seeded session, `lying` plays the coordinator, `views` writes down what a client gives
away for each thing that it can be shown, `search` combines the clients' views, `attack` computes the sum from the
bytes, and `playing` holds it all together for one (n, c, t).
"""
