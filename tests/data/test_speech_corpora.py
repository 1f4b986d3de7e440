"""Readers of speech, urban sounds and calls on tiny corpora in the real layouts; annotations as they are written."""

import json

import corpora
import numpy as np
import pandas as pd
import pytest

from audiointerp.data.events import frame_labels, read_ava, read_chime5, read_rttm, united, within
from audiointerp.data.sonyc_ust import SONYCUST
from audiointerp.data.speech_corpora import SpeakerFolders, SpeechTimes
from audiointerp.data.urbansound8k import UrbanSound8K
from audiointerp.data.zebra_finch import ZebraFinch
from audiointerp.study import UserError

RTTM = """SPEAKER EN2001a 1 0.50 1.00 <NA> <NA> A <NA> <NA>
SPEAKER EN2001a 1 1.20 0.80 <NA> <NA> B <NA> <NA>
SPKR-INFO EN2001a 1 <NA> <NA> <NA> unknown A <NA>
SPEAKER EN2001a 1 3.00 0.25 <NA> <NA> A <NA> <NA>
"""


def looped_labels(spans, frames, rate):
    return [int(any(a <= t / rate < b for a, b in spans)) for t in range(frames)]


def test_frames_are_labelled_as_a_loop_over_spans_does():
    rng = np.random.default_rng(0)
    starts = rng.uniform(0, 9, 12)
    spans = united(np.stack([starts, starts + rng.uniform(0, 0.7, 12)], axis=1))
    assert frame_labels(spans, 800, 80.0).tolist() == looped_labels(spans, 800, 80.0)
    assert (spans[1:, 0] > spans[:-1, 1]).all() and len(united([(1.0, 1.0)])) == 0
    cut = within(spans, 2.0, 5.0)
    assert frame_labels(cut, 240, 80.0).tolist() == frame_labels(spans, 800, 80.0)[160:400].tolist()


def test_ami_in_rttm(tmp_path):
    corpora.save(tmp_path / "audio" / "EN2001a.Mix-Headset.wav", corpora.tone(0, 5.0))
    corpora.save(tmp_path / "audio" / "other.wav", corpora.tone(1, 5.0))
    (tmp_path / "rttm").mkdir()
    (tmp_path / "rttm" / "EN2001a.rttm").write_text(RTTM)
    assert read_rttm(tmp_path / "rttm" / "EN2001a.rttm")["EN2001a"].tolist() == [[0.5, 2.0], [3.0, 3.25]]
    sounds = SpeechTimes(tmp_path, window_s=1.0)
    assert len(sounds) == 5 and set(sounds.group) == {"EN2001a.Mix-Headset"} and len(sounds.waveform(2)) == 16000
    assert [spans.tolist() for spans in sounds.events] == [[[0.5, 1.0]], [[0.0, 1.0]], [], [[0.0, 0.25]], []]
    assert sounds.factors["speech_s"].tolist() == pytest.approx([0.5, 1.0, 0.0, 0.25, 0.0])
    with pytest.raises(UserError, match="recordings of at least 9 s with rttm annotations"):
        SpeechTimes(tmp_path, window_s=9.0)
    with pytest.raises(UserError, match="expected data.annotation of rttm, ava, chime5"):
        SpeechTimes(tmp_path, annotation="textgrid")
    with pytest.raises(UserError, match=r"expected ava annotations \(\*.csv\)"):
        SpeechTimes(tmp_path, annotation="ava")


