"""Textbook engines without the checks. DELIBERATELY INSECURE: they exist to lose.

Each does what its paper's semi-honest protocol says, and gives the exact sum when everybody follows it. None of them
signs, counts, remembers or compares anything: whoever asks is answered. The gallery attacks them first, so that an
attack which real machines refuse is known to be one. Nothing outside `simulations/attacks` imports them
(`tests/test_imports.py`), and no message of theirs is a message of the real protocols.

`secagg` is Bonawitz et al. (CCS 2017), figure 4 without its underlined parts; `static` keeps its keys over many
rounds; `sparse` has a server that draws the graph (Bell et al., CCS 2020); `coded` is LightSecAgg (MLSys 2022);
`additive` is sharing between peers; `committee` is packed sharing among aggregators (Franklin and Yung, STOC 1992).
"""
