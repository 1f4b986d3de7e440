"""Each reader on a tiny corpus in the real layout, and on the real one where it is at hand."""

import inspect
import json
import os
import re
import shutil
from pathlib import Path

import corpora
import numpy as np
import pandas as pd
import pytest
from hydra.errors import InstantiationException
from hydra.utils import get_class
from omegaconf import OmegaConf

from audiointerp.data.audio_files import AudioFiles, Reading
from audiointerp.data.esc50 import ESC50
from audiointerp.data.folder import Folder
from audiointerp.data.fsdd import FSDD
from audiointerp.data.maas import MaAS
from audiointerp.data.nsynth import NSynth
from audiointerp.data.rendered import Rendered, Rendering
from audiointerp.signatures import signature_of
from audiointerp.study import UserError

CONF = Path(__file__).parents[2] / "conf" / "data"
REAL = os.environ.get("AUDIOINTERP_DATA")


def test_fsdd(tmp_path):
    corpora.fsdd(tmp_path)
    (tmp_path / "recordings" / "notes.txt").write_text("not a sound")
    sounds = FSDD(tmp_path)
    assert len(sounds) == 24 and list(sounds.factors) == ["digit", "speaker"]
    assert sounds.factors.value_counts().unique().tolist() == [4]
    assert sounds.group.nunique() == 24 and sounds.lengths[0] == 3200
    assert "speaker" in sounds.note and "CC BY-SA" in sounds.attribution
    assert len(FSDD(tmp_path, where={"speaker": "ann"}, factors=["digit", "take"])) == 12
    assert FSDD(tmp_path, factors=["take"]).factors["take"].max() == 3


def test_fsdd_missing(tmp_path):
    with pytest.raises(UserError, match="AUDIOINTERP_DATA"):
        FSDD(tmp_path)
    (tmp_path / "recordings").mkdir()
    with pytest.raises(UserError, match="digit_speaker_take.wav"):
        FSDD(tmp_path)


def test_esc50(tmp_path):
    corpora.esc(tmp_path)
    fifty = ESC50(tmp_path)
    assert len(fifty) == 18 and list(fifty.factors) == ["category", "major"]
    assert fifty.factors[fifty.factors.category == "vacuum_cleaner"].major.unique().tolist() == ["domestic"]
    ten = ESC50(tmp_path, esc10_only=True)
    assert len(ten) == 12 and list(ten.factors) == ["category"] and set(ten.fold) == {"1", "2", "3"}
    assert ten.group[0] == "0000"  # leading zeros are part of the name
    assert ten.fold.groupby(ten.group).nunique().max() == 1 and ten.group.value_counts().unique().tolist() == [2]
    assert set(ESC50(tmp_path, where={"fold": [1, 2]}).fold) == {"1", "2"}


def test_esc50_with_a_wrong_table(tmp_path):
    corpora.esc(tmp_path)
    file = tmp_path / "meta" / "esc50.csv"
    table = pd.read_csv(file)
    table.rename(columns={"src_file": "source_file"}).to_csv(file, index=False)
    with pytest.raises(UserError, match="did you mean 'source_file'"):
        ESC50(tmp_path)
    table.assign(target=77).to_csv(file, index=False)
    with pytest.raises(UserError, match="targets 0 to 49"):
        ESC50(tmp_path)
    file.unlink()
    with pytest.raises(UserError, match="esc50.csv"):
        ESC50(tmp_path)


def test_nsynth(tmp_path):
    corpora.nsynth(tmp_path)
    sounds = NSynth(tmp_path)
    assert len(sounds) == 60 and set(sounds.factors.register) == {"low", "mid", "high"}
    assert sounds.group.value_counts().unique().tolist() == [2]
    assert {path[-4:] for path in sounds.path} == {"flac", ".wav"}
    assert sounds.factors.register.value_counts().min() >= 16
    shared = NSynth(tmp_path, shared_pitch_only=True, factors=["instrument_family", "register", "pitch"])
    assert set(shared.factors.pitch) == set(range(60, 66)) and len(shared) == 24
    assert shared.factors.groupby("register").pitch.max()[["low", "mid", "high"]].is_monotonic_increasing
    assert (pd.crosstab(shared.factors.instrument_family, shared.factors.register) == 4).all().all()
    assert "6 pitches" in shared.note and "specimen" in shared.note
    one = NSynth(tmp_path, where={"instrument_family": "flute"}, factors=["register", "velocity"])
    assert len(one) == 24 and one.factors.register.value_counts().tolist() == [8, 8, 8]


