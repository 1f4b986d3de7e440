"""Voices in noise at known times and levels; speakers and calls whose clips depend on nothing but seed and index."""

import corpora
import numpy as np
import pytest

from audiointerp.data.calls import CALLS, SyntheticCalls
from audiointerp.data.events import frame_labels
from audiointerp.data.folder import Folder
from audiointerp.data.spoken import SyntheticSpeakers, VoicesInNoise
from audiointerp.study import UserError


def test_the_voice_is_where_and_as_loud_as_it_says():
    sounds = VoicesInNoise(clips=24, pools=4, snr_db=(18.0, 20.0), quiet_share=0.0, seed=1)
    levels = []
    for i in range(8):
        labels = frame_labels(sounds.events[i], 32000, 16000.0).astype(bool)
        wave = sounds.waveform(i).astype(np.float64)
        if labels.any() and not labels.all():
            levels.append(10 * np.log10(np.mean(wave[labels] ** 2) / np.mean(wave[~labels] ** 2)))
    assert len(levels) >= 5 and 15.0 < np.median(levels) < 23.0
    silent = VoicesInNoise(clips=24, pools=4, quiet_share=0.9, seed=1)
    assert 0.6 < np.mean([len(spans) == 0 for spans in silent.events]) < 1.0
    assert all(np.all(np.diff(spans.ravel()) > 0) for spans in sounds.events)


@pytest.mark.parametrize(
    "make",
    [
        lambda clips, **k: VoicesInNoise(clips=clips, pools=4, duration_s=0.5, **k),
        lambda clips, **k: SyntheticSpeakers(clips=clips, speakers=2, sessions=2, duration_s=0.5, **k),
        lambda clips, **k: SyntheticCalls(clips=clips, birds=2, duration_s=0.5, **k),
    ],
)
def test_a_clip_depends_on_seed_and_index_alone(make):
    few, many, other = make(16), make(32), make(16, seed=1)
    for i in (0, 5, 15):
        assert np.array_equal(few.waveform(i), many.waveform(i))
        assert not np.array_equal(few.waveform(i), other.waveform(i))
        assert few.waveform(i).dtype == np.float32 and 1e-3 < np.abs(few.waveform(i)).max() <= 1.0
    assert few.clip_keys == many.clip_keys[:16] and not set(few.clip_keys) & set(other.clip_keys)
    assert len(set(few.path)) == 16


def test_types_and_birds_and_sessions_cross_as_they_should():
    calls = SyntheticCalls(clips=64, birds=4)
    assert (calls.factors.groupby(calls.group)["call"].nunique() == len(CALLS)).all()
    speakers = SyntheticSpeakers(clips=24, speakers=3, sessions=4)
    assert (speakers.factors.groupby(speakers.group)["speaker"].nunique() == 1).all()
    assert (speakers.group.groupby(speakers.factors["speaker"]).nunique() == 4).all()


def test_rising_calls_are_falling_ones_backwards():
    from audiointerp.data.calls import Bird, falling, rising

    t, bird, rng = np.arange(4000) / 16000, Bird(600.0, 2500.0, 0.1, 1.0), np.random.default_rng(0)
    assert np.array_equal(falling(t, bird, rng, 16000)[::-1], rising(t, bird, rng, 16000))


def test_recordings_are_dealt_out_over_pools(tmp_path):
    corpora.table(tmp_path, rows=16)
    recorded = Folder(tmp_path, factors=["material"])
    sounds = VoicesInNoise(clips=16, pools=4, duration_s=1.0, voices=recorded, noises=recorded, quiet_share=0.0)
    groups = [set(recorded.group[part]) for part in sounds._voice_pools]
    assert not any(a & b for i, a in enumerate(groups) for b in groups[:i])
    assert np.isfinite(sounds.waveform(0)).all() and "recorded voices" in sounds.note
    with pytest.raises(UserError, match="at least 9 groups of voices for 9 pools, got 8: lower data.pools"):
        VoicesInNoise(clips=16, pools=9, voices=recorded)
    with pytest.raises(UserError, match="data.voices at 8000 Hz, got 16000 Hz"):
        VoicesInNoise(clips=16, pools=4, voices=recorded, sample_rate=8000)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: VoicesInNoise(clips=2, pools=4), "data.clips of at least data.pools"),
        (lambda: VoicesInNoise(duration_s=0.1), "clips of 0.5 s or more"),
        (lambda: VoicesInNoise(snr_db=[5.0, 0.0]), r"data.snr_db=\[lowest, highest\], got \[5.0, 0.0\]"),
        (lambda: SyntheticSpeakers(clips=3), r"a clip per session \(12 x 6\)"),
        (lambda: SyntheticCalls(clips=8, birds=20), "8 clips per bird"),
    ],
)
def test_numbers_that_cannot_be_are_refused(make, message):
    with pytest.raises(UserError, match=message):
        make()
