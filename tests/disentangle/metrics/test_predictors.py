import warnings

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from audiointerp.disentangle.metrics import dci, explicitness, sap, sap_scores
from audiointerp.disentangle.metrics.importance import _purity
from audiointerp.disentangle.metrics.inputs import halves
from audiointerp.disentangle.metrics.predictability import balanced_accuracy
from tests.disentangle.metrics import loops
from tests.disentangle.metrics.worlds import grid, noise, one_to_one, rotated

FACTORS = grid()
METRICS = (sap, explicitness, dci)


@pytest.fixture(autouse=True)
def warnings_are_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def number(found):
    return found if isinstance(found, float) else found.disentanglement


@pytest.mark.parametrize("codes", [one_to_one(FACTORS, noise=0.4), rotated(FACTORS), noise(FACTORS)])
def test_sap_of_ordered_factors_is_that_of_plain_loops(codes):
    assert sap(factors=FACTORS, codes=codes) == pytest.approx(loops.sap(FACTORS, codes), abs=1e-9)


def test_sap_worked_out_by_hand():
    # R^2 of 0.8 (slope 2/5 .. 4/5 of unit correlation) beside one of 0 for the only factor.
    factors = np.array([[0.0], [1.0], [2.0], [3.0]])
    codes = np.array([[0.0, 1.0], [1.0, 0.0], [3.0, 0.0], [2.0, 1.0]])
    assert sap_scores(factors=factors, codes=codes).tolist() == [[pytest.approx(0.64), pytest.approx(0.0)]]
    assert sap(factors=factors, codes=codes) == pytest.approx(0.64)
    assert sap(factors=factors, codes=codes[:, :1]) == pytest.approx(0.64)


def test_names_of_classes_carry_no_order():
    codes = one_to_one(FACTORS, noise=0.05)
    renamed = FACTORS.copy()
    renamed[:, 0] = np.array([2.0, 0.0, 3.0, 1.0])[FACTORS[:, 0].astype(int)]
    kinds = ("categorical", "ordered", "ordered")
    named, numbered = (sap(factors=factors, codes=codes, kinds=kinds) for factors in (FACTORS, renamed))
    assert named == pytest.approx(numbered, abs=0.02) and named > 0.9
    assert sap(factors=renamed, codes=codes) < sap(factors=FACTORS, codes=codes) - 0.2


def test_scores_of_a_categorical_factor_are_held_out_accuracies():
    codes = np.concatenate([one_to_one(FACTORS, noise=0.02), np.ones((len(FACTORS), 1))], axis=1)
    scores = sap_scores(factors=FACTORS, codes=codes, kinds="categorical")
    np.testing.assert_allclose(np.diag(scores[:, :3]), 1.0, atol=0.02)
    np.testing.assert_allclose(scores[:, 3:5], np.repeat([[1 / 4], [1 / 5], [1 / 6]], 2, axis=1), atol=0.06)
    np.testing.assert_allclose(scores[:, 5], [1 / 4, 1 / 5, 1 / 6])
    in_sample = sap_scores(factors=FACTORS[:240], codes=codes[:240], kinds="categorical", protocol="published")
    assert (in_sample[:, 3:5] > scores[:, 3:5] + 0.02).all()


def test_rare_classes_count_as_much_as_frequent_ones():
    truth, told = np.array([0] * 9 + [1] * 3 + [4] * 2), np.array([0] * 9 + [0, 1, 1] + [0, 4])
    assert balanced_accuracy(truth, told) == pytest.approx(balanced_accuracy_score(truth, told))
    rng = np.random.default_rng(0)
    rare = (rng.random((2000, 1)) < 0.05).astype(float)
    scores = sap_scores(factors=rare, codes=np.c_[rng.standard_normal(2000), rare[:, 0]], kinds="categorical")
    assert scores[0] == pytest.approx([0.5, 1.0], abs=0.1)


def test_halves_are_disjoint_and_hold_every_class():
    labels = np.repeat([0, 1, 2, 3], [101, 50, 3, 1])
    first, second = halves(labels, np.random.default_rng(0))
    assert sorted([*first, *second]) == [*range(155)]
    assert np.bincount(labels[first]).tolist() == [51, 25, 2, 1]
    assert np.bincount(labels[second], minlength=4).tolist() == [50, 25, 1, 0]
    assert first.tolist() != halves(labels, np.random.default_rng(1))[0].tolist()