def test_nsynth_missing_audio_is_counted(tmp_path):
    corpora.nsynth(tmp_path)
    (tmp_path / "audio" / "flute_acoustic_000-060-050.flac").unlink()
    with pytest.warns(UserWarning, match="1 of 60 .*missing"):
        assert len(NSynth(tmp_path)) == 59
    shutil.rmtree(tmp_path / "audio")
    with pytest.raises(UserError, match="none is left of 60"):
        NSynth(tmp_path)


def test_nsynth_with_a_wrong_table(tmp_path):
    with pytest.raises(UserError, match="examples.json"):
        NSynth(tmp_path)
    for content, message in [
        ("{", "cannot be read"),
        ("[]", "one entry per note"),
        ('{"a": {"pitch": 1}}', "instrument_str"),
    ]:
        (tmp_path / "examples.json").write_text(content)
        with pytest.raises(UserError, match=message):
            NSynth(tmp_path)
    corpora.nsynth(tmp_path)
    examples = json.loads((tmp_path / "examples.json").read_text())
    for key, value in (("pitch", "C4"), ("velocity", None), ("pitch", 60.5)):
        first = next(iter(examples))
        (tmp_path / "examples.json").write_text(json.dumps({**examples, first: {**examples[first], key: value}}))
        with pytest.raises(UserError, match=f"expected {key} as a whole number .* note '{first}' has"):
            NSynth(tmp_path)
    apart = {n: e for n, e in examples.items() if (e["instrument_family_str"] == "cello") == (e["pitch"] < 60)}
    (tmp_path / "examples.json").write_text(json.dumps(apart))
    with pytest.raises(UserError, match="pitch that all 2 families"):
        NSynth(tmp_path, shared_pitch_only=True)
    with pytest.raises(UserError, match="no instrument_family is 'tuba'"):
        NSynth(tmp_path, shared_pitch_only=True, where={"instrument_family": ["tuba"]})


def test_maas(tmp_path):
    corpora.maas(tmp_path)
    sounds = MaAS(tmp_path, block_s=3.0, keep_mb=0)
    first = sounds.factors[sounds.path == "WW.wav"].drop_duplicates()
    assert first.values.tolist() == [["wood", "whirling"]]
    assert sounds.factors[sounds.path == "MT.wav"].drop_duplicates().values.tolist() == [["metal", "tapping"]]
    assert set(sounds.lengths) == {15360}
    assert sorted(set(sounds.group[sounds.path == "WW.wav"])) == ["WW:0", "WW:1", "WW:2"]
    assert "session" in sounds.note and "Cells without a recording: WR" in sounds.note
    assert sounds.levels.peak_db.groupby(sounds.path).max().between(-0.3, 0.01).all()
    assert 0.85 < np.abs(sounds.waveform(0)).max() < 1.05


def test_maas_blocks_share_no_sound(tmp_path):
    corpora.maas(tmp_path)
    sounds = MaAS(tmp_path, block_s=3.0, gap_s=1.0)
    one = sounds.path == "WT.wav"
    start = np.array([int(key.split(":")[1]) / 48000 for key, take in zip(sounds.clip_keys, one, strict=True) if take])
    spans = pd.DataFrame({"group": sounds.group[one].tolist(), "start": start, "stop": start + 0.96})
    spans = spans.groupby("group").agg({"start": "min", "stop": "max"})
    assert (spans.start.to_numpy()[1:] - spans.stop.to_numpy()[:-1] >= 0.96).all()
    assert (np.diff(start) > 0.479).all() and spans.start.tolist() == [0, 4, 8]


def test_maas_reverberated_copies_lie_in_their_sources_groups(tmp_path):
    corpora.maas(tmp_path)
    sounds = MaAS(tmp_path, block_s=3.0, reverberated="reverb", factors=["material", "room"])
    rooms = sounds.factors.room.groupby(sounds.group).nunique()
    assert (rooms == 2).all() and len(rooms) == 12
    assert sounds.path.str.startswith("reverb/").mean() == 0.5


