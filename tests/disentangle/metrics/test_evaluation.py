import time
import warnings
from dataclasses import asdict

import numpy as np
import pytest

from audiointerp.disentangle import metrics
from audiointerp.disentangle.metrics import chance, chance_of_all, evaluate, evaluate_all
from audiointerp.study import stream
from tests.disentangle.metrics.worlds import grid, noise, one_to_one, rotated

FACTORS = grid()
KINDS = ("categorical", "ordered", "ordered")
QUICK = {name: {"batch": 20, "train": 100, "test": 100} for name in ("z_diff", "z_min_var", "z_max_var")}


@pytest.fixture(autouse=True)
def warnings_are_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def test_the_five_are_the_metrics_one_by_one():
    given = {"factors": FACTORS, "codes": one_to_one(FACTORS, noise=0.3), "kinds": KINDS}
    found = evaluate(**given, bins=7, factor_bins=5, normalise_by="code", seed=3)
    table = {"bins": 7, "factor_bins": 5}
    assert asdict(found) == {
        "mig": metrics.mig(**given, **table, normalise_by="code"),
        "sap": metrics.sap(**given, seed=3),
        "dcimig": metrics.dcimig(**given, **table),
        "jemmig": metrics.jemmig(**given, **table),
        "modularity": metrics.modularity(**given, **table),
    }
    few = {"factors": FACTORS[:240], "codes": given["codes"][:240], "kinds": KINDS}
    assert evaluate(**few, protocol="published").sap == metrics.sap(**few, protocol="published")


def test_all_are_the_metrics_one_by_one():
    given = {"factors": FACTORS, "codes": one_to_one(FACTORS, noise=0.3), "kinds": KINDS}
    found = evaluate_all(**given, bins=6, seed=2, settings={**QUICK, "irs": {"quantile": 0.9}, "dci": {"seed": 5}})
    cut = {**given, "bins": 6}
    parts = metrics.dci(**given, seed=5)
    assert found == {
        "mig_by_factor": metrics.mig(**cut),
        "mig_by_code": metrics.mig(**cut, normalise_by="code"),
        "mig_sup": metrics.mig_sup(**cut),
        "sap": metrics.sap(**given, seed=2),
        "jemmig": metrics.jemmig(**cut),
        "dcimig": metrics.dcimig(**cut),
        "modularity": metrics.modularity(**cut),
        "dci_disentanglement": parts.disentanglement,
        "dci_completeness": parts.completeness,
        "dci_informativeness": parts.informativeness,
        "explicitness": metrics.explicitness(**cut, seed=2),
        "irs": metrics.irs(**cut, quantile=0.9),
        "z_diff": metrics.z_diff(**cut, **QUICK["z_diff"], seed=2),
        "z_min_var": metrics.z_min_var(**cut, **QUICK["z_min_var"], seed=2),
        "z_max_var": metrics.z_max_var(**given, bins=3, **QUICK["z_max_var"], seed=2),
    }


def test_the_protocol_reaches_every_metric_that_has_one():
    given = {"factors": FACTORS[:240], "codes": noise(FACTORS[:240], 4), "kinds": KINDS, "settings": QUICK}
    corrected, in_sample = evaluate_all(**given), evaluate_all(**given, protocol="published")
    changed = {name for name in corrected if corrected[name] != in_sample[name]}
    assert {"sap", "explicitness", "dci_informativeness"} <= changed
    assert not {name for name in changed if not name.startswith(("sap", "dci", "explicitness"))}


def test_unknown_settings_are_refused():
    with pytest.raises(ValueError, match="expected settings of dci, .*, got mig, zdiff: correct the name"):
        evaluate_all(factors=FACTORS, codes=FACTORS, settings={"zdiff": {}, "mig": {}})


