import numpy as np
import pytest
from scipy import stats
from sklearn.covariance import EmpiricalCovariance
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from audiointerp.probes.accuracy import balanced_accuracy
from audiointerp.probes.designs import Split, by_fold
from audiointerp.probes.linear import FoldedRidge, ridge_predict


def planted(counts=(60, 90, 30), seed=0, distance=1.5):
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(counts)), counts)
    folds = np.concatenate([np.arange(count) % 5 for count in counts])
    means = distance * np.random.default_rng(1).standard_normal((len(counts), 6))
    scores = (rng.standard_normal((len(labels), 6)) + means[labels]) * [1, 10, 0.1, 1, 1, 3] + [0, 50, 0, 0, -7, 0]
    order = rng.permutation(len(labels))
    return scores[order].astype(np.float32), labels[order], folds[order]


def recalls(labels, predicted):
    return [np.mean(predicted[labels == label] == label) for label in np.unique(labels)]


@pytest.mark.parametrize("penalty", [0.01, 1.0, 30.0])
@pytest.mark.parametrize("distance", [0.3, 1.5])
def test_predictions_are_the_most_likely_classes_of_explicit_gaussians(penalty, distance):
    scores, labels, folds = planted(distance=distance)
    predicted = ridge_predict(scores, labels, by_fold(folds), penalty)
    for train, test in by_fold(folds):
        scaler = StandardScaler().fit(scores[train])
        x, y = scaler.transform(scores[train]), labels[train]
        means = np.stack([x[y == label].mean(0) for label in range(3)])
        within = (x - means[y]).T @ (x - means[y]) / len(x) + penalty * 6 / len(x) * np.eye(6)
        densities = [stats.multivariate_normal(mean, within).logpdf(scaler.transform(scores[test])) for mean in means]
        assert (predicted[test] == np.argmax(densities, axis=0)).all()


def test_equally_frequent_classes_are_read_as_by_scikit_learn():
    scores, labels, folds = planted((50, 50, 50, 50), distance=0.5)
    predicted = ridge_predict(scores, labels, by_fold(folds), penalty=2.0)

    class Ridged(EmpiricalCovariance):
        def fit(self, x, y=None):
            super().fit(x)
            self.covariance_ = self.covariance_ + 2.0 * 6 / 160 * np.eye(6)
            return self

    for train, test in by_fold(folds):
        scaler = StandardScaler().fit(scores[train])
        lda = LinearDiscriminantAnalysis(solver="lsqr", covariance_estimator=Ridged(), priors=np.full(4, 0.25))
        lda.fit(scaler.transform(scores[train]), labels[train])
        assert (predicted[test] == lda.predict(scaler.transform(scores[test]))).all()


@pytest.mark.parametrize("penalty", [0.01, 1.0, 30.0])
def test_two_equally_frequent_classes_are_read_by_ridge_regression(penalty):
    scores, labels, folds = planted((60, 60), distance=0.3)
    predicted = ridge_predict(scores, labels, by_fold(folds), penalty)
    for train, test in by_fold(folds):
        scaler = StandardScaler().fit(scores[train])
        ridge = Ridge(alpha=penalty * 6).fit(scaler.transform(scores[train]), np.where(labels[train], 1, -1))
        assert (predicted[test] == (ridge.predict(scaler.transform(scores[test])) > 0)).all()


def test_a_rare_class_is_neither_swallowed_nor_swallows():
    scores, labels, folds = planted((380, 20), distance=1.5)
    assert min(recalls(labels, ridge_predict(scores, labels, by_fold(folds)))) > 0.75
    # Regression onto indicators hardly ever says "rare"; divided by the shares it says so to half of the others.
    x = StandardScaler().fit_transform(scores)
    plain = Ridge(alpha=6).fit(x, np.eye(2)[labels]).predict(x).argmax(1)
    shared = Ridge(alpha=6).fit(x, np.eye(2)[labels] / [0.95, 0.05]).predict(x).argmax(1)
    assert recalls(labels, plain)[1] < 0.4 and recalls(labels, shared)[0] < 0.6


