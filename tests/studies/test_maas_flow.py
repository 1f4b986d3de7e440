"""The main job from the command to the report, on tiny sounds and a tiny flow."""

import numpy as np
import pytest

from audiointerp.disentangle.flow import RESIDUAL
from audiointerp.edit.outcomes import ROLES
from audiointerp.studies.maas_decode import MaasDecode
from audiointerp.studies.maas_flow import ALL, MaasFlow, role_of, split_settings
from audiointerp.study import UserError
from audiointerp.training.fit_flow import FlowSettings
from tests.studies.conftest import Run

TINY = (
    *("experiment=maas_flow", "study.decode.components=8", "study.decode.untrained=1", "study.decode.folds=4"),
    *(
        "study.decode.permutations=19",
        "study.decode.listen=2",
        "study.decode.roles={fit:.2,train:.4,select:.1,test:.3}",
    ),
    *("study.candidates=null", "study.layer=layer7", "study.flow_seeds=2", "study.untrained_flows=1"),
    *("study.training.epochs=2", "study.training.batch=64", "study.pairs_per_sound=2", "study.published_pairs=20"),
    *("study.dose_pairs=6", "study.doses_at=[0,1]", "study.examples=1", "data.factors=[material,action]"),
)
FACTORS = ["material", "action"]


@pytest.fixture(scope="module")
def run(place):
    return place.only_run(*TINY)


def test_every_edit_is_measured_against_both_references(run):
    table = run.table("transfer")
    assert {
        *("factor", "reference", "edit", "role", "protocol", "n", "n_groups", "distance_before", "distance_after"),
        *("d_z", "ci_low", "ci_high", "interval", "p", "p_corrected", "read_as_target", "other_kept", "network"),
        *("moved_to", "flow_seed", "layer"),
    } <= set(table)
    overall = table[table["flow_seed"] == "all"]
    assert set(overall["network"]) == {"trained", "untrained"}
    for _, mine in overall.groupby(["network", "factor", "reference"]):
        assert set(mine["edit"]) == set(ROLES)
        assert dict(zip(mine["edit"], mine["role"], strict=True)) == ROLES
    assert set(table.loc[table["network"] == "trained", "flow_seed"]) == {"0", "1", "all"}
    assert set(table.loc[table["network"] == "untrained", "flow_seed"]) == {"all"}
    assert (table["layer"] == "layer7").all() and (table["n"] > 0).all()
    method = overall[(overall["network"] == "trained") & (overall["edit"] == "flow")]
    tested = method["p"].notna()
    assert (method.loc[tested, "p_corrected"] >= method.loc[tested, "p"]).all()
    assert overall.loc[overall["network"] == "untrained", "p_corrected"].isna().all()


def test_an_edit_of_nothing_changes_nothing_and_a_random_one_is_as_long_as_the_method(run):
    table = run.table("transfer")
    nothing = table[table["edit"] == "no-op"]
    edited = table[table["edit"] == "flow"]
    assert nothing["edit_norm"].max() < 1e-4 * edited["edit_norm"].min() and nothing["d_z"].isna().all()
    assert np.allclose(nothing["distance_before"], nothing["distance_after"], rtol=1e-4)
    other = table[table["moved_to"] == "Q^"].set_index(["network", "factor", "reference", "flow_seed", "edit"])
    norms = other["edit_norm"].unstack("edit")
    assert np.allclose(norms["random direction"], norms["flow"], rtol=1e-4)


def test_every_block_is_read(run):
    table = run.table("disentanglement")
    assert {"factor", "block", "role", "probe", "accuracy", "ci_low", "chance", "flow_seed", "network"} <= set(table)
    assert set(table["block"]) == {*FACTORS, RESIDUAL, ALL}
    assert set(table["role"]) == {"own block", "another factor's block", "residual", ALL}
    assert table["accuracy"].between(0, 1).all()


def test_the_other_tables_are_there(run):
    assert set(run.table("layer_decoding")["factor"]) == set(FACTORS)
    assert len(run.table("densities")) == 2 + 2
    assert set(run.table("rivals")["measure"]) == {"d_z", "share nearer", "read as target"}
    doses = run.table("dose_response")
    assert set(doses["strength"]) == {0, 1} and (doses.loc[doses["strength"] == 0, "effect"] == 0).all()
    published = run.table("published")
    assert list(dict.fromkeys(published["analysis"]))[0] == "as published" and "corrected" in set(published["analysis"])
    claims = run.table("transfer_claims")
    assert set(claims["verdict"]) <= {
        "holds",
        "holds only without its control",
        "does not hold",
        "cannot be told here",
    }