def test_maas_mistakes(tmp_path):
    corpora.maas(tmp_path)
    for change in [{"gap_s": 0.5}, {"block_s": 0.5}, {"hop_s": 0}, {"window_s": -1}]:
        with pytest.raises(UserError, match="expected window_s"):
            MaAS(tmp_path, **change)
    with pytest.raises(UserError, match="reverberated"):
        MaAS(tmp_path, reverberated="nowhere")
    (tmp_path / "WR.wav").write_bytes(b"nothing")
    corpora.save(tmp_path / "XX.wav", corpora.tone(0))
    corpora.save(tmp_path / "MR.wav", corpora.tone(0, 0.5))
    with pytest.warns(UserWarning, match="3 of ") as caught:
        sounds = MaAS(tmp_path)
    assert len(caught) == 1
    assert dict(zip(sounds.dropped.path, sounds.dropped.reason.str.split().str[0], strict=True)) == {
        "WR.wav": "corrupt",
        "XX.wav": "its",
        "MR.wav": "shorter",
    }
    with pytest.raises(UserError, match="<material><action>.wav"):
        MaAS(corpora.fsdd(tmp_path / "other") / "recordings")


@pytest.mark.parametrize("rate", [11025, 22050, 44100])
def test_maas_of_any_rate_loses_no_window_to_rounding(tmp_path, rate, recwarn):
    for seed, name in enumerate(["WT", "MR"]):
        corpora.save(
            tmp_path / f"{name}.wav", corpora.tone(seed, np.ceil((0.97 + 5 * 0.481) * rate) / rate, rate), rate
        )
    sounds = MaAS(tmp_path, window_s=0.97, hop_s=0.481)
    assert len(sounds) == 12 and not recwarn.list
    assert {len(sounds.waveform(i)) for i in range(12)} == {15520}


def test_folder(tmp_path):
    corpora.table(tmp_path)
    sounds = Folder(tmp_path)
    assert list(sounds.factors) == ["material", "action", "weight"] and sounds.note == ""
    assert sounds.factors.weight.tolist() == [i / 2 for i in range(8)]
    assert sounds.group.tolist() == [f"g{i // 2}" for i in range(8)]
    assert len(Folder(tmp_path, where={"action": ["run"]}, factors=["material"])) == 4
    assert Folder(tmp_path, factors=["weight"], categorical=["weight"]).factors.weight.tolist()[1] == "0.5"


def test_folder_columns_may_have_other_names(tmp_path):
    corpora.table(tmp_path)
    table = pd.read_csv(tmp_path / "index.csv").assign(part=[1, 2] * 4)
    table = table.rename(columns={"path": "file", "group": "object"})
    table["file"] = table.file.str.replace("/", "\\")
    table.to_csv(tmp_path / "list.csv", index=False, encoding="utf-8-sig")
    sounds = Folder(tmp_path, index="list.csv", path_column="file", group_column="object", fold_column="part")
    assert sounds.path[0] == "s/0.wav" and sounds.group[0] == "g0" and sounds.fold[1] == "2"
    alone = Folder(tmp_path, index="list.csv", path_column="file", factors=["material"])
    assert alone.group.nunique() == 8 and "own group" in alone.note


def test_folder_windows(tmp_path):
    starts = np.repeat([0, 0.1, 0.15, 0.2], 2)
    corpora.table(tmp_path, path=["s/0.wav", "s/1.wav"] * 4, start_s=starts, stop_s=[0.25] * 8)
    sounds = Folder(tmp_path, factors=["material", "action"])
    assert sounds.levels.duration_s.tolist() == pytest.approx(np.repeat([0.25, 0.15, 0.1, 0.05], 2).tolist())


def test_folder_mistakes(tmp_path):
    corpora.table(tmp_path)
    file = tmp_path / "index.csv"
    table = pd.read_csv(file)
    cases = [
        ({"index": "none.csv"}, "set data.index"),
        ({"path_column": "pth"}, "did you mean 'path'"),
        ({"group_column": "surface"}, "data.group_column"),
        ({"fold_column": "fold"}, "data.fold_column"),
        ({"factors": ["materail"]}, "did you mean 'material'"),
    ]
    for change, message in cases:
        with pytest.raises(UserError, match=message):
            Folder(tmp_path, **change)
    for content, message in [
        (b"", "CSV in UTF-8"),
        (b"path,a\n", "has none"),
        (b'path,a\n"x,1\n', "CSV in UTF-8"),
        (b"path,a\nx,\xff\xfe\n", "CSV in UTF-8"),
        (table.drop(columns="path").to_csv(index=False).encode(), "expected a column 'path'"),
        (table.assign(start_s="soon").to_csv(index=False).encode(), "expected seconds"),
        (table[["path"]].to_csv(index=False).encode(), "set data.factors"),
    ]:
        file.write_bytes(content)
        with pytest.raises(UserError, match=message):
            Folder(tmp_path)


