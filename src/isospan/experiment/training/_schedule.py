"""The learning rate over a run."""

import math

WARM_UP_STEPS = 10
LAST_RATE = 0.01


def learning_rate(step: int, total: int, *, lr: float) -> float:
    r"""Learning rate of a step from 1 to ``total``: a linear warm-up of ten steps times a cosine down to 0.01 ``lr``.

    Example:
        >>> [round(learning_rate(step, 1000, lr=1.0), 3) for step in (1, 10, 500, 1000)]
        [0.1, 1.0, 0.505, 0.01]
    """
    cosine = 0.5 * (1 + math.cos(math.pi * step / total))
    return lr * min(1.0, step / WARM_UP_STEPS) * (LAST_RATE + (1 - LAST_RATE) * cosine)
