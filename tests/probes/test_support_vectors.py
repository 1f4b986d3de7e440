"""The Gaussian machine is scikit-learn's; the tuned one chooses on held-out groups, and there alone."""

import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR

from audiointerp.probes import support_vectors
from audiointerp.probes.support_vectors import PENALTIES, SHARPNESSES, GaussianSVM, TunedSVM, varying

RNG = np.random.default_rng(0)
LABELS = np.repeat(np.arange(4), 30)
FEATURES = StandardScaler().fit_transform(
    np.eye(4)[LABELS] @ RNG.standard_normal((4, 9)) + RNG.standard_normal((120, 9))
)
FEATURES[:, 3] = 0.0  # as a constant column comes out of standardisation
UNHEARD = RNG.standard_normal((50, 9))
UNHEARD[:, 3] = 0.0


def test_it_decides_as_scikit_learns_own_kernel_does():
    own = GaussianSVM().fit(FEATURES, LABELS).predict(UNHEARD)
    theirs = SVC(decision_function_shape="ovo").fit(FEATURES, LABELS).predict(UNHEARD)
    assert (own == theirs).all() and len(np.unique(own)) > 1
    numbers = FEATURES[:, 0] + 0.1 * RNG.standard_normal(120)
    own = GaussianSVM(penalty=10.0, sharpness=0.3, numbers=True).fit(FEATURES, numbers).predict(UNHEARD)
    theirs = SVR(C=10.0, gamma=0.3 / varying(FEATURES)).fit(FEATURES, numbers).predict(UNHEARD)
    assert np.allclose(own, theirs, atol=1e-6)


def test_the_choice_is_the_one_that_a_loop_over_folds_makes():
    groups = np.arange(120) // 5
    tuned = TunedSVM(groups).fit(FEATURES, LABELS)
    right = {
        (penalty, sharpness): sum(
            (
                GaussianSVM(penalty, sharpness).fit(FEATURES[train], LABELS[train]).predict(FEATURES[held])
                == LABELS[held]
            ).sum()
            for train, held in tuned._folds(LABELS, groups)
        )
        for sharpness in SHARPNESSES
        for penalty in PENALTIES
    }
    assert right[tuned.chosen_] == max(right.values()) > min(right.values())
    assert (tuned.predict(UNHEARD) == GaussianSVM(*tuned.chosen_).fit(FEATURES, LABELS).predict(UNHEARD)).all()


@pytest.mark.parametrize("numbers", [False, True])
def test_groups_are_held_out_whole(numbers):
    groups = np.arange(120) % 15
    folds = TunedSVM(None, numbers)._folds(LABELS.astype(float) if numbers else LABELS, groups)
    assert len(folds) == 3 and sorted(np.concatenate([held for _, held in folds])) == list(range(120))
    assert not any(set(groups[train]) & set(groups[held]) for train, held in folds)


def test_groups_keep_a_copied_note_from_deciding():
    # Twins of noise: with rows apart, the sharpest kernel finds each note's twin and is right every time.
    noise, labels = np.repeat(RNG.standard_normal((60, 20)), 2, axis=0), np.repeat(RNG.permutation(60) % 3, 2)
    apart = TunedSVM(None).fit(noise, labels)
    whole = TunedSVM(np.arange(120) // 2).fit(noise, labels)

    def told(machine, folds):
        penalty, sharpness = machine.chosen_
        return np.mean(
            [
                (GaussianSVM(penalty, sharpness).fit(noise[a], labels[a]).predict(noise[b]) == labels[b]).mean()
                for a, b in folds
            ]
        )

    assert (
        told(apart, apart._folds(labels, np.arange(120))) > 0.8 > 0.6 > told(whole, whole._folds(labels, whole.groups))
    )


def test_where_nothing_can_be_held_out_it_stays_with_the_default():
    alone = TunedSVM(np.zeros(120)).fit(FEATURES, LABELS)
    assert alone.chosen_ == (1.0, 1.0)
    assert (alone.predict(UNHEARD) == GaussianSVM().fit(FEATURES, LABELS).predict(UNHEARD)).all()
    few = np.array([0, 1, 2, 2])  # no class has a row in each of two folds but the last
    assert TunedSVM().fit(FEATURES[:4], few).predict(UNHEARD).shape == (50,)
    assert TunedSVM().fit(FEATURES[:3], few[:3]).chosen_ == (1.0, 1.0)
    two = LABELS[:60]  # two classes, a group each: without one of them there is nothing to tell apart
    assert TunedSVM(two).fit(FEATURES[:60], two).chosen_ == (1.0, 1.0)


def test_classes_of_one_group_beside_a_large_one_are_not_given_up():
    # Only the large class can be held out; its rows are right whatever is chosen, which must not mean the smoothest.
    labels = np.repeat([0, 1, 2, 3], [96, 8, 8, 8])
    groups = np.where(labels == 0, np.arange(120) // 10, 100 + labels)
    tuned = TunedSVM(groups).fit(FEATURES, labels)
    assert tuned.chosen_ == (1.0, 1.0)
    groups[labels == 3] += np.arange(8) // 4  # a second group, and there is something to choose by
    folds = tuned._folds(labels, groups)
    assert set(labels[np.concatenate([held for _, held in folds])]) == {0, 3}


def test_many_rows_are_decided_the_same_and_chosen_on_whole_groups(monkeypatch):
    groups = np.arange(120) // 5
    small = GaussianSVM(10.0, 0.3).fit(FEATURES, LABELS).predict(UNHEARD)
    monkeypatch.setattr(support_vectors, "MOST_ROWS", 60)
    assert (GaussianSVM(10.0, 0.3).fit(FEATURES, LABELS).predict(UNHEARD) == small).all()
    tuned = TunedSVM(groups)
    features, targets, kept = tuned._some(FEATURES, LABELS)
    assert len(kept) == 60 and all((kept == group).sum() == 5 for group in np.unique(kept))
    rows = np.flatnonzero(np.isin(groups, kept))
    assert (features == FEATURES[rows]).all() and (targets == LABELS[rows]).all()
    assert tuned.fit(FEATURES, LABELS).fitted_.features_.shape == FEATURES.shape
    assert TunedSVM(np.arange(120) // 100).fit(FEATURES, LABELS).chosen_ == (1.0, 1.0)  # no group fits


def test_a_class_with_fewer_groups_than_folds_is_no_obstacle():
    labels = LABELS.copy()
    labels[0] = 4
    assert 4 in TunedSVM(np.arange(120)).fit(FEATURES, labels).fitted_.machine_.classes_
