"""Representations in random bases: homomorphisms, characters and decompositions, by counting in NumPy."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from isospan.errors import IsospanError
from isospan.representations import (
    HomBasis,
    Representation,
    change_of_basis,
    direct_sum,
    symmetric_square,
    tensor_product,
)

from .strategies import finite_groups, groups, near, normal, orthogonal, representations, seeds


@st.composite
def pairs(draw, groups=groups):
    group = draw(groups)
    return draw(representations(group, max_size=6)), draw(representations(group, max_size=6))


def elements(group, count=3):
    rng = np.random.default_rng(0)
    return [group.sample(generator=rng) for _ in range(count)]


def multiplicities(rep):
    return Counter(irrep.key for irrep in rep.irreps)


@given(pairs(), seeds)
def test_matrices_multiply_and_fall_into_irreps_in_any_basis(pair, seed):
    # products of orthogonal matrices of size 6 at most: 4e-15 was seen, and a wrong one is off by about 1
    rep, _ = pair
    Q = orthogonal(seed, rep.size).numpy()
    transformed = change_of_basis(rep, Q)
    g, h, _ = elements(rep.group)
    near(transformed(g) @ transformed(h), transformed(g * h), 1e-10, unit=1.0)
    near(transformed(g), Q @ rep(g) @ Q.T, 1e-10, unit=1.0)
    near(transformed(~g), transformed(g).T, 1e-10, unit=1.0)
    assert multiplicities(transformed) == multiplicities(rep)
    B, start, blocks = transformed.change_of_basis, 0, np.zeros_like(Q)
    for irrep in transformed.irreps:
        blocks[start : start + irrep.size, start : start + irrep.size] = irrep(g)
        start += irrep.size
    near(B @ blocks @ B.T, transformed(g), 1e-9, unit=1.0)


@given(pairs())
def test_characters_of_sums_and_products(pair):
    # traces of 36 numbers at most: 8e-15 was seen, and a wrong one is off by about 1
    for g in elements(pair[0].group):
        a, b = (rep.character(g) for rep in pair)
        near([direct_sum(pair).character(g), tensor_product(*pair).character(g)], [a + b, a * b], 1e-9, unit=10.0)
        near(symmetric_square(pair[0]).character(g), (a**2 + pair[0].character(g * g)) / 2, 1e-9, unit=10.0)
        near((3 * pair[0]).character(g), 3 * a, 1e-9, unit=10.0)


@given(pairs(finite_groups), seeds)
def test_equivariant_maps_are_as_many_as_characters_say(pair, seed):
    # products of three matrices, whose entries are about 3 at most
    rep_in, rep_out = pair
    maps = HomBasis(rep_in, rep_out)
    inner = np.mean([rep_in.character(g) * rep_out.character(g) for g in rep_in.group.elements])
    assert maps.dimension == round(inner)
    if maps.dimension:
        M = maps.synthesize(normal(seed, maps.dimension))
        for g in rep_in.group.elements:
            near(rep_out(g) @ M.numpy(), M.numpy() @ rep_in(g), 1e-10, unit=3.0)
        near(maps.project(M), M, 1e-10, unit=3.0)


@given(pairs(finite_groups), st.sampled_from([0.0, 1e-16, 1e-15]), seeds)
def test_rounding_of_given_matrices_does_not_join_blocks(pair, rounding, seed):
    rep = direct_sum(pair)
    noisy = rep.generators + rounding * normal(seed, *rep.generators.shape).numpy()
    read = Representation(rep.group, list(noisy))
    assert multiplicities(read) == multiplicities(rep)
    sizes = [sorted(block.size for block in r.blocks for _ in range(block.multiplicity)) for r in (read, rep)]
    assert sizes[0] == sizes[1]


@given(pairs(finite_groups), seeds, st.sampled_from(["noise", "nan", "complex", "size", "missing", "text"]))
def test_what_is_no_representation_is_refused(pair, seed, kind):
    rep = pair[0]
    matrices = list(rep.generators)
    assume(matrices)
    first = {
        "noise": matrices[0] + 0.1 * normal(seed, rep.size, rep.size).numpy(),
        "nan": matrices[0] * np.nan,
        "complex": matrices[0] + 1j,
        "size": matrices[0][:, :-1],
        "text": "matrix",
    }
    matrices = matrices[:-1] if kind == "missing" else [first[kind], *matrices[1:]]
    with pytest.raises(IsospanError):
        Representation(rep.group, matrices)
