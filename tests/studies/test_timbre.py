"""The timbre study from the command to the report, on few notes and a tiny autoencoder; and what it refuses."""

import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import soundfile

from audiointerp.data.instruments import SyntheticInstruments
from audiointerp.data.nsynth import NSynth
from audiointerp.probes.classifiers import KINDS
from audiointerp.report.summaries import timbre_tables
from audiointerp.statistics.intervals import pair_interval
from audiointerp.studies import timbre_reading
from audiointerp.studies.timbre import Timbre
from audiointerp.studies.timbre_judge import clearest_layer
from audiointerp.studies.timbre_notes import Notes, notes_of
from audiointerp.studies.timbre_outcomes import distance_predicts, summarise
from audiointerp.studies.timbre_reading import (
    EMBEDDING,
    LEVELS,
    LOGMEL,
    PERMUTED,
    UNTRAINED,
    level_features,
    permuted_rows,
    read_everything,
    read_seeds,
)
from audiointerp.studies.timbre_transfer import METHODS, PLAIN, REAL, fit_maps
from audiointerp.study import UserError
from tests.studies.conftest import Place, Run
from tests.studies.small_world import write_weights

TINY = (
    *("experiment=timbre", "logger=none", "device=cpu", "paths.cache=cache", "paths.weights=weights"),
    *("data.instruments=6", "data.notes=3", "data.families=[flute,mallet,organ]", "data.duration_s=1.0"),
    *("model.width=16", "model.harmonics=8", "model.filters=24", "model.encoder_width=16", "model.window=512"),
    "model.blocks=1",
    *("study.duration_s=1.0", "study.training.steps=12", "study.training.batch=2", "study.training.validations=2"),
    *("study.widths=[8,4]", "study.permutations=3", "study.perplexity=3", "study.components=8", "study.examples=1"),
    *("study.flow_training.epochs=2", "study.notes_per_pair=1", "study.seeds=2"),
)
SHARES = {"train": 0.6, "select": 0.15, "test": 0.25}


def plain(items, **_):
    return items


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("place")
    write_weights(folder / "weights")
    return Place(folder, TINY)


@pytest.fixture(scope="module")
def run(place):
    return place.only_run()


def test_every_probe_stands_beside_controls_and_rivals(run):
    table = run.table("reading")
    family = table[(table["target"] == "instrument_family") & (table["split"] == "groups")]
    assert {EMBEDDING, PERMUTED, UNTRAINED, LOGMEL, LEVELS} <= set(family["representation"])
    assert sum("layer" in name for name in set(family["representation"])) == 14
    assert set(family.loc[family["representation"] == EMBEDDING, "probe"]) == set(KINDS)
    assert set(family.loc[family["representation"] == PERMUTED, "probe"]) == set(KINDS)
    assert set(table["target"]) == {"instrument_family", "pitch", "velocity", "instrument_source"}
    published = table[table["paper"].notna()]
    assert set(published["split"]) == {"random"} and set(published["probe"]) == {"svm", "mlp"}
    widths = family[(family["representation"] == EMBEDDING) & (family["probe"] == "mlp")]["width"]
    assert set(widths) == {8, 4}


def test_confusions_and_classes_count_the_same_notes(run):
    counts, classes = run.table("confusions"), run.table("classes")
    tested = run.results["sounds"]["roles"]["test"]
    assert (counts.groupby(["probe", "split"])["count"].sum() == tested).all()
    assert (classes[classes["class"] == "macro average"]["n_clips"] == tested).all()


def test_every_method_moves_every_pair(run):
    notes = run.table("transfer_notes")
    assert set(notes["method"]) == set(METHODS)
    assert (notes.groupby("method").size() == 6).all() and notes["peak"].gt(0).all()
    same = notes[notes["method"] == PLAIN]
    assert (same["nearer_db"] == 0).all()
    pairs = run.table("transfer_pairs")
    assert pairs.groupby("method").size().eq(6).all() and pairs["distance"].gt(0).all()
    methods = run.table("transfers").set_index("method")
    assert methods.loc[REAL, "role"] == "upper bound"
    assert methods.loc["published b A^-1", "median_largest_code"] > methods.loc["pseudo-inverse", "median_largest_code"]


