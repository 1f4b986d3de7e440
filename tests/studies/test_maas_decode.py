"""Decoding by layer from the command to the report: obvious factors, and a coin that means nothing."""

import pytest

from audiointerp.probes.layers import PROBES
from audiointerp.studies.maas_decode import LEVELS, MaasDecode
from audiointerp.study import UserError
from tests.studies.conftest import Run

TINY = ("experiment=maas_decode", "study.components=8", "study.untrained=1", "study.folds=4", "study.listen=2")
FACTORS = ["material", "action", "coin"]
LAYERS = [f"layer{number}" for number in range(1, 15)]


@pytest.fixture(scope="module")
def arguments():
    return *TINY, "study.permutations=99", f"data.factors=[{','.join(FACTORS)}]"


@pytest.fixture(scope="module")
def run(place, arguments):
    return place.only_run(*arguments)


def test_every_layer_factor_probe_protocol_and_network_is_measured(run):
    table = run.table("layer_decoding")
    assert list(table) == [
        *("layer", "factor", "protocol", "probe", "accuracy", "ci_low", "ci_high", "interval", "chance"),
        *("n_clips", "n_groups", "network"),
    ]
    heard = table[table["layer"] != LEVELS]
    each = heard.groupby(["network", "protocol", "factor", "probe"])["layer"].apply(list)
    assert all(layers == LAYERS for layers in each)
    assert set(each.index) == {
        (network, protocol, factor, probe)
        for network in ("trained", "untrained, seed 1")
        for protocol in ("corrected", "published")
        for factor in FACTORS
        for probe in PROBES
    }
    assert set(table.loc[table["layer"] == LEVELS, "factor"]) == set(FACTORS)
    assert table["accuracy"].between(0, 1).all() and (table["chance"] == 0.5).all()
    corrected = heard[heard["protocol"] == "corrected"]
    measured = corrected[corrected["ci_low"].notna()]
    assert len(measured) and (measured["ci_low"] <= measured["accuracy"]).all() and (corrected["n_groups"] < 24).all()


def test_tests_and_the_chosen_layer_are_told(run):
    tests = run.table("layer_tests")
    assert {"factor", "comparison", "test", "p", "p_corrected", "correction", "n_groups"} <= set(tests)
    assert set(tests["comparison"]) == {
        "layer against permuted labels",
        "best against first",
        "best against last",
        "trained against untrained, each at its best layer",
    }
    best = run.table("best_layers").set_index("factor")
    assert set(best.index) == set(FACTORS) and set(best["chosen_on"]) == {"select"}
    assert {factor: run.results["best_layer"][factor] for factor in FACTORS} == best["layer"].to_dict()
    assert run.results["best_layer"]["joint"] in LAYERS
    assert set(run.table("generalisation")["across"]) == set(FACTORS)
    assert set(run.table("claims")["factor"]) == set(FACTORS)


def test_the_record_holds_cost_and_provenance(run):
    steps = {"sounds", "activations", "decoding by layer", "choice of the layer", "tests", "generalisation"}
    assert run.record["status"] == "complete" and run.record["device"] == "cpu"
    assert set(run.record["seconds"]) == steps and all(value >= 0 for value in run.record["seconds"].values())
    assert set(run.record["peak_rss_mb"]) == steps | {"total"}
    assert 50 < run.record["peak_rss_mb"]["activations"] <= run.record["peak_rss_mb"]["total"]
    assert run.results["sounds"]["clips"] == 48 and run.results["sounds"]["groups"] == 24
    assert sum(run.results["sounds"]["groups_by_role"].values()) == 24
    assert run.record["provenance"]["weights"]["kind"] == "trained"
    assert set(run.results["convergence"]) == set(LAYERS)
    assert str(run.folder.parents[2]) not in (run.folder / "results.json").read_text(encoding="utf-8")