def test_the_record_holds_headline_and_cost(run):
    headline = run.results["headline"]
    assert set(headline) == set(FACTORS)
    for factor in FACTORS:
        assert set(headline[factor]["d_z"]) == set(ROLES) and isinstance(headline[factor]["d_z"]["flow"], float)
        assert {"own block", "residual"} <= set(headline[factor]["read_from"])
    assert run.results["edited_layer"] == "layer7" and set(run.results["best_layer"]) == {*FACTORS, "joint"}
    assert run.results["flow"]["blocks"] == {"material": 1, "action": 1}
    assert all(epochs <= 2 for epochs in run.results["flow"]["epochs"])
    assert all(error < 1e-3 for error in run.results["flow"]["round_trip"])
    steps = {"flows", "disentanglement", "transfer", "untrained network", "published analysis"}
    assert steps <= set(run.record["seconds"]) and steps | {"total"} <= set(run.record["peak_rss_mb"])


def test_the_report_opens_with_a_verdict_on_the_edits(run):
    page = (run.folder / "report.html").read_text(encoding="utf-8")
    verdict = page.index("Changing its own dimensions only moves the network")
    assert page.index("is read best from") < verdict < page.index("Can the factors be pulled apart?")
    assert "The same edits in an untrained network" in page
    for name in ("effects", "distances", "dose_response", "class_scores_material"):
        assert (run.folder / "figures" / f"{name}.png").is_file()


def test_what_is_finished_is_not_run_again(place, run, capsys):
    before = run.times()
    assert place.inside(*TINY) == 0
    assert "finished already" in capsys.readouterr().out
    assert run.times() == before and [run.folder] == list(run.folder.parent.iterdir())


def test_the_same_seed_gives_the_same_tables_with_flows_trained_anew(place, run):
    (place.folder / "cache" / "models").rename(place.folder / "models")
    assert place.inside(*TINY, "rerun=true", "hydra.run.dir=again") == 0
    again = Run(place.folder / "again").tables()
    assert again.keys() == run.tables().keys()
    assert [name for name, content in run.tables().items() if again[name] != content] == []
    trained = [
        {file.parent.name for file in folder.glob("*/flow.pt")}
        for folder in (place.folder / "models", place.folder / "cache" / "models")
    ]
    assert trained[0] == trained[1] and trained[0]


def test_controls_and_pairs_of_many_clips_are_drawn(place, run):
    asked = ("study.decode.control_clips=40", "study.most_pairs=5", "study.flow_seeds=1", "hydra.run.dir=part")
    assert place.inside(*TINY, *asked) == 0
    part = Run(place.folder / "part")
    table = part.table("transfer")
    assert set(table["network"]) == {"trained", "untrained"} and table["n"].max() == 5
    assert run.table("transfer").query("flow_seed == '0'")["n"].max() > 5
    blocks = part.table("disentanglement")
    tested = blocks.groupby("network")["n_clips"].max()
    assert 0 < tested["untrained"] < tested["trained"]
    assert set(part.table("published")["analysis"]) == set(run.table("published")["analysis"])


def test_an_untrained_network_has_no_untrained_control(place):
    asked = ("backbone.weights=random", "study.flow_seeds=1", "study.published=false", "hydra.run.dir=random")
    assert place.inside(*TINY, *asked) == 0
    control = Run(place.folder / "random")
    assert (
        set(control.table("transfer")["network"]) == {"untrained"} == set(control.table("disentanglement")["network"])
    )
    assert "untrained network" not in control.record["seconds"]
    page = (control.folder / "report.html").read_text(encoding="utf-8")
    assert "this is a control, not a result" in page


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"most_pairs": 1}, "most_pairs of 2 or more"),
        ({"block": "2"}, "expected study.block=classes-1 or 1, got '2'"),
        ({"flow_seeds": 0}, "expected flow_seeds of 1 or more in MaasFlow, got 0"),
        ({"untrained_flows": -1}, "untrained_flows of 0 or more"),
        ({"pairs_per_sound": 0}, "pairs_per_sound of 1 or more"),
        ({"candidates": {"mine": {"sigmma": 0.5}}}, "study.candidates.mine has no setting sigmma"),
    ],
)
def test_settings_that_cannot_be_are_refused_at_once(settings, message):
    with pytest.raises(UserError, match=message):
        MaasFlow(MaasDecode(), **settings)


def test_settings_of_a_candidate_go_to_training_and_model():
    training, model = split_settings(FlowSettings(), {"sigma": 0.5, "coupling": "affine"})
    assert training == FlowSettings(sigma=0.5) and model == {"coupling": "affine"}


def test_a_block_has_a_role_for_each_factor():
    assert [role_of(block, "action") for block in ("action", "material", RESIDUAL, ALL)] == [
        "own block",
        "another factor's block",
        "residual",
        ALL,
    ]