def test_seeds_differ_and_are_all_there(run):
    seeds = run.table("seeds")
    assert set(seeds["seed"]) == {0, 1} and seeds.groupby("seed")["validation"].first().nunique() == 2


def test_the_page_has_its_cloud_with_every_test_note(run):
    page = (run.folder / "report.html").read_text(encoding="utf-8")
    assert "Its training asks for the pitch" in page
    views = run.table("views")
    assert len(views) == run.results["sounds"]["roles"]["test"]
    data = page.split('<script type="application/json">')[1].split("</script>")[0]
    content = json.loads(data)
    assert list(content["views"]) == ["t-SNE, 3-D", "t-SNE, 2-D", "PCA, 2-D"]
    assert [len(axes) for axes in content["views"].values()] == [3, 2, 2]
    assert all(sound.startswith("data:audio/mpeg;base64,") for sound in content["sounds"])
    assert len(content["sounds"]) == len(views)


def test_the_tables_of_the_readme_hold_every_row(run):
    text = timbre_tables([run.record])
    assert text.count("within 50 cents of the note") == 4 and "| mean shift | edit |" in text
    assert text.count(f"| {PERMUTED} |") == len(run.table("reading").query("representation == @PERMUTED"))
    assert "**Cost.**" in text
    network, layer = run.results["judge"]["network"], run.results["judge"]["layer"]
    assert f"| {network} {layer} |" in text and f"hears through {layer}," in (run.folder / "report.html").read_text()
    assert f"| instrument_family | {network} " in text and f"| pitch | {network} " not in text
    earlier = {**run.results, "judge": {"network": network, "accuracy": run.results["judge"]["accuracy"]}}
    assert f"| {network} last layer |" in timbre_tables([{**run.record, "results": earlier}])
    other = {**run.record, "results": {**run.results, "code": {**run.results["code"], "model": "autoencoder"}}}
    assert ", model=autoencoder |" in timbre_tables([other]) and "model=" not in text


def test_the_judge_hears_through_the_layer_that_tells_unheard_notes_best():
    labels, groups = np.arange(60) % 3, np.arange(60) // 3
    role = np.select([groups < 12, groups < 16], ["train", "select"], "test")
    notes = SimpleNamespace(labels=labels, groups=groups, rows=lambda name: np.flatnonzero(role == name))
    rng = np.random.default_rng(0)
    clear, noise = np.eye(3)[labels] + 0.1 * rng.standard_normal((60, 3)), rng.standard_normal((60, 3))
    learnt = np.where((role == "train")[:, None], np.eye(3)[labels], noise)
    hidden = np.where((role == "test")[:, None], np.eye(3)[labels], noise)
    assert clearest_layer(notes, {"1": noise, "2": learnt, "3": clear, "4": hidden}) == "3"
    assert clearest_layer(notes, {"1": clear, "2": clear.copy(), "3": noise}) == "2"


def test_the_same_command_again_gives_the_same_tables(run, place):
    assert place.inside("rerun=true") == 0
    folders = sorted((place.folder / "outputs" / "timbre").iterdir())
    again = Run(folders[-1])
    assert len(folders) == 2
    assert {name: text for name, text in again.tables().items() if name != "seeds.csv"} == {
        name: text for name, text in run.tables().items() if name != "seeds.csv"
    }


def write_notes(root, notes, missing=()):
    """Writes notes in NSynth's layout; `notes` are (instrument, family, pitch, velocity, seconds, rate)."""
    (root / "audio").mkdir(parents=True)
    examples = {}
    for number, (instrument, family, pitch, velocity, seconds, rate) in enumerate(notes):
        name = f"{instrument}-{pitch:03d}-{velocity:03d}-{number}"
        examples[name] = {
            "instrument_str": instrument, "instrument_family_str": family, "instrument_source_str": "acoustic",
            "pitch": pitch, "velocity": velocity,
        }  # fmt: skip
        if number not in missing:
            t = np.arange(round(seconds * rate)) / rate
            tone = 0.3 * np.sin(2 * np.pi * 440 * 2 ** ((pitch - 69) / 12) * t)
            fall = 1 if family == "flute" else np.exp(-9 * t)
            soundfile.write(root / "audio" / f"{name}.wav", tone * fall, rate)
    (root / "examples.json").write_text(json.dumps(examples), encoding="utf-8")
    return root


