"""Comparing runs: what UDR chooses, and that it chooses nothing where every latent has collapsed."""

from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from audiointerp.studies.syntone_comparison import (
    BASIS,
    CONFIGURATION,
    ORACLES,
    SCORES,
    against_rivals,
    choices,
    compare_runs,
    variants,
    verdicts,
)
from audiointerp.studies.syntone_scores import RIGHT

MODELS = (("vae", 1.0, 0.1), ("beta_vae", 4.0, 0.5))


@pytest.fixture
def runs(tmp_path):
    """Two seeds of two models; the second model's codes agree over seeds, the first one's do not."""

    def written(kl):
        made = []
        for name, strength, _ in MODELS:
            for seed in (0, 1):
                rng = np.random.default_rng(7 if name == "beta_vae" else seed)
                folder = tmp_path / f"{name}-{seed}-{kl}"
                folder.mkdir()
                codes = {name: rng.normal(size=(200, 3)), f"{name}_kl": np.full(3, kl)}
                np.savez(folder / "codes.npz", **codes)
                results = {"headline": {"model": name, "strength": strength, "seed": seed}, "split": "tuple"}
                made.append(SimpleNamespace(folder=folder, record={"config": {"protocol": "p"}, "results": results}))
        return made

    return written


@pytest.fixture
def table():
    """Scores over seeds: the first model level with ICA, the second above it in MIG only."""
    rows = []
    for name, strength, mig in (*MODELS, ("ica", 0.0, 0.1)):
        for metric in ORACLES:
            value = mig if metric == "mig_by_factor" else 0.2
            rows.append(
                {
                    "protocol": "p",
                    "split": "tuple",
                    "variant": "",
                    "model": name,
                    "strength": strength,
                    "metric": metric,
                }
                | {"arguments": RIGHT, "adjusted": value, "adjusted_low": value - 0.05, "adjusted_high": value + 0.05}
                | {"value": value, "interval": "seeds", "n_seeds": 2}
            )
    return pd.DataFrame(rows)


def test_udr_chooses_the_model_whose_seeds_agree(runs, table):
    chosen = choices(runs(1.0), table).set_index("model")
    assert chosen.loc["beta_vae", "udr"] > 0.8 > 0.5 > chosen.loc["vae", "udr"]
    assert chosen["best by udr"].to_dict() == {"vae": False, "beta_vae": True} and (chosen["n_seeds"] == 2).all()
    said = verdicts(table, against_rivals(table), chosen.reset_index())
    assert any("UDR chooses beta_vae (4), MIG 0.50" in sentence for sentence in said)


def test_where_every_latent_has_collapsed_nothing_is_chosen_without_labels(runs, table):
    chosen = choices(runs(0.001), table)
    assert (chosen["udr"] == 0).all() and not chosen["best by udr"].any() and chosen["best by mig_by_factor"].sum() == 1
    said = verdicts(table, against_rivals(table), chosen)
    assert any("UDR chooses none" in sentence and "beta_vae (4), MIG 0.50" in sentence for sentence in said)


def test_one_active_seed_among_collapsed_ones_chooses_nothing(runs, table):
    three = runs(0.001)
    active = runs(1.0)[0]
    chosen = choices([*three, active], table).set_index("model")
    assert chosen.loc["vae", "n_seeds"] == 3 and (chosen["udr"] == 0).all() and not chosen["best by udr"].any()


def test_only_what_lies_clear_of_the_best_linear_rival_counts_as_above(table):
    said = verdicts(table, against_rivals(table), pd.DataFrame(columns=BASIS))
    assert "1 of 2 configurations lie above the linear rivals in mig_by_factor" in said[0]
    assert "0 of 2 configurations lie above the linear rivals in dci_disentanglement" in said[1]


class Kept:
    """What comparing takes of a run, kept by name."""

    def __init__(self):
        self.tables, self.figures, self.sentences, self.page = {}, {}, [], self

    def table(self, name, frame, *_, **__):
        self.tables.setdefault(name, frame)

    def figure(self, name, figure, frame=None, alt=""):
        if frame is not None:
            self.figures[name] = alt
            plt.close(figure)

    def verdict(self, sentence):
        self.sentences.append(sentence)

    def section(self, *_):
        pass

    def result(self, **kept):
        self.results = kept