def test_chime5_and_ava(tmp_path):
    entries = [
        {"start_time": {"original": "0:00:01.50"}, "end_time": {"original": "0:00:02.00"}},
        {"start_time": "1:00:00.00", "end_time": "1:00:01.25"},
    ]
    (tmp_path / "S02.json").write_text(json.dumps(entries))
    assert read_chime5(tmp_path / "S02.json").tolist() == [[1.5, 2.0], [3600.0, 3601.25]]
    corpora.save(tmp_path / "S02_P05.wav", corpora.tone(0, 4.0))
    assert [s.tolist() for s in SpeechTimes(tmp_path, "chime5").events] == [[[1.5, 2.0]], []]
    clocks = {"original": "0:00:01.50", "P05": "0:00:02.50"}, {"original": "0:00:02.00", "P05": "0:00:03.00"}
    (tmp_path / "S02.json").write_text(json.dumps([dict(zip(("start_time", "end_time"), clocks, strict=True))]))
    assert [s.tolist() for s in SpeechTimes(tmp_path, "chime5").events] == [[], [[0.5, 1.0]]]
    assert read_chime5(tmp_path / "S02.json", "U01").tolist() == [[1.5, 2.0]]
    for reader, text in ((read_chime5, "{}x"), (read_ava, "vid,0.0\n"), (read_rttm, "SPEAKER a 1 x 1\n")):
        (tmp_path / "bad").write_text(text)
        with pytest.raises(UserError, match="expected .* in .*bad"):
            reader(tmp_path / "bad")
    (tmp_path / "bad").write_text("nothing\n")
    with pytest.raises(UserError, match="lines that begin with SPEAKER"):
        read_rttm(tmp_path / "bad")
    with pytest.raises(UserError, match="they cannot be read"):
        read_rttm(tmp_path / "missing.rttm")


def test_ava_is_known_where_it_is_labelled(tmp_path):
    (tmp_path / "ava.csv").write_text("vid,900.0,902.0,NO_SPEECH\nvid,902.0,903.5,SPEECH_WITH_MUSIC\n")
    spans, labelled = read_ava(tmp_path / "ava.csv")
    assert spans["vid"].tolist() == [[902.0, 903.5]] and labelled["vid"] == (900.0, 903.5)
    corpora.save(tmp_path / "vid.wav", corpora.tone(0, 6.0))
    cut = SpeechTimes(tmp_path, "ava", window_s=1.0, offset_s=900.0)
    assert len(cut) == 3 and [s.tolist() for s in cut.events] == [[], [], [[0.0, 1.0]]]
    late = SpeechTimes(tmp_path, "ava", window_s=1.0, offset_s=898.5)
    assert [s.tolist() for s in late.events] == [[], [], [[0.0, 1.0]]]
    assert late.waveform(0)[:4].tolist() == pytest.approx(corpora.tone(0, 6.0)[24000:24004], abs=1e-4)
    with pytest.raises(UserError, match="900 for AVA-Speech cut to what is labelled"):
        SpeechTimes(tmp_path, "ava", window_s=1.0)
    with pytest.raises(UserError, match="data.offset_s of 0 or more"):
        SpeechTimes(tmp_path, "ava", offset_s=-1.0)


def sonyc(root, rows, extra=()):
    columns = ["split", "sensor_id", "audio_filename", "annotator_id", "1-1_small_presence", "1-X_unclear_presence"]
    columns += ["1_engine_presence", "8_dog_presence", *extra]
    for number, name in enumerate(sorted({row[2] for row in rows})):
        corpora.save(root / "audio-0" / name, corpora.tone(number, 0.5))
    pd.DataFrame(rows, columns=columns).to_csv(root / "annotations.csv", index=False)


def test_sonyc_ust(tmp_path):
    rows = [
        ("train", 1, "a.wav", 17, 0, 1, 1, 0),
        ("train", 1, "a.wav", 18, 0, 0, 0, 0),
        ("validate", 2, "b.wav", 17, 0, 0, 0, 1),
        ("validate", 2, "b.wav", 0, 1, 0, 1, -1),
        ("test", 1, "c.wav", 0, 0, 0, 0, 0),
    ]
    sonyc(tmp_path, rows)
    sounds = SONYCUST(tmp_path)
    assert list(sounds.tags) == ["engine", "dog"]
    # One annotator is enough, the authors' labels come before all others', and a clip may have none.
    assert sounds.tags.to_numpy().tolist() == [[True, False], [True, False], [False, False]]
    assert sounds.fold.tolist() == ["train", "validation", "test"] and sounds.group.tolist()[0] == "sensor 1"
    fine = SONYCUST(tmp_path, level="fine")
    assert list(fine.tags) == ["small"] and fine.tags["small"].tolist() == [False, True, False]
    for settings, message in (({"level": "middle"}, "data.level of coarse, fine"), ({"factors": ["x"]}, "'x'")):
        with pytest.raises(UserError, match=message):
            SONYCUST(tmp_path, **settings)
    table = pd.read_csv(tmp_path / "annotations.csv")
    for broken, message in (
        (table.drop(columns="sensor_id"), "expected a column 'sensor_id'"),
        (table.assign(split="dev"), "expected splits train, validate, test in .*, got 'dev'"),
        (table[[c for c in table if "presence" not in c]], "columns such as 1_engine_presence"),
    ):
        broken.to_csv(tmp_path / "annotations.csv", index=False)
        with pytest.raises(UserError, match=message):
            SONYCUST(tmp_path)
    (tmp_path / "empty").mkdir()
    table.to_csv(tmp_path / "empty" / "annotations.csv", index=False)
    with pytest.raises(UserError, match="expected sound files"):
        SONYCUST(tmp_path / "empty")


