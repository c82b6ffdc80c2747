"""The moments of several processes, merged."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from isospan._core.processes import Ranks
from isospan.linalg import mirror_


def sum_over_ranks_(state: Mapping[str, Tensor], ranks: Ranks, *, also: Sequence[Tensor] = ()) -> None:
    r"""Replace the buffers of :class:`Moments` on every process, in place, by those of the data of all processes.

    .. math:: n = \sum_r n_r, \qquad m = \tfrac1n \sum_r n_r m_r, \qquad
              S = \sum_r \bigl( S_r + n_r (m_r - m)(m_r - m)^\top \bigr)

    The first message sums the counts and weighted means, the second the scatters about the common mean, so an offset in
    the data costs no digits. A process without samples takes part with n = 0.

    Args:
        state: count, means and scatters.
        ranks: the processes.
        also: further float64 tensors to sum, in the first message.
    """
    count, z_mean, y_mean = state["count"], state["z_mean"], state["target_mean"]
    n, own_z, own_y = count.clone(), z_mean.clone(), y_mean.clone()
    z_mean.mul_(n)
    y_mean.mul_(n)
    ranks.sum_([count, z_mean, y_mean, *also])
    if not float(count) > 0:
        return
    dz, dy = own_z - z_mean.div_(count), own_y - y_mean.div_(count)
    zz, zy, yy = (state[name] for name in ("scatter_zz", "scatter_zy", "scatter_yy"))
    zz.add_(n * dz.outer(dz))
    zy.add_(n * dz.outer(dy))
    yy.add_(n * (dy.outer(dy) if yy.dim() == 2 else dy.square()))
    ranks.sum_([zz, zy, yy])
    for square in (zz, yy) if yy.dim() == 2 else (zz,):
        mirror_(square)
