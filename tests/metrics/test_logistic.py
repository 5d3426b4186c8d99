"""The solver against scikit-learn, finite differences, and the laws of its objective."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from nearfield.core.types import Floats, Ints
from nearfield.metrics.probes import Link, Scaling, _Problem, fit


def _case(classes: int = 4, size: int = 6, count: int = 120) -> tuple[Floats, Ints]:
    chance = np.random.default_rng(0)
    labels = chance.integers(classes, size=count)
    centres = chance.standard_normal((classes, size)) * 0.8
    return centres[labels] + chance.standard_normal((count, size)), labels


@pytest.mark.parametrize("strength", [1e-3, 1.0, 100.0])
def test_classes_equal_scikit_learn(strength: float) -> None:
    features, labels = _case()
    ours = fit(features, np.eye(4)[labels], "softmax", strength, tolerance=1e-10)
    theirs = LogisticRegression(C=strength, tol=1e-10, max_iter=10_000).fit(features, labels)
    assert ours.converged
    np.testing.assert_allclose(ours.weights, theirs.coef_.T, atol=1e-4)
    np.testing.assert_allclose(ours.probabilities(features), theirs.predict_proba(features), atol=1e-5)


@pytest.mark.parametrize("balanced", [False, True])
def test_tags_equal_one_binary_regression_each(balanced: bool) -> None:
    features, labels = _case()
    tags = np.stack([labels == 0, labels > 1, np.arange(len(labels)) < 5], axis=1).astype(float)
    weights = None
    if balanced:
        share = tags.mean(axis=0)
        weights = np.where(tags > 0, 0.5 / share, 0.5 / (1 - share))
    ours = fit(features, tags, "sigmoid", 0.5, weights, tolerance=1e-10)
    for tag in range(3):
        theirs = LogisticRegression(
            C=0.5, tol=1e-10, max_iter=10_000, class_weight="balanced" if balanced else None
        ).fit(features, tags[:, tag])
        np.testing.assert_allclose(ours.weights[:, tag], theirs.coef_[0], atol=1e-5)
        np.testing.assert_allclose(
            ours.probabilities(features)[:, tag], theirs.predict_proba(features)[:, 1], atol=1e-6
        )


@pytest.mark.parametrize("link", ["softmax", "sigmoid"])
def test_gradient_and_curvature_are_those_of_the_value(link: Link) -> None:
    features, labels = _case(3, 4, 30)
    chance = np.random.default_rng(1)
    weights = chance.uniform(0.5, 2, (30, 1))
    problem = _Problem(features, np.eye(3)[labels], link, 0.7, weights)
    at, along = chance.standard_normal((2, 5, 3))
    step = 1e-5

    def value(parameters: Floats) -> float:
        return float(problem.value(parameters)[0].sum())

    def slope(parameters: Floats) -> Floats:
        return problem.gradient(parameters, problem.value(parameters)[1])

    ahead, behind = at + step * along, at - step * along
    assert np.vdot(slope(at), along) == pytest.approx((value(ahead) - value(behind)) / 2 / step, rel=1e-6)
    bent = problem.curvature(along, problem.value(at)[1])
    np.testing.assert_allclose(bent, (slope(ahead) - slope(behind)) / 2 / step, atol=1e-6)


def test_knowing_nothing_costs_the_logarithm_of_the_classes() -> None:
    features, labels = _case(classes=7)
    problem = _Problem(features, np.eye(7)[labels], "softmax", 1.0, None)
    assert problem.value(np.zeros((7, 7)))[0] == pytest.approx(np.log(7))
    # So weak a model can only learn the shares.
    shares = np.bincount(labels) / len(labels)
    weak = fit(features, np.eye(7)[labels], "softmax", 1e-9)
    assert weak.loss == pytest.approx(-(shares * np.log(shares)).sum(), abs=1e-6)
    np.testing.assert_allclose(weak.probabilities(features[:1])[0], shares, atol=1e-6)


def test_the_start_changes_the_way_and_not_the_end() -> None:
    features, labels = _case()
    cold = fit(features, np.eye(4)[labels], "softmax", 10.0, tolerance=1e-10)
    near = fit(features, np.eye(4)[labels], "softmax", 5.0)
    warm = fit(features, np.eye(4)[labels], "softmax", 10.0, start=near, tolerance=1e-10)
    np.testing.assert_allclose(warm.weights, cold.weights, atol=1e-5)
    assert warm.iterations <= cold.iterations
    assert fit(features, np.eye(4)[labels], "softmax", 10.0, start=cold).iterations == 0


def test_separable_classes_with_hardly_any_penalty_still_converge() -> None:
    features = np.vstack([np.full((20, 3), -1.0), np.full((20, 3), 1.0)])
    found = fit(features, np.eye(2)[np.repeat([0, 1], 20)], "softmax", 1e4)
    assert found.converged
    assert found.loss < 0.01


def test_scaling_leaves_a_constant_dimension_alone() -> None:
    vectors = np.random.default_rng(0).standard_normal((50, 3)).astype(np.float32)
    vectors[:, 1] = 0.1
    scaled = Scaling.of(vectors)(vectors)
    np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(scaled.std(axis=0), [1, 0, 1], atol=1e-6)
    assert np.abs(Scaling.of(vectors)(vectors + 1)[:, 1]).max() < 1.1