def some_notes(families=("flute", "guitar"), pitches=range(50, 62)):
    return [
        (f"{family}_acoustic_000", family, pitch, 50 + pitch % 2, 0.6 + 0.1 * (pitch % 3), (16000, 22050)[pitch % 2])
        for family in families
        for pitch in pitches
    ]


FACTORS = ["instrument_family", "pitch", "velocity"]


def test_notes_of_other_lengths_and_rates_are_made_equal_and_missing_ones_left_out(tmp_path):
    write_notes(tmp_path / "notes", some_notes(), missing=(3, 20))
    with pytest.warns(UserWarning, match="2 of 24 clips cannot be used"):
        sounds = NSynth(tmp_path / "notes", factors=FACTORS)
    notes = notes_of(sounds, 16000, 0.65, SHARES, 0, plain)
    assert notes.waveforms.shape == (22, 10400) and np.isfinite(notes.waveforms).all()
    assert 0.2 < notes.padded < 0.5 and notes.source is None
    assert sorted(notes.random_roles) == sorted(notes.roles)
    assert len(np.intersect1d(notes.groups[notes.rows("train")], notes.groups[notes.rows("test")])) == 0


def test_notes_that_cannot_serve_say_why(tmp_path):
    one = write_notes(tmp_path / "one", some_notes(families=("flute",)))
    with pytest.raises(UserError, match="two classes of 'instrument_family'"):
        NSynth(one, factors=FACTORS)
    both = SyntheticInstruments(instruments=2, notes=2, families=["flute", "organ"], duration_s=0.5, threads=1)
    with pytest.raises(UserError, match="two families or more"):
        notes_of(both.subset(np.arange(4)), 16000, 0.5, SHARES, 0, plain)
    few = NSynth(write_notes(tmp_path / "few", some_notes(pitches=(50, 51))), factors=FACTORS)
    with pytest.raises(UserError, match="role 'select'"):
        notes_of(few, 16000, 0.6, SHARES, 0, plain)
    enough = NSynth(write_notes(tmp_path / "enough", some_notes()), factors=FACTORS)
    with pytest.raises(UserError, match="role 'test'"):
        notes_of(enough, 16000, 0.6, {"train": 0.5, "select": 0.5}, 0, plain)
    with pytest.raises(UserError, match="model.sample_rate"):
        notes_of(enough, 8000, 0.6, SHARES, 0, plain)
    with pytest.raises(UserError, match="fit into 16 GB"):
        notes_of(enough, 16000, 1e5, SHARES, 0, plain)
    with pytest.raises(UserError, match="set data.factors"):
        notes_of(NSynth(tmp_path / "enough", factors=["register"]), 16000, 0.6, SHARES, 0, plain)


def test_notes_of_one_velocity_serve_and_it_is_not_read(tmp_path):
    alike = [(*note[:3], 64, *note[4:]) for note in some_notes()]
    write_notes(tmp_path, alike)
    with pytest.raises(UserError, match="two classes of 'velocity', .* leave it out of data.factors"):
        NSynth(tmp_path, factors=FACTORS)
    notes = notes_of(NSynth(tmp_path, factors=FACTORS[:2]), 16000, 0.6, SHARES, 0, plain)
    assert set(notes.velocity) == {64.0} and len(set(notes.pitch)) == 12 and timbre_reading.numbers(notes) == ["pitch"]