def test_chance_is_what_the_draws_give():
    codes = one_to_one(FACTORS, noise=0.5)
    found = chance(metrics.modularity, factors=FACTORS, codes=codes, seed=4, repeats=2, bins=5)
    rng = stream(4, "chance")
    score = {"factors": FACTORS, "bins": 5}
    drawn = np.mean([metrics.modularity(codes=rng.standard_normal(codes.shape), **score) for _ in range(2)])
    permuted = np.mean([metrics.modularity(codes=codes[rng.permutation(len(codes))], **score) for _ in range(2)])
    value = metrics.modularity(codes=codes, **score)
    assert (found.value, found.noise, found.permuted) == pytest.approx((value, drawn, permuted))
    assert found.adjusted == pytest.approx((value - permuted) / (1 - permuted))
    given = {"factors": FACTORS, "codes": codes, "repeats": 2, "bins": 5}
    assert chance(metrics.modularity, **given, seed=stream(4, "chance")) == found
    assert chance(metrics.modularity, **given, seed=5) != found
    half = chance(metrics.modularity, **given, seed=4, best=(1 + permuted) / 2)
    assert half.adjusted == pytest.approx(2 * found.adjusted)


@pytest.mark.parametrize("name", ["mig", "modularity", "jemmig", "dcimig", "sap", "irs"])
def test_adjusted_scores_are_zero_at_chance_and_one_at_best(name):
    metric, even = getattr(metrics, name), grid(levels=(4, 4))
    settings = {} if name == "sap" else {"bins": 4}
    assert chance(metric, factors=even, codes=even, **settings).adjusted == pytest.approx(1)
    # Many codes of noise, since the modularity of one is anything between 0 and 1.
    nothing = chance(metric, factors=FACTORS, codes=noise(FACTORS, 60))
    assert nothing.adjusted == pytest.approx(0, abs=0.15)
    assert nothing.noise == pytest.approx(nothing.permuted, abs=0.05)


def test_chance_is_far_from_zero_for_some():
    levels = {name: chance(getattr(metrics, name), factors=FACTORS, codes=noise(FACTORS)) for name in ("mig", "irs")}
    levels["modularity"] = chance(metrics.modularity, factors=FACTORS, codes=noise(FACTORS, 60))
    assert levels["mig"].noise < 0.02 and levels["irs"].noise > 0.05 and levels["modularity"].noise > 0.4


def test_where_chance_is_the_best_nothing_can_be_adjusted():
    found = chance(lambda *, factors, codes: 1.0, factors=FACTORS, codes=FACTORS)
    assert found.value == found.permuted == 1 and np.isnan(found.adjusted)


def test_chance_of_all_is_chance_of_each():
    given = {"factors": FACTORS, "codes": rotated(FACTORS), "repeats": 2}
    found = chance_of_all(evaluate, **given)
    assert list(found) == ["mig", "sap", "dcimig", "jemmig", "modularity"]
    for name, level in found.items():
        alone = chance(getattr(metrics, name), **given)
        assert asdict(level) == pytest.approx(asdict(alone))
    quick = chance_of_all(evaluate_all, factors=FACTORS, codes=rotated(FACTORS), repeats=1, settings=QUICK)
    assert len(quick) == 15 and all(np.isfinite([*asdict(level).values()]).all() for level in quick.values())


def test_bad_input_is_refused():
    for ask in (lambda **given: chance(metrics.mig, **given), lambda **given: chance_of_all(evaluate, **given)):
        with pytest.raises(ValueError, match="got 1200 and 1199"):
            ask(factors=FACTORS, codes=FACTORS[:-1])
        with pytest.raises(ValueError, match="expected 1 repeat or more, got 0"):
            ask(factors=FACTORS, codes=FACTORS, repeats=0)
    for evaluation in (evaluate, evaluate_all):
        with pytest.raises(ValueError, match="expected finite codes"):
            evaluation(factors=FACTORS, codes=np.full((1200, 2), np.nan))


@pytest.mark.parametrize("kinds", [None, KINDS])
def test_the_five_take_less_than_a_second(kinds):
    rng = np.random.default_rng(0)
    factors = np.stack([rng.integers(0, count, 20_000) for count in (4, 400, 20)], axis=1).astype(float)
    codes = one_to_one(factors, noise_codes=7, noise=0.3)
    evaluate(factors=factors[:100], codes=codes[:100], kinds=kinds)  # scikit-learn is imported
    begin = time.process_time()
    evaluate(factors=factors, codes=codes, kinds=kinds)
    assert time.process_time() - begin < 1