def finished(folder, split, beta, seed, epochs):
    """Writes a run of a beta-VAE and PCA; the beta-VAE's score is its weight and a hundredth of its epochs."""
    folder = folder / f"{split}-{beta}-{seed}-{epochs}"
    (folder / "tables").mkdir(parents=True)
    values = {"beta_vae": beta + epochs / 100 + 0.001 * seed, "pca": 0.5 + 0.001 * seed}
    rows = [
        {"protocol": "corrected", "split": split, "model": model, "strength": beta if model == "beta_vae" else np.nan,
         "metric": metric, "arguments": RIGHT, "seed": seed, "value": value, "adjusted": value, "permuted": 0.01}
        for model, value in values.items()
        for metric in dict.fromkeys([*SCORES, *ORACLES])
    ]  # fmt: skip
    pd.DataFrame(rows).to_csv(folder / "tables" / "metrics.csv", index=False)
    np.savez(
        folder / "codes.npz",
        beta_vae=np.random.default_rng(seed).random((50, 3)),
        beta_vae_kl=np.ones(3),
    )
    run = run_of(
        "beta_vae", beta, seed, protocol="corrected", model={"beta": beta},
        study={"split": split, "training": {"epochs": epochs}},
    )  # fmt: skip
    moved = {"pitch": {"error": 1.0, "moved": 0.5, "unit": "cents"}}
    run.record["results"]["split"] = split
    run.record["results"]["headline"]["swapped_factor"] = {"beta_vae": moved, "pca": moved}
    run.folder = folder
    return run


def test_a_sweep_over_splits_and_epochs_keeps_them_apart(tmp_path):
    kept = Kept()
    asked = [("tuple", beta, seed, epochs) for beta in (1.0, 2.0, 4.0) for seed in range(3) for epochs in (15, 40)]
    asked += [("octave", 1.0, seed, 15) for seed in range(3)]
    compare_runs(kept, [finished(tmp_path, *one) for one in asked])
    assert kept.figures["scores_corrected"].endswith("(protocol: corrected, epochs=15)")
    assert kept.figures["scores_corrected_1"].endswith("(protocol: corrected, epochs=40)")
    assert kept.figures["scores_corrected_2"].endswith("(protocol: corrected, split by octave, epochs=15)")
    assert {"strength_corrected", "strength_corrected_1"} == {name for name in kept.figures if "strength" in name}
    table = kept.tables["comparison"].query("metric == 'sap' and model == 'beta_vae'").set_index(CONFIGURATION)
    assert table.loc[("corrected", "tuple", "epochs=40", "beta_vae", 4.0), "value"] == pytest.approx(4.401)
    assert len(table) == 7 and (table["n_seeds"] == 3).all()
    linear = kept.tables["comparison"].query("metric == 'sap' and model == 'pca'")
    assert len(linear) == 3 and (linear["n_seeds"] == 3).all()
    choice = kept.tables["choice"].set_index(CONFIGURATION[1:])["best by mig_by_factor"]
    assert choice[choice].index.to_list() == [
        ("tuple", "epochs=15", "beta_vae", 4.0),
        ("tuple", "epochs=40", "beta_vae", 4.0),
    ]
    assert set(kept.tables["swaps"]["variant"]) == {"epochs=15", "epochs=40"}
    assert sum("3 of 3 configurations lie above" in sentence for sentence in kept.sentences) == 4
    assert sum(sentence.startswith("corrected, split by octave, epochs=15:") for sentence in kept.sentences) == 2


def run_of(name="vae", strength=1.0, seed=0, **config):
    results = {"headline": {"model": name, "strength": strength, "seed": seed}, "split": "tuple"}
    return SimpleNamespace(folder=None, settings={}, record={"config": {"protocol": "p"} | config, "results": results})


def test_settings_besides_model_weight_and_seed_make_a_variant():
    assert variants([run_of(seed=0), run_of("beta_vae", 4.0, 1, model={"_target_": "B", "beta": 4.0})]) == ["", ""]
    data = [run_of(data={"seed": 1, "cache": "a"}), run_of(data={"seed": 2, "cache": "b"})]
    assert variants(data) == ["data.seed=1", "data.seed=2"]
    weights = [run_of("beta_vae", beta, model={"beta": beta, "latents": 8}) for beta in (1.0, 4, 4.0)]
    assert variants(weights) == ["", "", ""]
    assert variants([*weights, run_of("vae", 1.0, model={"latents": 4})]) == [
        *["model.latents=8"] * 3,
        "model.latents=4",
    ]
    second = [run_of("dip_vae_i", 5.0, model={"off": 5.0, "diagonal": diagonal}) for diagonal in (1.0, 10.0)]
    assert variants(second) == ["model.diagonal=1", "model.diagonal=10"]


def test_variants_of_one_protocol_leave_the_other_alone():
    runs = [run_of(data={"clips": 9}), run_of(data={"clips": 8}), run_of(data={"clips": 7}, protocol="q")]
    assert variants(runs) == ["data.clips=9", "data.clips=8", ""]


def test_variants_are_held_against_their_own_rivals_only(table):
    longer = table.assign(variant="epochs=40", adjusted=table["adjusted"] + 1.0)
    found = against_rivals(pd.concat([table, longer]))
    assert (found["variant"] == "epochs=40").sum() == (found["variant"] == "").sum() == 4
    assert set(found.loc[found["variant"] == "epochs=40", "rival_adjusted"]) == {1.1, 1.2}
    said = verdicts(pd.concat([table, longer]), found, pd.DataFrame(columns=BASIS))
    assert said[0].startswith("p: 1 of 2") and said[2].startswith("p, epochs=40: 1 of 2")