def test_splits_of_nsynth_are_read_together(tmp_path):
    for split, pitches in (("nsynth-train", range(50, 58)), ("nsynth-test", range(58, 62))):
        write_notes(tmp_path / split, some_notes(pitches=pitches))
    sounds = NSynth(tmp_path, factors=FACTORS, group_by="instrument")
    assert sounds.fold.value_counts().to_dict() == {"nsynth-train": 16, "nsynth-test": 8}
    assert set(sounds.group) == {"flute_acoustic_000", "guitar_acoustic_000"}
    assert set(sounds.notes) >= {"instrument_source", "instrument"} and len(sounds.notes) == 24
    with pytest.raises(UserError, match="data.group_by"):
        NSynth(tmp_path, group_by="colour")


@pytest.mark.parametrize(
    ("given", "words"),
    [({"probes": ["oracle"]}, "study.probes"), ({"probes": []}, "study.probes"), ({"widths": [0]}, "study.widths"),
     ({"seeds": 0}, "seeds of 1")],
)  # fmt: skip
def test_settings_are_checked(given, words):
    with pytest.raises(UserError, match=words):
        Timbre(**given)


class Context:
    """What the reading takes of a run."""

    seed, progress = 0, staticmethod(plain)

    def __init__(self):
        self.page, self.warnings = self, []

    def warn(self, text):
        self.warnings.append(text)


def orchestra(pitch_of_group):
    """Makes 2 families of 8 groups of 4 notes, from two sources; pitch is what `pitch_of_group(group, note)` says."""
    group = np.repeat(np.arange(16), 4)
    pitch = np.array([float(pitch_of_group(g, i % 4)) for i, g in enumerate(group)])
    factors = pd.DataFrame({"instrument_family": group % 2, "pitch": pitch, "velocity": 64.0})
    rng = np.random.default_rng(0)
    levels = pd.DataFrame({"duration_s": 1.0 + group % 2, "rms_db": rng.normal(size=64), "peak_db": 0.0})
    sounds = SimpleNamespace(factors=factors, levels=levels)
    roles = np.array(["train", "test"])[(group >= 10).astype(int)]
    source = np.array(["acoustic", "electronic"])[np.arange(64) % 2]
    return Notes(
        *(sounds, np.zeros((64, 8), np.float32), ("a", "b"), group % 2, pitch, np.full(64, 64.0), group, roles),
        *(rng.permutation(roles), source, 0.0),
    )


