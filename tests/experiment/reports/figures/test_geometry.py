"""Angles, shares and the spectrum."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from isospan.experiment.reports.figures import isotropy_spectrum, principal_angles, variance_shares


def test_every_angle_of_every_pair_is_a_point_and_the_least_is_written(evaluation):
    result = evaluation(3)
    ax = principal_angles(result).axes[0]
    drawn = [np.concatenate([line.get_xdata() for line in ax.get_lines()[2 * row : 2 * row + 2]]) for row in range(3)]
    for points, angles in zip(drawn, result.angles.values(), strict=True):
        np.testing.assert_allclose(np.sort(points), np.sort(angles.numpy()))
    assert [text.get_text() for text in ax.texts][:3] == [f"{float(a.min()):.0f}°" for a in result.angles.values()]


def test_shares_are_drawn_with_what_equal_directions_would_have(evaluation):
    result = evaluation(2)
    expected = {result.names[0]: 0.3, "free": 0.5}
    ax = variance_shares(result, expected).axes[0]
    np.testing.assert_allclose([patch.get_width() for patch in ax.patches], list(result.variance_share.values()))
    marks = [collection.get_segments()[0][0] for collection in ax.collections]
    np.testing.assert_allclose(marks, [[0.3, -0.36], [0.5, 2 - 0.36]])


def test_the_spectrum_is_relative_to_its_mean(evaluation):
    result = replace(evaluation(2), spectrum=torch.tensor([3.0, 2.0, 1.0, 0.0]))
    line = isotropy_spectrum(result).axes[0].get_lines()[0]
    # The mean is 1.5; a zero has no place on a logarithmic axis.
    np.testing.assert_allclose(line.get_xydata(), [[1, 2], [2, 4 / 3], [3, 2 / 3]])


def test_axes_of_almost_no_variance_do_not_extend_the_scale(evaluation):
    spectrum = torch.tensor([1.0, 1.0, 1e-9])
    ax = isotropy_spectrum(replace(evaluation(2), spectrum=spectrum)).axes[0]
    assert ax.get_ylim()[0] == 1e-3


@pytest.mark.parametrize("spectrum", [torch.zeros(0), torch.zeros(4)])
def test_a_latent_without_a_free_part_gets_a_sentence(evaluation, spectrum):
    figure = isotropy_spectrum(replace(evaluation(2), spectrum=spectrum))
    assert "no free part" in figure.axes[0].texts[0].get_text()


@pytest.mark.parametrize("count", [1, 3, 8])
@pytest.mark.parametrize("draw", [principal_angles, variance_shares, isotropy_spectrum])
def test_any_number_of_quantities_with_unknown_values(evaluation, draw, count):
    draw(evaluation(count, spoilt=True)).draw_without_rendering()


def test_both_spectra_are_named(evaluation):
    legend = isotropy_spectrum(evaluation(2), evaluation(2, seed=1)).axes[0].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["guided", "unguided"]