def test_folder_rows_without_a_file_are_counted(tmp_path):
    corpora.table(tmp_path)
    table = pd.read_csv(tmp_path / "index.csv")
    table.loc[0, "path"], table.loc[1, "path"] = "s/none.wav", None
    table.to_csv(tmp_path / "index.csv", index=False)
    with pytest.warns(UserWarning, match="2 of 8 clips") as caught:
        sounds = Folder(tmp_path)
    assert len(caught) == 1 and sounds.dropped.path.tolist() == ["s/none.wav", "(empty path)"]
    assert sounds.dropped.reason.tolist() == ["missing", "missing"]


SHARED = {Reading: AudioFiles, Rendering: Rendered}


@pytest.mark.parametrize("shared", SHARED)
def test_what_readers_share_is_what_their_base_takes(shared):
    base = SHARED[shared]
    taken, keys = signature_of(f"{base.__module__}.{base.__name__}"), set(shared.__annotations__)
    targets = {OmegaConf.load(file).get("_target_") for file in CONF.glob("*.yaml")} - {None}
    targets = {target for target in targets if issubclass(get_class(target), base)}
    assert len(targets) >= 6
    for target in targets - {"audiointerp.data.syntone.SynTone"}:  # keeps no clips in memory, renders none by threads
        reader = signature_of(target)
        assert keys <= set(reader.names) and not keys & reader.required and not reader.accepts_any, target
        assert {key: reader.annotations[key] for key in keys} == {key: taken.annotations[key] for key in keys}, target


@pytest.mark.parametrize("shared", SHARED)
def test_what_readers_share_is_told_with_its_defaults(shared):
    told = dict(re.findall(r"^ {4}(\w+): (.*?)(?=^ {4}\w|\Z)", inspect.getdoc(shared), re.MULTILINE | re.DOTALL))
    defaults = {key: inspect.signature(SHARED[shared]).parameters[key].default for key in shared.__annotations__}
    assert set(told) == set(defaults)
    for key, default in defaults.items():
        assert "default" in told[key] and (default is False or str(default) in told[key]), key


def test_a_setting_that_no_reader_has_is_refused_also_in_python(tmp_path):
    with pytest.raises(TypeError, match="clps"):
        FSDD(corpora.fsdd(tmp_path), clps=3)


def compose(name, data, tmp_path, **changes):
    """Instantiates a config of conf/data the way a run does."""
    from hydra.utils import instantiate

    whole = {"paths": {"data": str(data), "cache": str(tmp_path)}, "seed": 0, "backbone": {"sample_rate": 16000}}
    config = OmegaConf.create({**whole, "data": OmegaConf.load(CONF / f"{name}.yaml")})
    return instantiate(OmegaConf.merge(config, {"data": changes}).data)


@pytest.mark.parametrize("name", sorted(path.stem for path in CONF.glob("*.yaml") if "data" in path.parts))
def test_configs_build_their_reader(name, tmp_path):
    makers = {
        "folder": lambda folder: corpora.table(folder.parent),
        "fsdd": corpora.fsdd,
        "esc10": corpora.esc,
        "esc50": corpora.esc,
        "nsynth": corpora.nsynth,
        "orchestra_nsynth": corpora.nsynth,
        "footsteps": corpora.table,
        "maas": corpora.maas,
    }
    if name not in makers:
        pytest.skip(f"{name} is synthetic")
    makers[name](tmp_path / "data" / name)
    assert (CONF / f"{name}.yaml").read_text().startswith("# ")
    sounds = compose(name, tmp_path / "data", tmp_path, clips=6, where=None)
    assert len(sounds) == 6 and sounds.sample_rate == 16000
    with pytest.raises(InstantiationException, match="AUDIOINTERP_DATA") as error:
        compose(name, tmp_path / "none", tmp_path)
    assert isinstance(error.value.__cause__, UserError)


@pytest.mark.real
@pytest.mark.skipif(not REAL, reason="AUDIOINTERP_DATA is not set")
@pytest.mark.parametrize(
    ("name", "clips", "groups"),
    [("fsdd", 2000, 2000), ("esc10", 320, 247), ("footsteps", 298, 20), ("orchestra_nsynth", 1100, 446)],
)
def test_real_corpora_are_whole(name, clips, groups, tmp_path):
    sounds = compose(name, REAL, tmp_path)
    assert (len(sounds), sounds.group.nunique(), len(sounds.dropped)) == (clips, groups, 0)
    assert len(set(sounds.clip_keys)) == clips
    assert sounds.waveform(clips - 1).shape == (sounds.lengths[-1],)
    assert compose(name, REAL, tmp_path).fingerprint == sounds.fingerprint