@pytest.mark.parametrize("probe", ["mlp", "linear", "knn"])
def test_any_probe_alone_has_its_control_and_rivals(probe):
    notes = orchestra(lambda group, note: 50 + group // 2)
    features = np.random.default_rng(1).normal(size=(64, 6))
    given = dict.fromkeys((EMBEDDING, LOGMEL), features) | {LEVELS: level_features(notes)}
    table = read_everything(Context(), notes, given, {}, [probe], [4], 3).table
    for target in ("instrument_family", "pitch"):
        read = table[(table["target"] == target) & (table["split"] == "groups")].set_index("representation")["probe"]
        assert read[EMBEDDING] == read[PERMUTED] == read[LEVELS] == probe
        assert read[LOGMEL] == ("svm_tuned" if probe == "mlp" else probe)
    assert set(table.loc[table["target"] == "instrument_source", "representation"]) == set(given)
    seeds = read_seeds(
        notes, [SimpleNamespace(encode=lambda x: x, history=[{"val_loss": 1.0}], seconds=0)], [probe], 4, 0
    )
    assert set(seeds["probe"]) == {probe}


def test_duration_alone_tells_what_duration_gives_away():
    notes = orchestra(lambda group, note: 50 + group // 2)
    table = read_everything(
        Context(), notes, dict.fromkeys((EMBEDDING, LEVELS), level_features(notes)), {}, ["linear"], [4], 3
    ).table
    family = table[(table["target"] == "instrument_family") & (table["split"] == "groups")].set_index("representation")
    assert family.loc[LEVELS, "value"] == 1.0 and family.loc[PERMUTED, "value"] < 0.9


def test_labels_constant_in_groups_are_permuted_over_whole_groups(monkeypatch):
    drawn = []

    def spy(asked):
        for _, questions in asked:
            drawn.extend(question.targets for question in questions if question.numbers)
            yield [np.zeros(len(question.test)) for question in questions]

    monkeypatch.setattr(timbre_reading, "answered", spy)
    for pitch, constant in ((lambda group, note: 50 + group // 2, True), (lambda group, note: 50 + note, False)):
        notes = orchestra(pitch)
        drawn.clear()
        permuted_rows(Context(), notes, np.zeros((64, 2)), ["knn"], 3, 4)
        assert len(drawn) == 3
        for values in drawn:
            assert (values != notes.pitch).any() and sorted(values) == sorted(notes.pitch)
            assert all((np.ptp(values[notes.groups == group]) == 0) == constant for group in range(16))


def test_a_control_that_cannot_be_made_is_told():
    notes = orchestra(lambda group, note: 50 + group // 2)
    notes = dataclasses.replace(notes, groups=notes.labels)
    context = Context()
    rows = permuted_rows(context, notes, np.zeros((64, 2)), ["knn"], 3, 4)
    assert [row["target"] for row in rows] == ["pitch"]
    assert "instrument_family: each class has one group" in context.warnings[0]


def test_intervals_of_nearness_count_the_groups_of_both_notes():
    rng = np.random.default_rng(0)
    real = np.arange(600) % 6
    records = pd.DataFrame(
        {"method": "mean shift", "group": np.arange(600) // 20, "real_group": 100 + real, "is_target": rng.random(600),
         "is_source": 0.5 * rng.random(600), "in_tune": rng.random(600), "pitch_error_cents": 1.0, "peak": 0.5,
         "largest_code": 1.0, "nearer_db": 5.0 * real + rng.random(600)}
    )  # fmt: skip
    (row,) = summarise(records, 0).to_dict("records")
    both = pair_interval(records["nearer_db"], records["group"], records["real_group"], seed=0)
    assert (row["nearer_db_low"], row["nearer_db_high"], row["nearer_db_interval"]) == (both.low, both.high, both.kind)
    assert row["nearer_db_high"] - row["nearer_db_low"] > 5.0  # over source groups alone: below 1 dB
    assert row["n_groups"] == 30 and row["interval"] == "cluster bootstrap"


def test_a_map_changes_what_it_is_to_change():
    sounds = SyntheticInstruments(instruments=4, notes=4, families=["flute", "organ"], duration_s=0.5, threads=1)
    notes = notes_of(sounds, 16000, 0.5, SHARES, 0, plain)
    rng = np.random.default_rng(0)
    codes = (notes.labels[:, None, None] * 3.0 + rng.standard_normal((len(notes.labels), 4, 10))).astype(np.float32)
    maps = fit_maps(notes, codes, 8, 0, None)
    rows = notes.rows("test")[notes.labels[notes.rows("test")] == 0]
    target = codes[maps.train(1)].mean()
    for method in ("mean shift", "Gaussian transport", "ridge on pairs", "network on pairs"):
        assert abs(maps.edit(method, rows, 0, 1).mean() - target) < 1.5, method
    assert (maps.edit(PLAIN, rows, 0, 1) == codes[rows]).all()


def test_distance_predicts_planted_success_and_not_noise():
    rng = np.random.default_rng(0)
    centres = pd.DataFrame(rng.standard_normal((7, 3)), index=list("abcdefg"))
    rows = []
    for a in centres.index:
        for b in centres.index:
            if a != b:
                apart = float(np.linalg.norm(centres.loc[a] - centres.loc[b]))
                row = {"method": "mean shift", "source": a, "target": b}
                rows.append(row | {"is_target": -apart, "nearer_db": rng.random()})
    table = distance_predicts(pd.DataFrame(rows), centres, 0, permutations=199).set_index("measure")
    assert table.loc["is_target", "rho"] == pytest.approx(-1) and table.loc["is_target", "p"] < 0.02
    assert abs(table.loc["nearer_db", "rho"]) < 0.5 and table.loc["nearer_db", "p"] > 0.05
