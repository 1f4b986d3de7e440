"""Tiny folders in the layouts of AudioSet, FSD50K and Speech Commands: tags, splits, groups, and what is missing."""

import json
import shutil
import warnings

import numpy as np
import pytest

from audiointerp.data.audioset import AudioSet, read_segments, stems_of
from audiointerp.data.fsd50k import FSD50K
from audiointerp.data.fsdd import FSDD
from audiointerp.data.speech_commands import SpeechCommands
from audiointerp.study import UserError
from tests.data.corpora import fsdd, save, tone

VOCABULARY = [("/m/09x0r", "Speech"), ("/m/0bt9lr", "Dog"), ("/t/dd00088", "Gargling"), ("/m/06mb1", "Rain, heavy")]
SEGMENTS = {
    "balanced_train_segments.csv": [("--Aa", 30.0, "0,2"), ("-Bb_", 0.0, "1"), ("Cc0", 12.5, "0"), ("gone", 5.0, "3")],
    "eval_segments.csv": [("Dd0", 10.0, "1,3"), ("Ee0", 0.0, "0")],
}
STEMS = ["--Aa_30000_40000", "Y-Bb__0.000", "sub/Cc0_12.500_22.500", "YDd0", "Ee0_0"]


def audioset(root):
    (root / "audio" / "sub").mkdir(parents=True)
    rows = [f'{k},{mid},"{name}"' for k, (mid, name) in enumerate(VOCABULARY)]
    (root / "class_labels_indices.csv").write_text("index,mid,display_name\n" + "\n".join(rows) + "\n")
    for name, segments in SEGMENTS.items():
        lines = ["# Segments csv created Sun Mar  5 10:54:25 2017", "# num_ytids=4", "# YTID, start_seconds"]
        for video, start, labels in segments:
            mids = ",".join(VOCABULARY[int(k)][0] for k in labels.split(","))
            lines.append(f'{video}, {start:.3f}, {start + 10:.3f}, "{mids}"')
        (root / name).write_text("\n".join(lines) + "\n")
    for seed, stem in enumerate(STEMS):
        save(root / "audio" / f"{stem}.{'flac' if seed % 2 else 'wav'}", tone(seed, 0.3, 16000), 16000)
    return root


def fsd50k(root, metadata=True):
    truth = root / "FSD50K.ground_truth"
    truth.mkdir(parents=True)
    (truth / "vocabulary.csv").write_text("0,Bark,/m/05tny_\n1,Dog,/m/0bt9lr\n2,Rain,/m/06mb1\n")
    dev = [(1, "Bark,Dog", "train"), (2, "Rain", "train"), (3, "Dog", "val"), (9, "Rain", "train")]
    (truth / "dev.csv").write_text(
        "fname,labels,mids,split\n" + "".join(f'{n},"{labels}","-",{split}\n' for n, labels, split in dev)
    )
    (truth / "eval.csv").write_text('fname,labels,mids\n4,"Rain,Dog","-"\n5,Bark,-\n')
    for n in (1, 2, 3, 4, 5):
        save(root / f"FSD50K.{'dev' if n < 4 else 'eval'}_audio" / f"{n}.wav", tone(n, 0.3), 16000)
    if metadata:
        (root / "FSD50K.metadata").mkdir()
        for part, clips in (("dev", (1, 2, 3)), ("eval", (4, 5))):
            facts = {str(n): {"uploader": f"user{n // 2}", "title": "x"} for n in clips}
            (root / "FSD50K.metadata" / f"{part}_clips_info_FSD50K.json").write_text(json.dumps(facts))
    return root