def test_librispeech_and_voxceleb(tmp_path):
    for speaker, chapter in [("84", "1"), ("84", "2"), ("174", "5"), ("174", "6"), ("251", "7")]:
        name = f"{speaker}-{chapter}-0000.flac"
        corpora.save(tmp_path / "dev-clean" / speaker / chapter / name, corpora.tone(int(chapter), 1.2))
    corpora.save(tmp_path / "dev-clean" / "84" / "1" / "84-1-0001.flac", corpora.tone(9, 0.4))
    sounds = SpeakerFolders(tmp_path, most_s=1.0)
    assert len(sounds) == 5 and set(sounds.factors["speaker"]) == {"84", "174", "251"}
    assert sounds.group.nunique() == 5 and set(sounds.lengths) == {16000}
    assert set(SpeakerFolders(tmp_path, most_s=1.0, speakers=2).factors["speaker"]) == {"84", "174"}
    chosen = SpeakerFolders(tmp_path, most_s=1.0, where={"speaker": ["84", "251"]})
    assert chosen.factors["speaker"].tolist() == ["251", "84", "84"]
    with pytest.raises(UserError, match="of at least 9 s"):
        SpeakerFolders(tmp_path, most_s=9.0)


def test_urbansound8k(tmp_path):
    rows = []
    for number, (kind, fold) in enumerate([("siren", 1), ("drilling", 1), ("siren", 2), ("drilling", 2)]):
        name = f"{100 + number}-{number % 2}-0-0.wav"
        corpora.save(tmp_path / "audio" / f"fold{fold}" / name, corpora.tone(number, 0.5, 44100), 44100)
        rows.append((name, 100 + number, 0.0, 0.5, 1 + number % 2, fold, number % 2, kind))
    columns = ["slice_file_name", "fsID", "start", "end", "salience", "fold", "classID", "class"]
    table = pd.DataFrame(rows, columns=columns)
    (tmp_path / "metadata").mkdir()
    table.to_csv(tmp_path / "metadata" / "UrbanSound8K.csv", index=False)
    sounds = UrbanSound8K(tmp_path)
    assert sounds.factors["category"].tolist() == ["siren", "drilling"] * 2 and sounds.fold.tolist() == list("1122")
    assert sounds.group.nunique() == 4 and sounds.lengths.tolist() == [8000] * 4
    table.drop(columns="fsID").to_csv(tmp_path / "metadata" / "UrbanSound8K.csv", index=False)
    with pytest.raises(UserError, match="expected a column 'fsID'"):
        UrbanSound8K(tmp_path)


def test_zebra_finch(tmp_path):
    names = ["BlaBla0506_110302-DC-01.wav", "BlaBla0506_110302-Te-02.wav", "WhiLbl0010_120429-DC-46.wav"]
    for number, name in enumerate([*names, "WhiLbl0010_120429-XX-01.wav"]):
        corpora.save(tmp_path / "AdultVocalizations" / name, corpora.tone(number, 0.3))
    corpora.save(tmp_path / "ChickVocalizations" / "LblRed0613_110601-LT-01.wav", corpora.tone(7, 0.3))
    corpora.save(tmp_path / "notes.wav", corpora.tone(8, 0.3))
    with pytest.warns(UserWarning, match="no call type is written 'XX'"):
        sounds = ZebraFinch(tmp_path, factors=["call", "age"])
    assert sorted(sounds.factors["call"]) == ["distance", "distance", "long tonal", "tet"]
    assert sounds.group.nunique() == 3 and (sounds.factors["age"] == "chick").sum() == 1
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="files such as BlaBla0506_110302-DC-01.wav"):
        ZebraFinch(tmp_path / "empty")
