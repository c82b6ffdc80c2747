"""The latent space as a bar."""

import pytest

from isospan.experiment.reports.figures import latent_layout


def test_parts_have_their_sizes_and_the_rest_is_free():
    ax = latent_layout({"a": (6, 12), "b": (None, 8)}, 30).axes[0]
    assert [(patch.get_x(), patch.get_width()) for patch in ax.patches] == [(0, 12), (12, 8), (20, 10)]
    assert [text.get_text() for text in ax.texts] == ["12", "8", "10"]


def test_overlapping_subspaces_reach_beyond_the_latent_dimension():
    ax = latent_layout({"a": (6, 12), "b": (6, 12)}, 20).axes[0]
    assert [patch.get_width() for patch in ax.patches] == [12, 12]
    assert ax.get_xlim()[1] > 24


def test_names_that_are_cut_alike_keep_a_part_each():
    long = "a name much longer than a legend can show, number "
    ax = latent_layout({long + "1": (2, 3), long + "2": (2, 4)}, 7).axes[0]
    assert [patch.get_width() for patch in ax.patches] == [3, 4]


@pytest.mark.parametrize("count", [1, 8, 12])
def test_any_number_of_quantities(count):
    latent_layout({f"$q{i}": (4, 1 + 20 * i) for i in range(count)}, 10 + 10 * count * count).draw_without_rendering()