def speech_commands(root):
    seed = 0
    for word in ("yes", "no"):
        for speaker in ("0a7c2a8d", "0b40aa8e", "ffd2ba2f"):
            for n in range(2):
                seed += 1
                save(root / word / f"{speaker}_nohash_{n}.wav", tone(seed, 0.3), 16000)
    save(root / "_background_noise_" / "white_noise.wav", tone(99, 0.5), 16000)
    lists = {"validation_list.txt": "0b40aa8e", "testing_list.txt": "ffd2ba2f"}
    for name, speaker in lists.items():
        lines = [f"{word}/{speaker}_nohash_{n}.wav" for word in ("yes", "no") for n in range(2)]
        (root / name).write_text("\n".join([*lines, *(["no/absent_nohash_0.wav"] if "test" in name else [])]) + "\n")
    return root


def test_audioset_in_its_layout(tmp_path):
    with pytest.warns(UserWarning, match="AudioSet: 1 of 6 clips cannot be used: gone .no such file.; they") as said:
        sounds = AudioSet(audioset(tmp_path), sample_rate=8000)
    assert len(said) == 1 and len(sounds) == 5 and sounds.dropped.path.tolist() == ["gone"]
    assert sounds.group.tolist() == ["--Aa", "-Bb_", "Cc0", "Dd0", "Ee0"]
    assert list(sounds.tags) == [name for _, name in VOCABULARY]
    named = [[name for name in sounds.tags if row[name]] for _, row in sounds.tags.iterrows()]
    assert named == [["Speech", "Gargling"], ["Dog"], ["Speech"], ["Dog", "Rain, heavy"], ["Speech"]]
    assert sounds.fold.tolist() == ["balanced"] * 3 + ["eval"] * 2
    assert sounds.factors["first_label"].tolist() == ["Speech", "Dog", "Speech", "Dog", "Speech"]
    assert sounds.path[2] == "audio/sub/Cc0_12.500_22.500.wav"
    assert sounds.sample_rate == 8000 and len(sounds.waveform(0)) == 2400


def test_tags_follow_a_subset_and_a_subsample(tmp_path):
    audioset(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sounds, fewer = AudioSet(tmp_path), AudioSet(tmp_path, clips=3)
        test = AudioSet(tmp_path, subsets="eval")
    assert sounds.subset([3, 0]).tags.to_numpy().tolist() == sounds.tags.iloc[[3, 0]].to_numpy().tolist()
    assert sounds.subset([3]).tags.index.tolist() == [0]
    for row, path in enumerate(fewer.path):
        assert (fewer.tags.iloc[row] == sounds.tags[sounds.path == path].iloc[0]).all()
    assert set(test.fold) == {"eval"} and len(test) == 2
    assert sounds.tags.to_numpy().dtype == bool


def test_clips_of_a_segment_go_by_many_names():
    names = stems_of("id", 12.5, 22.5)
    assert {"id", "Yid", "id_12500", "id_12500_22500", "Yid_12.500", "id_12.5"} <= set(names)
    assert names.index("id_12500_22500") < names.index("id_12500") < names.index("id")


def test_fsd50k_in_its_layout(tmp_path):
    with pytest.warns(UserWarning, match="FSD50K: 1 of 6 clips cannot be used: 9 .no such file."):
        sounds = FSD50K(fsd50k(tmp_path))
    assert sounds.fold.tolist() == ["train", "train", "val", "eval", "eval"]
    assert sounds.tags.to_numpy().astype(int).tolist() == [[1, 1, 0], [0, 0, 1], [0, 1, 0], [0, 1, 1], [1, 0, 0]]
    assert sounds.group.tolist() == ["user0", "user1", "user1", "user2", "user2"]
    assert sounds.factors["first_label"].tolist() == ["Bark", "Rain", "Dog", "Rain", "Bark"]
    assert "uploaders" in sounds.note


def test_fsd50k_without_metadata_groups_by_clip(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sounds = FSD50K(fsd50k(tmp_path, metadata=False), subsets=["val", "train"])
    assert sounds.group.tolist() == ["clip 1", "clip 2", "clip 3"] and "not there" in sounds.note


def test_speech_commands_in_its_layout(tmp_path):
    with pytest.warns(UserWarning, match="1 of 13 clips cannot be used: no/absent_nohash_0.wav .listed, but no"):
        sounds = SpeechCommands(speech_commands(tmp_path))
    assert len(sounds) == 12 and set(sounds.factors["word"]) == {"yes", "no"} and sounds.tags is None
    folds = sounds.fold.groupby(sounds.group).unique().map(list).to_dict()
    assert folds == {"0a7c2a8d": ["train"], "0b40aa8e": ["validation"], "ffd2ba2f": ["test"]}
    train = SpeechCommands(tmp_path, subsets=["train"], factors=["word"])
    assert len(train) == 4 and len(train.dropped) == 0


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda root: (root / "class_labels_indices.csv").unlink(), "expected a table of the sounds at"),
        (lambda root: (root / "class_labels_indices.csv").write_text("a,b\n1,2\n"), "the columns index, mid and"),
        (lambda root: [(root / name).unlink() for name in SEGMENTS], "expected one of balanced_train_segments.csv"),
        (lambda root: (root / "eval_segments.csv").write_text("Dd0, 10.0\n"), "line 1: expected an id, start, end"),
        (lambda root: (root / "eval_segments.csv").write_text("# nothing\n"), "expected one row per segment"),
        (lambda root: (root / "eval_segments.csv").write_text('Dd0, 1, 2, "/m/x"\n'), "no label '/m/x'"),
        (lambda root: shutil.rmtree(root / "audio"), "found none of the 6 that its tables list"),
    ],
)
def test_what_is_wrong_with_audioset_is_told(tmp_path, break_it, message):
    break_it(audioset(tmp_path))
    with pytest.raises(UserError, match=message):
        AudioSet(tmp_path)