@pytest.mark.parametrize("normalised", [True, False])
def test_explicitness_is_the_area_under_curves_of_scikit_learn(normalised):
    codes = rotated(FACTORS)[:, :3]
    codes = (codes - codes.min(0)) / np.ptp(codes, axis=0)
    areas = []
    for factor in FACTORS.T:
        hot = factor[:, None] == np.unique(factor)
        models = [LogisticRegression(class_weight="balanced").fit(codes, column) for column in hot.T]
        chances = np.stack([model.predict_proba(codes)[:, 1] for model in models], axis=1)
        if normalised:
            chances /= chances.sum(1, keepdims=True)
        areas.append(roc_auc_score(hot, chances, average="macro"))
    score = explicitness(factors=FACTORS, codes=codes, kinds="categorical", protocol="published", normalised=normalised)
    assert score == pytest.approx(2 * np.mean(areas) - 1, abs=1e-6)


def test_explicitness_of_planted_codes():
    perfect = explicitness(factors=FACTORS, codes=one_to_one(FACTORS))
    assert perfect > 0.85
    # Nearly blind to rotations; levels between others need the normalised probabilities.
    assert explicitness(factors=FACTORS, codes=rotated(FACTORS)) == pytest.approx(perfect, abs=0.1)
    assert explicitness(factors=FACTORS, codes=one_to_one(FACTORS), normalised=False) < perfect - 0.1
    assert explicitness(factors=FACTORS, codes=noise(FACTORS)) == pytest.approx(0, abs=0.05)
    # Judged on the rows that it was fitted on, noise tells something.
    few = grid(repeats=1)
    assert explicitness(factors=few, codes=noise(few, 20), protocol="published") > 0.2


@pytest.mark.parametrize("protocol", ["corrected", "published"])
@pytest.mark.parametrize(("model", "kinds"), [("lasso", "ordered"), ("forest", "ordered"), ("forest", "categorical")])
def test_dci_of_planted_codes(model, kinds, protocol):
    given = {"factors": FACTORS, "kinds": kinds, "model": model, "protocol": protocol}
    found = dci(codes=one_to_one(FACTORS), **given)
    assert [found.disentanglement, found.completeness, found.informativeness] == pytest.approx([1, 1, 1], abs=0.02)
    assert found.importance.argmax(1).tolist() == [0, 1, 2]
    between = dci(codes=rotated(FACTORS), **given)
    assert between.disentanglement < 0.75 and between.completeness < 0.85
    chance = dci(codes=noise(FACTORS), **given)
    if model == "forest":
        assert chance.disentanglement < 0.1 and chance.completeness < 0.1
    if protocol == "corrected":
        assert chance.informativeness < 0.05


def test_boosting_reads_the_same_codes():
    factors = grid(repeats=2)
    found = dci(factors=factors, codes=one_to_one(factors, noise_codes=1), model="boosting", kinds="ordered")
    assert [found.disentanglement, found.completeness, found.informativeness] == pytest.approx([1, 1, 1], abs=0.02)


def test_two_codes_for_one_factor_cost_completeness_only():
    codes = one_to_one(FACTORS, noise_codes=0)
    twice = np.concatenate([codes, codes], axis=1) + 0.3 * noise(FACTORS, 6)
    found = dci(factors=FACTORS, codes=twice)
    assert found.disentanglement > 0.85 and found.completeness < 0.65


def test_scores_follow_from_importances():
    found = dci(factors=FACTORS, codes=rotated(FACTORS), protocol="published")
    table = found.importance
    assert (table > 0).sum() > 6
    complete = [1 - loops.entropy_of_shares(row.tolist()) for row in table]
    used = table[:, table.sum(0) > 0]
    apart = [(1 - loops.entropy_of_shares(column.tolist())) * column.sum() / table.sum() for column in used.T]
    assert found.completeness == pytest.approx(np.mean(complete))
    assert found.disentanglement == pytest.approx(sum(apart))
    hand = np.array([[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 5.0], [0.0, 0.0, 0.0, 0.0], [2.0, 2.0, 2.0, 2.0]])
    np.testing.assert_allclose(_purity(hand), [0.5, 1.0, 0.0, 0.0], atol=1e-12)


