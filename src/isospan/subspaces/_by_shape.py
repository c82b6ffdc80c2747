"""One call for all quantities of the same shape."""

from collections import defaultdict
from collections.abc import Callable, Mapping

import torch
from torch import Tensor


def by_shape(function: Callable[..., Tensor], *operands: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The function of every quantity's operands; it is called once for all that have the same shapes.

    Args:
        function: takes a stack (n, ...) of each operand, and returns the n results stacked.
        operands: matrices of every quantity, by name.

    Example:
        >>> x = {"a": torch.eye(2), "b": torch.ones(1, 2), "c": torch.ones(2, 2)}
        >>> by_shape(lambda stack: stack.sum((1, 2)), x)
        {'a': tensor(2.), 'b': tensor(2.), 'c': tensor(4.)}
    """
    alike: dict[tuple[torch.Size, ...], list[str]] = defaultdict(list)
    for name in operands[0]:
        alike[tuple(operand[name].shape for operand in operands)].append(name)
    results: dict[str, Tensor] = {}
    for names in alike.values():
        stacks = (torch.stack([operand[name] for name in names]) for operand in operands)
        results.update(zip(names, function(*stacks).unbind(), strict=True))
    return {name: results[name] for name in operands[0]}