def test_what_is_missing_is_told(tmp_path):
    audioset(tmp_path / "a")
    with pytest.raises(UserError, match="there is no 'evil': did you mean 'eval'"):
        AudioSet(tmp_path / "a", subsets=["evil"])
    with pytest.raises(UserError, match="data.subsets with names out of balanced"):
        AudioSet(tmp_path / "a", subsets=[])
    with pytest.raises(UserError, match="expected a table of segments at .*unbalanced_train"):
        AudioSet(tmp_path / "a", subsets=["unbalanced"])
    with pytest.raises(UserError, match="there is none: set data.root or data.subsets"):
        read_segments(tmp_path / "none.csv")
    with pytest.raises(UserError, match="gone .no such file.: repair or remove"):
        AudioSet(tmp_path / "a", strict=True)
    with pytest.raises(UserError, match="data.subsets: there is no 'train': .there are: none"):
        FSDD(fsdd(tmp_path / "d"), subsets=["train"])
    fsd50k(tmp_path / "f")
    (tmp_path / "f" / "FSD50K.ground_truth" / "eval.csv").write_text("fname,mids\n4,-\n")
    with pytest.raises(UserError, match="expected a column 'labels' in .*eval.csv: .*fname, mids"):
        FSD50K(tmp_path / "f")
    (tmp_path / "f" / "FSD50K.ground_truth" / "vocabulary.csv").write_text("Bark\nDog\n")
    with pytest.raises(UserError, match="expected index, label and machine id"):
        FSD50K(tmp_path / "f")
    (tmp_path / "f" / "FSD50K.ground_truth" / "vocabulary.csv").unlink()
    with pytest.raises(UserError, match="expected FSD50K's vocabulary"):
        FSD50K(tmp_path / "f")
    (tmp_path / "s" / "yes").mkdir(parents=True)
    with pytest.raises(UserError, match="the list of a split at .*validation_list.txt"):
        SpeechCommands(tmp_path / "s")
    for name in ("validation_list.txt", "testing_list.txt"):
        (tmp_path / "s" / name).write_text("")
    with pytest.raises(UserError, match="expected files named WORD/SPEAKER_nohash_N.wav"):
        SpeechCommands(tmp_path / "s")


def test_sounds_without_tags_have_none(tmp_path):
    sounds = FSDD(fsdd(tmp_path))
    assert sounds.tags is None and sounds.subset(np.arange(3)).tags is None
