"""Files of every kind are found good or bad once, the measurements are kept, and an edit is never missed."""

import os
import pickle
import warnings

import corpora
import numpy as np
import pandas as pd
import pytest

from audiointerp import audio
from audiointerp.data.audio_files import AudioFiles
from audiointerp.data.base import nearest
from audiointerp.study import UserError


def listing(paths, **columns):
    n = len(paths)
    defaults = {"path": list(paths), "kind": [("a", "b")[i % 2] for i in range(n)]}
    return pd.DataFrame({**defaults, **columns})


@pytest.fixture
def good(tmp_path):
    """Six good files of several formats, rates and numbers of channels."""
    root = tmp_path / "sounds"
    kinds = [("0.wav", 44100, 2), ("1.flac", 8000, 1), ("2.ogg", 44100, 2), ("d/3.wav", 16000, 1), ("4.wav", 48000, 1)]
    for seed, (name, rate, channels) in enumerate([*kinds, ("5.wav", 22050, 3)]):
        corpora.save(root / name, corpora.tone(seed, 0.3, rate, channels), rate)
    return root, [name for name, _, _ in kinds] + ["5.wav"]


def add_bad(root):
    (root / "corrupt.wav").write_bytes(b"RIFF1234 no sound")
    corpora.save(root / "empty.wav", np.zeros(0))
    corpora.save(root / "silent.wav", np.zeros(4000))
    corpora.save(root / "nan.wav", np.array([0.1, np.nan, 0.2] * 500), subtype="FLOAT")
    words = {"corrupt": "corrupt", "empty": "empty", "silent": "silent", "nan": "finite", "no": "missing"}
    return {f"{name}.wav": word for name, word in words.items()}


def counted(monkeypatch):
    """Counts how many files are decoded for measurement."""
    seen = []
    plain = audio.measure
    monkeypatch.setattr(audio, "measure", lambda path, windows: seen.append(path.name) or plain(path, windows))
    return seen


def test_any_format_rate_and_channels(good):
    root, paths = good
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sounds = AudioFiles(root, listing(paths), ["kind"])
    assert len(sounds) == 6 and sounds.dropped.empty and sounds.fold is None
    assert sounds.path[3] == "d/3.wav" and sounds.group[3] == "d/3.wav"
    for i in range(6):
        wave = sounds.waveform(i)
        assert wave.dtype == np.float32 and wave.shape == (sounds.lengths[i],) == (4800,)
        assert 20 * np.log10(np.sqrt(np.mean(wave**2))) == pytest.approx(sounds.levels.rms_db[i], abs=0.3)
        assert sounds.levels.duration_s[i] == pytest.approx(0.3, abs=1e-4)
        peak_hz = np.argmax(np.abs(np.fft.rfft(wave))) * 16000 / len(wave)
        assert peak_hz == pytest.approx(200 + 37 * i, abs=4)


def test_bad_files_are_dropped_in_one_warning(good):
    root, paths = good
    bad = add_bad(root)
    with pytest.warns(UserWarning, match="5 of 11 clips cannot be used") as caught:
        sounds = AudioFiles(root, listing([*paths, *bad]), ["kind"])
    assert len(caught) == 1 and "\n" not in str(caught[0].message) and "corrupt.wav" in str(caught[0].message)
    assert len(sounds) == 6
    reasons = dict(zip(sounds.dropped.path, sounds.dropped.reason, strict=True))
    assert set(reasons) == set(bad) and all(word in reasons[name] for name, word in bad.items())


def test_strict_names_the_bad_files(good):
    root, paths = good
    bad = add_bad(root)
    with pytest.raises(UserError, match="strict=false") as error:
        AudioFiles(root, listing([*paths, *bad]), ["kind"], strict=True)
    assert all(name in str(error.value) for name in bad)


def test_users_mistakes(good, tmp_path):
    root, paths = good
    table = listing(paths, size=[1] * 6, half=["x"] * 3 + ["y"] * 3)
    cases = [
        ({"root": tmp_path / "none"}, "paths.data=FOLDER or AUDIOINTERP_DATA"),
        ({"factors": ["kindd"]}, "did you mean 'kind'"),
        ({"factors": []}, "expected factors"),
        ({"factors": ["kind", "kind"]}, "each named once"),
        ({"factors": ["size"]}, "at least two classes of 'size'"),
        ({"where": {"kind": ["a"]}}, "at least two classes of 'kind'"),
        ({"where": {"kidn": ["a"]}}, "did you mean 'kind'"),
        ({"where": {"half": ["z"]}}, "no half is 'z'"),
        ({"pad": "mirror"}, "floor, zeros, repeat"),
        ({"clips": 0}, "number of clips"),
        ({"sample_rate": 0}, "positive sample_rate"),
        ({"table": listing([paths[0], *paths])}, "listed more than once"),
        ({"table": listing(["x.wav", "y.wav"])}, "none is left of 2"),
        ({"table": table.iloc[:0]}, "selection is empty"),
    ]
    for change, message in cases:
        with pytest.raises(UserError, match=message):
            AudioFiles(**{"root": root, "table": table, "factors": ["kind"]} | change)