def test_a_class_between_others_is_not_masked():
    rng = np.random.default_rng(2)
    labels, folds = np.arange(300) % 3, np.arange(300) // 60
    scores = rng.standard_normal((300, 4)) + 3.0 * labels[:, None] * [1, 0, 0, 0]
    assert min(recalls(labels, ridge_predict(scores, labels, by_fold(folds)))) > 0.75
    x = StandardScaler().fit_transform(scores)
    assert recalls(labels, Ridge(alpha=4).fit(x, np.eye(3)[labels]).predict(x).argmax(1))[1] < 0.6


def test_many_labellings_at_once_are_each_by_itself():
    scores, labels, folds = planted()
    many = np.stack([np.random.default_rng(seed).permutation(labels) for seed in range(9)])
    one_by_one = np.stack([ridge_predict(scores, row, by_fold(folds)) for row in many])
    for batch in (4, 64):
        assert (ridge_predict(scores, many, by_fold(folds), batch=batch) == one_by_one).all()


def test_noise_stays_noise_and_untested_rows_stay_open():
    rng = np.random.default_rng(5)
    scores, labels = rng.standard_normal((1500, 8)), rng.integers(0, 3, 1500)
    folds = np.arange(1500) % 5
    folds[:300] = -1
    predicted = ridge_predict(scores, labels, by_fold(folds))
    assert (predicted[:300] == -1).all() and (predicted[300:] >= 0).all()
    assert abs(balanced_accuracy(labels, predicted) - 1 / 3) < 4 * np.sqrt(2 / 9 / 1200)


def test_a_class_that_training_lacks_is_never_predicted():
    scores, labels, _ = planted()
    split = Split(np.flatnonzero(labels != 1), np.flatnonzero(labels == 1))
    assert set(ridge_predict(scores, labels, [split])[split.test]) <= {0, 2}
    # In one of two labellings only.
    both = np.stack([labels, np.where(np.arange(len(labels)) % 3, 0, 1)])
    predicted = ridge_predict(scores, both, [split])[:, split.test]
    assert 1 not in predicted[0] and 1 in predicted[1]


@pytest.mark.parametrize("value", [0.0, 0.1, 1.6094379, -37.123])
def test_a_column_that_training_holds_constant_counts_for_nothing(value):
    scores, labels, folds = planted(distance=3.0)
    split = by_fold(folds)[0]
    column = np.full(len(labels), value)
    column[split.test] += np.random.default_rng(0).standard_normal(len(split.test))
    # Seven columns at a penalty of 1 are six at 7 / 6.
    expected = ridge_predict(scores, labels, [split], 7 / 6)
    assert (ridge_predict(np.c_[scores, column], labels, [split], 1.0) == expected).all()


@pytest.mark.parametrize("penalty", [0.1, 10.0])
def test_folds_added_up_predict_what_their_rows_predict(penalty):
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 3, 400)
    scores = (5.0 + rng.standard_normal((400, 6)) + np.eye(3, 6)[labels]).astype(np.float32)
    scores[:, 4] = 7.0  # a column that does not vary
    folds = rng.integers(-1, 5, 400)
    ridge = FoldedRidge(scores, np.where(folds < 0, -1, labels), folds, penalty)
    for train, tested in (([0, 1, 2], 3), ([4], 0), ([0, 3, 4], 1)):
        split = Split(np.flatnonzero(np.isin(folds, train)), np.flatnonzero(folds == tested))
        expected = ridge_predict(scores, labels, [split], penalty)[split.test]
        assert (ridge.predict(train, split.test) == expected).all()
        assert (expected == labels[split.test]).mean() > 0.5


def test_a_class_that_no_training_fold_holds_is_not_predicted():
    labels, folds = np.array([0, 1] * 10 + [2] * 4), np.array([0, 0, 1, 1] * 5 + [2] * 4)
    scores = np.random.default_rng(0).standard_normal((24, 3)).astype(np.float32) + np.eye(3)[labels]
    assert set(FoldedRidge(scores, labels, folds).predict([0], np.arange(24))) <= {0, 1}
