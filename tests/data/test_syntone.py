"""SynTone: what is rendered is what was asked for, published quirks included, and splits withhold what they say."""

import numpy as np
import pytest
import scipy.signal
import torch

from audiointerp.data import tones
from audiointerp.data.base import hash_of
from audiointerp.data.mel import MelPictures
from audiointerp.data.syntone import SynTone
from audiointerp.data.syntone_splits import count_distinct, tone_roles
from audiointerp.mel import hz_to_mel, mel_filters, mel_to_hz
from audiointerp.study import UserError

SMALL = {"f0_hz": [110, 1100, 12], "amplitude": [0.05, 0.75, 5]}
SHARES = {"train": 0.6, "select": 0.15, "test": 0.25}


@pytest.fixture(scope="module")
def small():
    return SynTone(**SMALL)


def additive(sounds, i):
    """The same tone as a sum of sines, from nothing but its factors."""
    values = {name: column[i] for name, column in sounds.values().items()}
    t = np.arange(sounds.length) / sounds.sample_rate
    highest = int(np.ceil(sounds.sample_rate / 2 / values["f0_hz"])) - 1
    parts = tones.partials(values["timbre"], highest, values.get("brightness", 0.0))
    cycles = values["f0_hz"] * t + sounds._phases[i]
    return values["amplitude"] * sum(
        b * np.sin(2 * np.pi * k * cycles) for k, b in enumerate(parts, start=1) if k * values["f0_hz"] < 8000
    )


@pytest.mark.parametrize("i", [0, 31, 64, 130, 200, 239])
def test_a_tone_is_the_sum_of_its_partials_below_half_the_sample_rate(small, i):
    expected = additive(small, i)
    error = np.abs(small.waveform(i) - expected).max() / np.abs(expected).max()
    assert error < 1e-4


@pytest.mark.parametrize("waveform", tones.WAVEFORMS)
def test_partials_are_those_of_the_ideal_shape(waveform):
    cycles = np.linspace(0, 1, 1000, endpoint=False) + 0.0005
    series = sum(b * np.sin(2 * np.pi * k * cycles) for k, b in enumerate(tones.partials(waveform, 3001), start=1))
    phase = 2 * np.pi * cycles
    ideal = {
        "sine": np.sin(phase),
        "triangle": scipy.signal.sawtooth(phase + np.pi / 2, 0.5),
        "sawtooth": scipy.signal.sawtooth(phase + np.pi),
        "square": scipy.signal.square(phase),
    }[waveform]
    assert np.median(np.abs(series - ideal)) < 1e-3


@pytest.mark.parametrize("waveform", tones.WAVEFORMS)
def test_naive_shapes_are_those_of_scipy(waveform):
    cycles = torch.linspace(0.013, 7.4, 997, dtype=torch.float64)
    phase = 2 * np.pi * cycles.numpy()
    expected = {
        "sine": np.sin(phase),
        "triangle": scipy.signal.sawtooth(phase, 0.5),
        "sawtooth": scipy.signal.sawtooth(phase),
        "square": scipy.signal.square(phase),
    }[waveform]
    assert np.abs(tones.naive(waveform, cycles).numpy() - expected).max() < 1e-5


def test_a_clip_has_the_same_bits_in_every_batch_and_process(small):
    every = small.waveforms(np.arange(len(small)))
    again = SynTone(**SMALL)
    for i in (0, 63, 64, 239):
        assert (small.waveform(i) == every[i]).all() and (again.waveforms([5, i, 7])[1] == every[i]).all()
    assert not (SynTone(**SMALL, seed=1).waveform(3) == every[3]).all()


def test_a_clip_of_a_subsample_is_that_of_the_grid(small):
    few = SynTone(**SMALL, clips=20)
    assert len(few) == 20 and few.index.max() < len(small)
    for i in (0, 7, 19):
        assert (few.waveform(i) == small.waveform(int(few.index[i]))).all()
        assert few.clip_keys[i] == small.clip_keys[int(few.index[i])]


