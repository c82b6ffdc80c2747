"""The constant of the cost model by which kernels are chosen, fitted to ``python -m benchmarks.kernels``.

Costs are numbers of multiplications. A dense product of an (n_out, n_in) matrix costs n_out n_in for each vector; any
other kernel costs its multiplications, and ``MOVE`` for each number of the input and of the output.
"""

MOVE = 250
"""Multiplications in the time in which a number is moved to another basis and back, forward and in the gradients.

One thread of a CPU, float32: from 256 to 1,024 features and 1 to 9 kernel positions, single cases ask for 110 to 260.
It is near the highest, so that no kernel is chosen where it is slower.
"""

MOVE_IN_CHAIN = 100
"""The same in a chain of layers, between which samples stay the last axis. Networks of C4, D6 and the icosahedral group
are as fast as with dense weights at 320 hidden features, which asks for 90 to 130.
"""
