"""Evaluation of edits against naive loops, on decoders whose edits are known."""

import pytest
import torch

from isospan.errors import NameMismatchError, NotSolvedError, ShapeError
from isospan.evaluation import evaluate_edits
from isospan.evaluation._edits import fidelity
from isospan.subspaces import LatentSpace, solve_subspaces

pytestmark = pytest.mark.filterwarnings("ignore:.* steps are longer than:isospan.errors.NumericalWarning")
N, D = 60, 5
Z = torch.randn(N, D, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
MIX = torch.randn(D, D, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
QUANTITIES = {
    "a": lambda x: x[:, :2] + 0.5 * x[:, :2] ** 2,
    "b": lambda x: x[:, 2:3] + 0.3 * x[:, :1],
    "c": lambda x: x[:, 3].sin(),
}


def decoder(z):
    return z @ MIX.to(z) / 2


Y = {name: function(decoder(Z)) for name, function in QUANTITIES.items()}
SPACE = solve_subspaces(Z, Y, k={"a": 2, "b": 1, "c": 1})
SETTINGS = {"steps": 20}


@pytest.fixture(scope="module")
def evaluation():
    return evaluate_edits(SPACE, decoder, QUANTITIES, Z, Y, **SETTINGS)


@pytest.mark.filterwarnings("ignore::isospan.errors.NumericalWarning")
def test_scores_are_those_of_a_naive_loop(evaluation):
    """Sample i takes the value of sample i + N/2; lengths are those of an explicit inverse covariance."""
    inverse = torch.linalg.inv(SPACE.cov_zz)
    order = [(i + N // 2) % N for i in range(N)]
    before = Y
    for i, name in enumerate(evaluation.names):
        target = Y[name][order]
        asked = target - before[name]
        for how, more in (("linear", {}), ("decoded", {"decoder": decoder, "quantities": QUANTITIES, **SETTINGS})):
            edited = SPACE.edit(Z, {name: target}, **more)
            after = {other: function(decoder(edited)) for other, function in QUANTITIES.items()}
            shown = after[name] - before[name]
            scores = {key: getattr(evaluation, f"{how}_{key}")[name] for key in ("share", "r2", "step")}
            assert scores["share"] == pytest.approx(float((shown * asked).sum() / (asked**2).sum()), abs=1e-9)
            assert scores["r2"] == pytest.approx(float(1 - ((shown - asked) ** 2).sum() / (asked**2).sum()), abs=1e-9)
            squared = torch.stack([d @ inverse @ d for d in edited - Z]).mean() / (2 * D)
            assert scores["step"] == pytest.approx(float(squared.sqrt()), rel=1e-6)
            for j, other in enumerate(evaluation.names):
                effect = getattr(evaluation, f"{how}_side_effects")[i, j]
                if i == j:
                    assert effect.isnan()
                    continue
                change = (after[other] - before[other]) / SPACE.y_scale[other]
                assert float(effect) == pytest.approx(float((change**2).mean().sqrt()), rel=1e-6)


def test_specificity_compares_steps_of_equal_length(evaluation):
    inverse = torch.linalg.inv(SPACE.cov_zz)
    order = torch.arange(N).roll(-(N // 2))
    step = {name: SPACE.edit(Z, {name: Y[name][order]}) - Z for name in evaluation.names}
    length = {name: ((d @ inverse) * d).sum(1, keepdim=True).sqrt() for name, d in step.items()}
    own = QUANTITIES["a"](decoder(Z + step["a"])) - Y["a"]
    other = QUANTITIES["a"](decoder(Z + step["b"] / length["b"] * length["a"])) - Y["a"]
    expected = float((own**2).mean().sqrt() / (other**2).mean().sqrt())
    assert float(evaluation.specificity[0, 1]) == pytest.approx(expected, rel=1e-6)
    assert evaluation.specificity.diagonal().isnan().all()
    assert float(evaluation.specificity.nan_to_num(9).min()) > 1


def test_the_edit_through_the_decoder_shows_more_of_the_change(evaluation):
    assert all(evaluation.decoded_r2[name] > evaluation.linear_r2[name] - 1e-3 for name in evaluation.names)
    assert min(evaluation.decoded_r2.values()) > 0.8
    assert max(evaluation.decoded_step.values()) < 1


def test_a_generator_gives_every_sample_the_value_of_another():
    """A quantity that is constant but for the sample, so that a target that is the own value has no change."""
    results = [
        evaluate_edits(
            SPACE, decoder, QUANTITIES, Z, {"b": Y["b"]}, steps=3, generator=torch.Generator().manual_seed(s)
        )
        for s in (0, 0, 1)
    ]
    assert results[0].linear_r2 == results[1].linear_r2
    assert results[0].linear_r2 != results[2].linear_r2
    assert results[0].names == ("b",)
    assert repr(results[0].plot()).startswith("<Figure")


def test_numbers_tables_and_figures(evaluation):
    pytest.importorskip("pandas")
    stored = evaluation.to_dict()
    assert stored["names"] == ["a", "b", "c"]
    assert stored["decoded_side_effects"][0][1] == float(evaluation.decoded_side_effects[0, 1])
    frame = evaluation.to_frame()
    assert frame.loc["a", "decoded_r2"] == evaluation.decoded_r2["a"]
    assert frame.loc["a", "side_effect"] == float(evaluation.decoded_side_effects[0].nan_to_num(-1).max())
    assert frame.loc["a", "specificity"] == float(evaluation.specificity[0].nan_to_num(9).min())
    assert len(repr(evaluation).splitlines()) == 5
    assert len(evaluation.plot().axes) == 3


def test_progress_is_that_of_all_quantities():
    reports = []
    evaluate_edits(SPACE, decoder, QUANTITIES, Z, Y, steps=4, batch_size=40, progress=lambda *r: reports.append(r))
    assert reports[-1] == (18, 18)
    assert [done for done, _ in reports] == sorted({done for done, _ in reports})


def test_samples_that_are_not_finite_are_left_out():
    asked = torch.tensor([[1.0], [2.0], [3.0]])
    assert fidelity(asked, torch.tensor([[0.5], [torch.nan], [1.5]])) == (0.5, 0.75)


def test_steps_without_an_effect():
    axes = LatentSpace(
        W={name: torch.eye(3)[i : i + 1].double() for i, name in enumerate("ab")},
        A={name: torch.ones(1, 1).double() for name in "ab"},
        z_mean=torch.zeros(3).double(),
        y_mean={name: torch.zeros(1).double() for name in "ab"},
        y_scale={name: torch.tensor(1.0).double() for name in "ab"},
        shapes={name: () for name in "ab"},
        cov_zz=torch.eye(3).double(),
    )
    z, quantities = Z[:, :3], {"a": lambda x: x[:, 0], "b": lambda x: x[:, 1]}
    y = {name: function(z) for name, function in quantities.items()}
    specificity = evaluate_edits(axes, lambda z: z, quantities, z, y).specificity
    assert specificity[0, 1] == specificity[1, 0] == float("inf")
    ignored = evaluate_edits(axes, lambda z: 0 * z, quantities, z, y)
    assert ignored.specificity.isnan().all()
    assert set(ignored.linear_share.values()) == {0.0}


def test_what_cannot_be_evaluated():
    with pytest.raises(NameMismatchError, match=r"\['d'\] too"):
        evaluate_edits(SPACE, decoder, QUANTITIES, Z, Y | {"d": Y["a"]})
    with pytest.raises(ShapeError, match="P = 2 entries"):
        evaluate_edits(SPACE, decoder, QUANTITIES, Z, {"a": Y["a"][:, :1]})
    with pytest.raises(NameMismatchError, match=r"The decoded output must name .*missing \['c'\]"):
        evaluate_edits(SPACE, decoder, {n: QUANTITIES[n] for n in "ab"}, Z, Y)
    parts = {what: getattr(SPACE, what) for what in ("W", "A", "z_mean", "y_mean", "y_scale", "shapes")}
    with pytest.raises(NotSolvedError, match="covariance"):
        evaluate_edits(LatentSpace(**parts), decoder, QUANTITIES, Z, Y)


def test_class_labels_are_edited_to_the_classes_of_others():
    label = Z[:, :3].argmax(1)
    space = solve_subspaces(Z, {"label": label}, k=2)
    scores = {"label": lambda x: space.decode(x)["label"]}
    got, expected = (evaluate_edits(space, lambda z: z, scores, Z, {"label": y}) for y in (label, torch.eye(3)[label]))
    assert str(got.to_dict()) == str(expected.to_dict())
    assert got.linear_r2["label"] > 0.99