def test_clips_keep_the_contract_of_sounds(small):
    assert len(small) == 4 * 12 * 5 and small.group.is_unique and small.path.is_unique
    assert list(small.factors) == ["timbre", "f0_hz", "amplitude"]
    waveforms = small.waveforms(np.arange(len(small)))
    assert waveforms.dtype == np.float32 and waveforms.shape == (240, small.length)
    assert np.abs(waveforms).max() <= 1.0
    assert len(small.levels) == 240 and (small.levels["duration_s"] == small.length / 16000).all()
    half = small.subset(np.arange(0, 240, 2))
    assert (half.waveform(3) == waveforms[6]).all() and half.fingerprint != small.fingerprint
    assert small.fingerprint == hash_of(small.preprocessing, *small.clip_keys)


def test_levels_lie_in_equal_steps_of_octaves_and_decibels(small):
    heard = small.heard()
    for name in ("pitch", "level"):
        steps = np.diff(np.unique(heard[name].round(9)))
        assert np.allclose(steps, steps[0], rtol=1e-6)
    assert small.level_index.max().tolist() == [3, 11, 4]
    assert np.allclose(2 ** heard["pitch"], small.factors["f0_hz"])


def test_every_tuple_gives_another_input_when_phase_and_noise_are_frozen(small):
    assert count_distinct(small.picture_parts(frozen=True)) == len(small)
    full = SynTone(f0_hz=[1089.36, 1100, 4], amplitude=[0.05, 0.0577, 2])  # the nearest neighbours of the full grid
    assert count_distinct(full.picture_parts(frozen=True)) == len(full)


def test_a_frozen_phase_makes_clips_equal_that_differ_in_nothing_else(small):
    again = SynTone(**SMALL, seed=5)
    assert (again.pictures(frozen=True) == small.pictures(frozen=True)).all()
    assert not np.allclose(again.pictures(), small.pictures(), atol=1e-3)


def test_the_published_pictures_do_not_show_the_amplitude():
    sounds = SynTone("published", f0_hz=[440, 8000, 8], amplitude=[0.1, 1.0, 4], duration_s=0.25)
    assert len(sounds) == 128 and count_distinct(sounds.picture_parts()) == 32
    assert (sounds.pictures(frozen=True) == sounds.pictures()).all()


def test_the_published_time_axis_includes_its_end_point():
    sounds = SynTone("published", waveforms=["sine"], f0_hz=[440, 8000, 5], amplitude=[0.5, 1.0, 2])
    t = np.linspace(0, 1, 16000)
    for i in (0, 5):
        f0, amplitude = sounds.factors["f0_hz"][i], sounds.factors["amplitude"][i]
        assert np.abs(sounds.waveform(i) - amplitude * np.sin(2 * np.pi * f0 * t)).max() < 1e-5
    assert sounds.picture_shape == (128, 32)
    assert np.allclose(np.diff(np.unique(sounds.factors["f0_hz"])), 1890)


def test_aliasing_is_published_and_gone_in_the_corrected_version():
    def power_off_the_harmonics(sounds):
        spectrum = np.abs(np.fft.rfft(sounds.waveform(0) * np.hanning(sounds.length))) ** 2
        hz = np.fft.rfftfreq(sounds.length, 1 / 16000)
        near = np.abs(hz / 1000.5 - np.round(hz / 1000.5)) * 1000.5 < 15
        return spectrum[~near].sum() / spectrum.sum()

    one = {"waveforms": ["sawtooth"], "f0_hz": [1000.5, 1000.5, 1], "amplitude": [0.3, 0.5, 2], "duration_s": 1.0}
    assert power_off_the_harmonics(SynTone("corrected", **one)) < 1e-6
    assert power_off_the_harmonics(SynTone("published", **one)) > 1e-2