def test_the_report_opens_with_a_verdict(run):
    page = (run.folder / "report.html").read_text(encoding="utf-8")
    for factor in FACTORS:
        assert f"{factor.capitalize()} is read best from {run.results['best_layer'][factor]}" in page
        assert (run.folder / "figures" / f"layer_curves_{factor}.svg").is_file()
    assert page.index("is read best from") < page.index("What was compared") < page.index("layer_curves_material")
    assert list((run.folder / "audio").glob("clip_*.wav"))


def test_what_is_finished_is_not_run_again(place, run, arguments, capsys):
    before = run.times()
    assert place.inside(*arguments) == 0
    assert "finished already" in capsys.readouterr().out
    assert run.times() == before and [run.folder] == list(run.folder.parent.iterdir())


def test_the_same_seed_gives_the_same_tables_from_an_empty_cache(place, run, arguments):
    assert place.inside(*arguments, "rerun=true", "paths.cache=other_cache", "hydra.run.dir=again") == 0
    assert Run(place.folder / "again").tables() == run.tables()


def test_obvious_factors_are_read_and_the_coin_is_not(run):
    tests = run.table("layer_tests")
    against = tests[tests["comparison"] == "layer against permuted labels"]
    table = run.table("layer_decoding")
    mine = table[(table["network"] == "trained") & (table["protocol"] == "corrected")]
    for factor in FACTORS:
        found = (against.loc[against["factor"] == factor, "p_corrected"] < 0.05).mean()
        accuracy = mine.loc[(mine["factor"] == factor) & mine["layer"].isin(LAYERS), "accuracy"]
        if factor == "coin":
            assert found == 0 and accuracy.mean() < 0.6
        else:
            assert found > 0.3 and accuracy.max() > 0.85


def test_controls_of_many_clips_hear_whole_groups_of_them(place, run):
    assert place.inside(*TINY, "study.permutations=19", "study.control_clips=34", "hydra.run.dir=part") == 0
    part = Run(place.folder / "part")
    matched = f"trained, {part.results['control_clips']} clips"
    assert 30 <= part.results["control_clips"] <= 34
    table = part.table("layer_decoding").set_index(["network", "protocol", "layer", "factor", "probe"])
    networks = {name: set(mine.index.get_level_values("protocol")) for name, mine in table.groupby("network")}
    both = {"corrected", "published"}
    assert networks == {"trained": {"corrected"}, matched: both, "untrained, seed 1": both, "none": {"corrected"}}
    whole = run.table("layer_decoding").set_index(["network", "protocol", "layer", "factor", "probe"])
    for name in ("trained", "none"):  # what hears all clips is what it was
        common = table.loc[name].index.intersection(whole.loc[name].index)
        assert len(common) and table.loc[name].loc[common].equals(whole.loc[name].loc[common])
    heard = table["n_clips"].groupby("network").max()
    assert heard[matched] == heard["untrained, seed 1"] == part.results["control_clips"] < heard["trained"]
    assert set(part.table("layer_tests")["network"]) == {matched, "untrained, seed 1", f"{matched} - untrained, seed 1"}
    page = (part.folder / "report.html").read_text(encoding="utf-8")
    assert f"use {part.results['control_clips']} of the 48 clips" in page and matched in page


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"control_clips": 0}, "control_clips of 1 or more"),
        ({"folds": 1}, "expected folds of 2 or more in MaasDecode, got 1"),
        ({"components": 0}, "components of 1 or more"),
        ({"neighbours": 0}, "neighbours of 1 or more"),
        ({"permutations": 0}, "permutations of 1 or more"),
        ({"untrained": -1}, "untrained of 0 or more"),
        ({"precision": "fp16"}, "expected a precision of float32 or bf16, got 'fp16'"),
        ({"penalty": float("nan")}, "penalty of 0 or more"),
        ({"roles": {"fit": 0.5, "train": 0.6}}, "which sum to 1.1: set the others as well"),
        ({"roles": {"fit": 0.5, "trian": 0.5}}, "shares of fit, train, select, test"),
    ],
)
def test_settings_that_cannot_be_are_refused_at_once(settings, message):
    with pytest.raises(UserError, match=message):
        MaasDecode(**settings)
