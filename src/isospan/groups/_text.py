"""How elements of finite groups are printed."""

import numpy as np


def element_text(value: np.ndarray | None) -> str:
    """Cycles for a permutation, a label as it is; nothing for what has no short text."""
    if value is None or not np.issubdtype(np.asarray(value).dtype, np.integer):
        return ""
    return cycles(value) if np.ndim(value) == 1 else str(value)


def cycles(row: np.ndarray) -> str:
    """A permutation as disjoint cycles, without the points that stay: ``"(0 1 2)(3 4)"``."""
    seen, text = set(), ""
    for start in range(len(row)):
        cycle, point = [], start
        while point not in seen:
            seen.add(point)
            cycle.append(str(point))
            point = int(row[point])
        text += f"({' '.join(cycle)})" if len(cycle) > 1 else ""
    return text