def test_further_factors_change_what_they_say():
    def rms(part):
        return np.sqrt(np.mean(part**2))

    base = {"f0_hz": [440, 440, 1], "amplitude": [0.2, 0.2, 1], "waveforms": ["sawtooth"]}
    attack = SynTone(**base, attack_s=[0.01, 0.2, 2])
    assert rms(attack.waveform(1)[:800]) < 0.3 * rms(attack.waveform(0)[:800])
    decay = SynTone(**base, decay_s=[0.03, 1.0, 2])
    assert rms(decay.waveform(0)[-800:]) < 0.05 * rms(decay.waveform(1)[-800:])
    bright = SynTone(**base, brightness=[-0.5, 0.2, 2])
    centroid = [np.average(np.arange(2305), weights=np.abs(np.fft.rfft(bright.waveform(i)))) for i in (0, 1)]
    assert centroid[0] < 0.7 * centroid[1]
    noisy = SynTone(**base, snr_db=[10, 120, 2])
    noisy._phases[:] = 0
    noise = noisy.waveform(0) - noisy.waveform(1)
    assert 20 * np.log10(rms(noisy.waveform(1)) / rms(noise)) == pytest.approx(10, abs=0.3)
    vibrato = SynTone(**{**base, "waveforms": ["sine"]}, vibrato_hz=[4, 8, 2], vibrato_cents=[50, 100, 2])
    frequency = np.diff(np.unwrap(np.angle(scipy.signal.hilbert(vibrato.waveform(3)))))[800:-800] * 16000 / 2 / np.pi
    assert 1200 * np.log2(np.quantile(frequency, 0.99) / 440) == pytest.approx(100, abs=5)
    for sounds in (attack, decay, bright, noisy, vibrato):
        assert count_distinct(sounds.picture_parts(frozen=True)) == len(sounds)


def test_a_tone_off_the_grid_is_rendered_as_one_on_it(small):
    i = 130
    row = small.factors.iloc[i]
    tone = small.tone(row["timbre"], {"f0_hz": row["f0_hz"], "amplitude": row["amplitude"]})
    frozen = small.batch(np.array([i]), frozen=True)[0].numpy()
    assert np.abs(tone - frozen).max() < 1e-6
    with pytest.raises(ValueError, match="expected f0 between 0 and 8000 Hz, got 9000"):
        small.tone("sine", {"f0_hz": 9000, "amplitude": 0.5})


def test_full_scale_is_one_in_the_picture_and_ten_decibels_an_eighth():
    front_end = MelPictures()
    t = torch.arange(4608) / 16000
    sine = torch.sin(2 * np.pi * 1000 * t)[None]
    loud, quiet = front_end(sine), front_end(sine * 10**-0.5)
    assert float(loud.max()) == pytest.approx(1.0, abs=0.02)
    assert float((loud - quiet).max()) == pytest.approx(0.125, abs=0.002)
    assert loud.shape == (1, 64, 8) and float(front_end(torch.zeros(1, 4608)).abs().max()) < 1e-6
    back = front_end.to_power(loud) / 256**2
    assert float(back.max()) == pytest.approx(float(10 ** (8 * (loud.max() - 1))), rel=1e-3)


def test_mel_filters_are_slaney_s():
    assert np.allclose(mel_to_hz(hz_to_mel([0, 333, 1000, 7000])), [0, 333, 1000, 7000])
    torchaudio = pytest.importorskip("torchaudio")
    settings = {"n_freqs": 1025, "f_min": 0.0, "f_max": 8000.0, "n_mels": 128, "sample_rate": 16000}
    for area, norm in ((True, "slaney"), (False, None)):
        expected = torchaudio.functional.melscale_fbanks(**settings, norm=norm, mel_scale="slaney")
        assert np.allclose(mel_filters(16000, 2048, 128, area), expected.numpy(), atol=2e-4)


@pytest.mark.parametrize("split", ["tuple", "combination", "octave"])
def test_splits_withhold_what_they_say(split):
    sounds = SynTone(f0_hz=[110, 1100, 40], amplitude=[0.05, 0.75, 8])
    roles = tone_roles(sounds, split, SHARES)
    assert set(roles) == {"train", "select", "test"} and (tone_roles(sounds, split, SHARES) == roles).all()
    test = roles == "test"
    if split == "tuple":
        assert test.mean() == pytest.approx(0.25, abs=0.01)
        return
    rest = sounds.factors[~test]
    if split == "octave":
        octave = sounds.factors["f0_hz"].between(220, 439.999)
        assert (octave == test).all()
        return
    bands = sounds.level_index // [1, 10, 2]
    cells = [tuple(row) for row in bands.to_numpy()]
    withheld = {cell for cell, out in zip(cells, test, strict=True) if out}
    kept = {cell for cell, out in zip(cells, test, strict=True) if not out}
    assert not withheld & kept and len(withheld) == 16 and test.mean() == pytest.approx(0.25)
    for name in sounds.factors:
        assert set(rest[name]) == set(sounds.factors[name])


