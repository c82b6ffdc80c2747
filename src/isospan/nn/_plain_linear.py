"""Plain linear layers of given weights."""

import torch
from torch import Tensor


@torch.no_grad()
def plain_linear(weight: Tensor, bias: Tensor | None) -> torch.nn.Linear:
    """A torch.nn.Linear with copies of a weight (n_out, n_in) and a bias (n_out,).

    Example:
        >>> plain_linear(torch.tensor([[1.0, 2.0]]), None)(torch.ones(2))
        tensor([3.], grad_fn=...)
    """
    plain = torch.nn.Linear(*weight.shape[::-1], bias=bias is not None, device="meta", dtype=weight.dtype)
    plain.to_empty(device=weight.device)
    plain.load_state_dict({"weight": weight} if bias is None else {"weight": weight, "bias": bias})
    return plain