def test_nearest_says_so_when_there_is_nothing_near():
    assert nearest("xyz", ["digit"]) == "(there are: digit)"


def test_a_clip_without_a_label_is_dropped(good):
    root, paths = good
    with pytest.warns(UserWarning, match="no value for kind"):
        sounds = AudioFiles(root, listing(paths, kind=["a", "b", None, "a", "b", ""]), ["kind"])
    assert len(sounds) == 4


def test_numbers_stay_numbers_and_classes_become_text(good):
    root, paths = good
    sounds = AudioFiles(root, listing(paths, pitch=range(6), loud=[True, False] * 3), ["pitch", "loud"])
    assert sounds.factors.pitch.tolist() == list(range(6))
    assert sounds.factors.loud.tolist() == ["True", "False"] * 3


def test_copies_in_different_groups_are_told(good):
    root, paths = good
    (root / "copy.wav").write_bytes((root / "4.wav").read_bytes())
    with pytest.warns(UserWarning, match="2 clips have the same content") as caught:
        AudioFiles(root, listing([*paths, "copy.wav"]), ["kind"])
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        AudioFiles(root, listing([*paths, "copy.wav"], group=[*paths, "4.wav"]), ["kind"])


def test_a_second_opening_reads_nothing_and_an_edit_is_read(good, tmp_path, monkeypatch):
    root, paths = good
    monkeypatch.setattr("audiointerp.data.scan.FRESH_NS", 0)
    seen = counted(monkeypatch)
    first = AudioFiles(root, listing(paths), ["kind"], cache=tmp_path / "cache")
    assert sorted(seen) == sorted(os.path.basename(path) for path in paths)
    seen.clear()
    again = AudioFiles(root, listing(paths), ["kind"], cache=tmp_path / "cache")
    assert not seen and again.fingerprint == first.fingerprint
    pd.testing.assert_frame_equal(again.levels, first.levels)
    assert len(list((tmp_path / "cache" / "sounds").glob("*/scan.csv"))) == 1

    edited, stat = root / "4.wav", (root / "4.wav").stat()
    corpora.save(edited, corpora.tone(9, 0.3, 48000), 48000)
    os.utime(edited, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # same size, same time of modification
    assert edited.stat().st_size == stat.st_size
    after = AudioFiles(root, listing(paths), ["kind"], cache=tmp_path / "cache")
    assert seen == ["4.wav"] and after.fingerprint != first.fingerprint
    fresh = AudioFiles(root, listing(paths), ["kind"])
    assert after.fingerprint == fresh.fingerprint
    pd.testing.assert_frame_equal(after.levels, fresh.levels)


def test_young_files_are_never_trusted_by_their_times(good, tmp_path):
    root, paths = good
    AudioFiles(root, listing(paths), ["kind"], cache=tmp_path)
    scan = pd.read_csv(next(tmp_path.glob("sounds/*/scan.csv")))
    assert (scan["size"] == -2).all() and scan.sha256.nunique() == 6


def test_a_renamed_file_is_known_by_its_content(good, tmp_path, monkeypatch):
    root, paths = good
    AudioFiles(root, listing(paths), ["kind"], cache=tmp_path / "cache")
    (root / "4.wav").rename(root / "new.wav")
    seen = counted(monkeypatch)
    renamed = [path if path != "4.wav" else "new.wav" for path in paths]
    AudioFiles(root, listing(renamed), ["kind"], cache=tmp_path / "cache")
    assert not seen


def test_a_scan_that_cannot_be_kept_or_read_is_no_obstacle(good, tmp_path):
    root, paths = good
    (tmp_path / "file").write_text("")
    with pytest.warns(UserWarning, match="could not be kept"):
        AudioFiles(root, listing(paths), ["kind"], cache=tmp_path / "file")
    AudioFiles(root, listing(paths), ["kind"], cache=tmp_path)
    next(tmp_path.glob("sounds/*/scan.csv")).write_text("something,else\n1,2\n")
    assert len(AudioFiles(root, listing(paths), ["kind"], cache=tmp_path)) == 6


def test_an_interrupted_scan_keeps_what_it_has(good, tmp_path):
    root, paths = good

    def interrupt(found, *, description, total):
        assert description == "reading sounds" and total == 6
        yield next(iter(found))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        AudioFiles(root, listing(paths), ["kind"], cache=tmp_path, progress=interrupt)
    assert len(pd.read_csv(next(tmp_path.glob("sounds/*/scan.csv")))) == 1


def test_fingerprint_follows_content_order_and_preprocessing_not_labels(good, tmp_path):
    root, paths = good
    base = AudioFiles(root, listing(paths), ["kind"]).fingerprint
    assert AudioFiles(root, listing(paths, kind=list("aabbab")), ["kind"]).fingerprint == base
    others = [
        AudioFiles(root, listing(paths[::-1]), ["kind"]),
        AudioFiles(root, listing(paths), ["kind"], sample_rate=8000),
        AudioFiles(root, listing(paths), ["kind"], pad="zeros"),
        AudioFiles(root, listing(paths), ["kind"], normalise=True),
        AudioFiles(root, listing(paths, start_s=0.1), ["kind"]),
        AudioFiles(root, listing(paths, start_s=0.1, stop_s=0.2), ["kind"]),
    ]
    assert len({base, *(sounds.fingerprint for sounds in others)}) == 7


def test_windows_share_a_file_and_are_measured_one_by_one(tmp_path):
    wave = np.concatenate([corpora.tone(1, 1.0, 48000), 0.1 * corpora.tone(2, 1.0, 48000)])
    corpora.save(tmp_path / "long.wav", wave, 48000, subtype="FLOAT")
    table = listing(["long.wav"] * 4, start_s=[0, 0.5, 1.0, 1.5], stop_s=[0.5, 1.0, 1.5, 9.0])
    with pytest.warns(UserWarning, match="not inside"):
        sounds = AudioFiles(tmp_path, table, ["kind"], normalise=True)
    assert len(sounds) == 3 and sounds.lengths.tolist() == [8000] * 3
    peaks = [np.abs(sounds.waveform(i)).max() for i in range(3)]
    assert 20 * np.log10(peaks) == pytest.approx(sounds.levels.peak_db.to_numpy(), abs=0.8)  # noise over 8 kHz is gone
    assert sounds.levels.rms_db[0] - sounds.levels.rms_db[2] == pytest.approx(20, abs=0.5)


def test_subsample_is_balanced_nested_and_seeded(tmp_path):
    root = corpora.table(tmp_path, 16, material=["wood"] * 10 + ["metal"] * 6, action=["walk", "run"] * 8)
    table = pd.read_csv(root / "index.csv")
    few, more = (AudioFiles(root, table, ["material", "action"], clips=n) for n in (8, 12))
    assert few.factors.value_counts().tolist() == [2, 2, 2, 2]
    assert more.factors.value_counts().tolist() == [3, 3, 3, 3]
    assert set(few.path) < set(more.path)
    assert few.path.tolist() == AudioFiles(root, table, ["material", "action"], clips=8).path.tolist()
    assert few.path.tolist() != AudioFiles(root, table, ["material", "action"], clips=8, seed=1).path.tolist()
    assert len(AudioFiles(root, table, ["material", "action"], clips=99)) == 16


def test_subsample_replaces_what_cannot_be_used(tmp_path, monkeypatch):
    root = corpora.table(tmp_path, 16)
    table = pd.read_csv(root / "index.csv")
    first = AudioFiles(root, table, ["material", "action"], clips=8)
    (root / first.path[0]).write_bytes(b"broken")
    seen = counted(monkeypatch)
    with pytest.warns(UserWarning, match="1 of 9 clips"):
        second = AudioFiles(root, table, ["material", "action"], clips=8)
    assert second.factors.value_counts().tolist() == [2, 2, 2, 2]
    assert len(set(seen)) == 9  # what is not chosen is not read
    assert first.path[0] in second.dropped.path.tolist()


def test_kept_waveforms_are_safe_and_stay_out_of_workers(good):
    root, paths = good
    sounds = AudioFiles(root, listing(paths), ["kind"])
    first = sounds.waveform(1)
    first[:] = 0
    assert sounds.waveform(1).any()
    for path in root.rglob("*.*"):
        path.rename(path.with_suffix(".gone"))
    assert sounds.waveform(1).any()
    with pytest.raises(audio.AudioError, match="there is none"):
        pickle.loads(pickle.dumps(sounds)).waveform(1)
    with pytest.raises(audio.AudioError, match="there is none"):
        sounds.waveform(0)


def test_nothing_is_kept_beyond_the_limit(good):
    root, paths = good
    sounds = AudioFiles(root, listing(paths), ["kind"], keep_mb=0)
    before = sounds.waveform(1)
    assert np.array_equal(before, sounds.waveform(1))
    corpora.save(root / "1.flac", corpora.tone(1, 0.1, 8000), 8000)
    with pytest.raises(audio.AudioError, match="changed since"):
        sounds.waveform(1)


def test_subset_is_a_view(good):
    root, paths = good
    sounds = AudioFiles(root, listing(paths, fold=list("112233")), ["kind"])
    view = sounds.subset([4, 1])
    assert len(view) == 2 and view.path.tolist() == ["4.wav", "1.flac"] and view.fold.tolist() == ["3", "1"]
    assert view.group.index.tolist() == [0, 1] and view.lengths.tolist() == sounds.lengths[[4, 1]].tolist()
    assert np.array_equal(view.waveform(0), sounds.waveform(4))
    assert sounds.subset(np.arange(6)).fingerprint == sounds.fingerprint != view.fingerprint
    assert sounds.subset(sounds.factors.kind == "a").path.tolist() == paths[::2]
    assert view.subset([1]).path.tolist() == ["1.flac"]
    for wrong in ([6], [-1], [True, False]):
        with pytest.raises(IndexError, match="expected"):
            sounds.subset(wrong)