def test_distinct_inputs_are_counted_up_to_rounding():
    rng = np.random.default_rng(0)
    planted = rng.normal(size=(300, 4, 5)).astype(np.float32)
    doubled = np.concatenate([planted, planted * (1 + 1e-7)])
    assert count_distinct([doubled]) == count_distinct(np.array_split(doubled, 7)) == 300
    assert count_distinct([np.concatenate([planted, planted + 0.01])]) == 600


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"waveforms": ["sine"], "f0_hz": [110, 110, 1], "amplitude": [0.1, 0.1, 1]},
            "expected a factor with two levels or more",
        ),
        ({"version": "mine"}, "expected data.version of corrected or published, got 'mine'"),
        ({"waveforms": ["sinus"]}, "data.waveforms: there is no 'sinus': did you mean 'sine'"),
        ({"waveforms": ["sine", "sine"]}, "names, each once"),
        ({"f0_hz": [110, 1100]}, r"expected data.f0_hz to be \[lowest, highest, number of levels\]"),
        ({"f0_hz": [1100, 110, 5]}, "lowest < highest"),
        ({"f0_hz": [110, 220, 1]}, "lowest = highest for one"),
        ({"f0_hz": [110, 8000, 5]}, "expected data.f0_hz below 8000 Hz, got up to 8000 Hz"),
        ({"amplitude": [0.1, 1.0, 3]}, "expected clips within full scale"),
        ({"amplitude": [0.0, 0.5, 3]}, "from 0.001 on"),
        ({"vibrato_hz": [4, 8, 2]}, "together: a vibrato has a rate and a depth"),
        ({"brightness": [0, 1, 2]}, "without sine"),
        ({"version": "published", "snr_db": [10, 20, 2]}, "alone in the published version"),
        ({"clips": 0}, "expected data.clips of 1 to 32000"),
        ({"attack_s": [0.001, 0.1, 100]}, "expected at most 2,000,000 tuples, got 3200000"),
        ({"duration_s": 0.01}, "expected clips of at least 1024 samples"),
        ({"hop": -1}, "data.hop of at least 1"),
    ],
)
def test_what_cannot_be_is_refused(settings, message):
    with pytest.raises(UserError, match=message):
        SynTone(**settings)


def test_splits_and_waveforms_that_do_not_exist_are_refused(small):
    with pytest.raises(UserError, match="there is no 'octaves': did you mean 'octave'"):
        tone_roles(small, "octaves", SHARES)
    with pytest.raises(UserError, match="expected study.split=octave to withhold some clips"):
        tone_roles(SynTone(f0_hz=[110, 200, 4], amplitude=[0.1, 0.5, 2]), "octave", SHARES)
    with pytest.raises(UserError, match="a share for training"):
        tone_roles(small, "octave", {"test": 1.0})
    with pytest.raises(ValueError, match="expected a highest partial of at least 1, got 0"):
        tones.partials("sine", 0)
    for make in (lambda: tones.partials("saw", 3), lambda: tones.naive("saw", torch.zeros(1))):
        with pytest.raises(ValueError, match="expected a waveform among sine"):
            make()
    with pytest.raises(UserError, match="expected level to be one-reference or per-frame"):
        MelPictures(level="mine")


def test_a_phase_just_below_a_cycle_reads_the_start_of_its_own_table():
    tables = torch.stack([tones.wavetable("square", 3), torch.full((tones.TABLE + 1,), 5.0)])
    cycles = torch.tensor([[0.0, np.nextafter(1.0, 0.0)]] * 2, dtype=torch.float64)
    samples = tones.read_tables(tables, torch.arange(2), cycles)
    assert samples[0, 1] == samples[0, 0] and samples[1].tolist() == [5.0, 5.0]
