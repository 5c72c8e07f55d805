"""What pyproject.toml has no stable words for: the loops of `mpc` are compiled where there is a compiler."""

from setuptools import Extension, setup

LOOPS = Extension(
    "mpc.native.loops",  # no module of Python's: a folder of its own keeps it from those who look for modules
    ["mpc/native/loops.c"],
    depends=["mpc/native/put.h"],
    # vectors as far as that leaves every result as it is: no fused operations, no errno, no exceptions of floats
    extra_compile_args=["-O3", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"],
    libraries=["m"],
    optional=True,  # without it the install goes on, and numpy does the same
)
setup(ext_modules=[LOOPS])