def test_informativeness_is_judged_on_other_rows():
    factors = grid(repeats=1)
    codes = noise(factors, 30)
    assert dci(factors=factors, codes=codes, model="forest", protocol="published").informativeness > 0.4
    assert dci(factors=factors, codes=codes, model="forest").informativeness < 0.05
    # Levels at the ends only: their variance is .25, not the 1/12 that the published formula supposes.
    ends = np.repeat([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], 50, axis=0)
    noisy = ends + 0.5 * noise(ends, 2)
    assert dci(factors=ends, codes=noisy, protocol="published").informativeness == 0
    assert dci(factors=ends, codes=noisy).informativeness == pytest.approx(0.5, abs=0.15)


@pytest.mark.parametrize("metric", METRICS)
def test_order_scale_and_offset_of_codes_do_not_matter(metric):
    codes = one_to_one(FACTORS, noise=0.3)
    for kinds in ("ordered", "categorical"):
        given = {"factors": FACTORS, "kinds": kinds}
        score = number(metric(codes=codes, **given))
        for other in (codes[:, [3, 0, 4, 1, 2]], codes * [3.7, 1e-3, 1e6, 0.1, 1] + 3.3):
            assert number(metric(codes=other, **given)) == pytest.approx(score, abs=2e-3)


@pytest.mark.parametrize("kinds", ["ordered", "categorical"])
@pytest.mark.parametrize("metric", METRICS)
def test_what_does_not_vary_is_defined(metric, kinds):
    codes, flat = one_to_one(FACTORS), np.full((len(FACTORS), 2), 0.1)
    for protocol in ("corrected", "published") if metric is not sap else ("corrected",):
        given = {"kinds": kinds, "protocol": protocol}
        for factors, found in ((FACTORS, flat), (flat, codes), (flat, flat)):
            assert number(metric(factors=factors, codes=found, **given)) == pytest.approx(0, abs=1e-12)
        more = np.concatenate([codes, flat], axis=1)
        plain, with_flat = (number(metric(factors=FACTORS, codes=c, **given)) for c in (codes, more))
        assert with_flat == pytest.approx(plain, abs=0.01)
        with_flat = metric(factors=np.concatenate([FACTORS, flat[:, :1]], axis=1), codes=codes, **given)
        if metric is dci:
            assert with_flat.informativeness == pytest.approx(0.75, abs=0.01)
        else:
            assert with_flat == pytest.approx(0.75 * plain, abs=0.01)


def test_seeds_decide_what_is_drawn():
    given = {"factors": FACTORS, "codes": one_to_one(FACTORS, noise=0.5), "kinds": "categorical"}
    for metric in METRICS:
        first, again, other = (metric(**given, seed=seed) for seed in (0, 0, 1))
        assert number(first) == number(again) != number(other)


@pytest.mark.parametrize("metric", METRICS)
def test_bad_input_is_refused(metric):
    codes = one_to_one(FACTORS)
    with pytest.raises(ValueError, match="got 1200 and 1199"):
        metric(factors=FACTORS, codes=codes[:-1])
    with pytest.raises(ValueError, match="expected finite codes, got 1200 rows"):
        metric(factors=FACTORS, codes=np.full(codes.shape, np.nan))
    with pytest.raises(ValueError, match="expected protocol corrected or published, got 'paper'"):
        metric(factors=FACTORS, codes=codes, protocol="paper")
    with pytest.raises(ValueError, match="expected kinds among"):
        metric(factors=FACTORS, codes=codes, kinds="nominal")


def test_what_cannot_be_learnt_is_refused():
    codes = one_to_one(FACTORS)
    many = np.stack([np.arange(1200) // 3, np.arange(1200) % 2], axis=1)
    for metric in (sap, dci):
        with pytest.raises(ValueError, match="four rows or more per level of categorical factor 0, got 400 levels in"):
            metric(factors=many, codes=codes, kinds="categorical")
    with pytest.raises(ValueError, match="rows as bins"):
        explicitness(factors=FACTORS[:9], codes=codes[:9])
    with pytest.raises(ValueError, match="expected at least 40 rows to fit and judge models, got 39"):
        dci(factors=FACTORS[:39], codes=codes[:39])
    with pytest.raises(ValueError, match="expected at least 2 factors, got 1"):
        dci(factors=FACTORS[:, :1], codes=codes)
    with pytest.raises(ValueError, match="expected at least 2 codes, got 1"):
        dci(factors=FACTORS, codes=codes[:, :1])
    with pytest.raises(ValueError, match="expected a model among lasso, forest, boosting, got 'tree'"):
        dci(factors=FACTORS, codes=codes, model="tree")
