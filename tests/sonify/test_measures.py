"""Measures of evidence: planted truth is found, noise stays noise, what cannot be measured is NaN or refused."""

import numpy as np
import pytest
from scipy import signal

from audiointerp.sonify.coherence import (
    above_null,
    noise_floor,
    phase_randomised,
    shared_power,
    spectrum_of_coherence,
    top_coherence,
)
from audiointerp.sonify.faithfulness import complexity, faithfulness, sparseness
from audiointerp.sonify.listening import LEVEL_DB, likeness, loudness_db, match_loudness
from audiointerp.sonify.localisation import localisation
from audiointerp.sonify.removal import gain, relative_fall, removed, same_energy
from audiointerp.sonify.selectivity import band
from audiointerp.study import UserError

RNG = np.random.default_rng(0)
RATE = 8000


def noise(samples=16000):
    return RNG.standard_normal(samples)


def narrow(low, high, samples=16000):
    return signal.sosfilt(signal.butter(6, (low, high), "band", fs=RATE, output="sos"), noise(samples))


def test_unrelated_noise_has_the_floor_and_a_filtered_copy_does_not():
    x = noise()
    floor = noise_floor(16000)
    unrelated = np.mean([top_coherence(x, noise()) for _ in range(20)])
    assert abs(unrelated - floor) < 0.15 * floor
    assert top_coherence(x, signal.lfilter([1.0, -0.5], 1.0, x)) > 0.99
    assert 0.06 < noise_floor(8000) < 0.08 and 0.005 < noise_floor(80000) < 0.009  # 1 s and 10 s at 8 kHz
    assert above_null(1.0, floor) == 1.0 and np.isnan(above_null(1.0, 1.0))


@pytest.mark.parametrize("nperseg", [256, 255, 64])
def test_spectra_are_those_of_scipy(nperseg):
    x, s = narrow(300, 2000, 5003) + 0.1 * noise(5003) + 3.0, noise(5003)
    expected = signal.coherence(x, x + s, nperseg=nperseg)[1]
    np.testing.assert_allclose(spectrum_of_coherence(x, x + s, nperseg), expected, rtol=1e-7)
    power = signal.welch(x, nperseg=nperseg)[1]
    coherence = signal.coherence(x, s, nperseg=nperseg)[1]
    assert shared_power(x, s, nperseg) == pytest.approx((power * coherence).sum() / power.sum())


def test_random_phases_break_the_relation_and_keep_the_spectrum():
    for samples in (4000, 4001):
        s = narrow(500, 1500, samples)
        null = phase_randomised(s, np.random.default_rng(3))
        np.testing.assert_allclose(np.abs(np.fft.rfft(s)), np.abs(np.fft.rfft(null)), atol=1e-9)
        assert shared_power(s, null) < 0.3 < 0.999 < shared_power(s, s)


def test_power_counts_only_what_is_loud():
    loud, soft = narrow(400, 800), 0.01 * narrow(2500, 3500)
    assert shared_power(loud + soft, soft) < 0.1 < 0.9 < shared_power(loud + soft, loud)
    assert top_coherence(loud + soft, soft) > 0.99  # the five best frequencies do not see the difference


def test_silence_and_single_segments_have_no_coherence():
    x = noise()
    assert np.isnan(top_coherence(x, 0 * x)) and np.isnan(shared_power(x, 0 * x)) and np.isnan(shared_power(0 * x, x))
    for a, b in ((x[:300], x[:300]), (x, x[:-1]), (x[None], x[None])):
        with pytest.raises(ValueError, match="two segments of 256"):
            spectrum_of_coherence(a, b)


def test_least_squares_never_adds_energy_and_leaves_nothing_along_the_sonification():
    for _ in range(5):
        x, s = noise(500), noise(500)
        rest = x - removed(x, s)
        assert rest @ rest <= x @ x and abs(rest @ s) < 1e-9
    assert gain(x, s, "peak") == 1.0 and gain(x, 0 * s) == gain(x, 0 * s, "peak") == 0.0
    with pytest.raises(UserError, match="least_squares, peak"):
        gain(x, s, "mean")


def test_controls_have_the_energy_and_take_away():
    x, part = noise(500), noise(500)
    for control in (noise(500), -x, x):
        taken = same_energy(x, control, part)
        assert taken @ taken == pytest.approx(part @ part) and x @ taken >= 0
    assert not same_energy(x, 0 * x, part).any()
    np.testing.assert_array_equal(relative_fall([2.0, 0.0, 1.0], [1.0, 1.0, 2.0]), [0.5, np.nan, -1.0])


def test_faithfulness_by_hand():
    p = np.array([[0.8, 0.2], [0.4, 0.6], [1.0, 0.0]])
    p_in = np.array([[0.4, 0.6], [0.3, 0.7], [1.0, 0.0]])
    p_out = np.array([[0.7, 0.3], [0.9, 0.1], [1.0, 0.0]])
    found = faithfulness(p, p_in, p_out)
    np.testing.assert_allclose(found["AI"], [0, 100, 0])
    np.testing.assert_allclose(found["AD"], [50, 0, 0])
    np.testing.assert_allclose(found["AG"], [0, 25, 0])
    np.testing.assert_allclose(found["FF"], [0.1, 0.5, 0])
    np.testing.assert_allclose(found["Fid-In"], [0, 1, 1])
    assert found["target"].tolist() == [0, 1, 0]
    with pytest.raises(ValueError, match="of one shape"):
        faithfulness(p, p_in[:2], p_out)
    with pytest.raises(ValueError, match="softmax or sigmoid"):
        faithfulness(p * 3, p_in, p_out)


def test_sparse_attributions_are_sparse_and_simple():
    flat, spike = np.ones(1000), np.eye(1000)[0]
    assert sparseness(flat) == pytest.approx(0) and sparseness(spike) == pytest.approx(0.999)
    assert complexity(flat) == pytest.approx(np.log(1000)) and complexity(spike) == 0
    assert sparseness(-spike) == sparseness(spike)
    assert np.isnan(sparseness(0 * flat)) and np.isnan(complexity(0 * flat))
    values = np.abs(noise(50))  # against the definition by pairs
    pairs = np.abs(values[:, None] - values).sum() / (2 * 50 * values.sum())
    assert sparseness(values) == pytest.approx(pairs)


def test_events_are_found_where_they_were_put():
    quiet, spans = 0.01 * noise(), np.array([[0.5, 0.8], [1.2, 1.4]])
    s = quiet.copy()
    for start, stop in spans:
        s[int(start * RATE) : int(stop * RATE)] += noise(int(stop * RATE) - int(start * RATE))
    found, none = localisation(s, spans, RATE), localisation(noise(), spans, RATE)
    assert found["inside"] > 0.99 and found["auc"] > 0.99 and found["hit"] == 1
    assert abs(none["auc"] - 0.5) < 0.15 and abs(none["inside"] - 0.25) < 0.06
    elsewhere = localisation(s, np.array([[0.0, 0.3]]), RATE)
    assert elsewhere["hit"] == 0 and elsewhere["inside"] < 0.01 and elsewhere["auc"] < 0.5
    for sound, times in ((0 * s, spans), (s, []), (s, [[0, 2]])):
        assert all(np.isnan(value) for value in localisation(sound, np.array(times), RATE).values())
    with pytest.raises(ValueError, match="at least one frame"):
        localisation(s[:10], spans, RATE)


def test_a_band_is_found_whatever_the_input_sounds_like():
    x = signal.lfilter([1.0], [1.0, -0.95], noise())  # far from flat
    s = signal.sosfilt(signal.butter(6, (1000, 1400), "band", fs=RATE, output="sos"), x)
    found, whole = band(x, s, RATE), band(x, x, RATE)
    assert 1100 < found["centre_hz"] < 1300 and found["width_hz"] < 150 and found["selectivity"] > 0.4
    assert whole["selectivity"] < 0.01 and whole["centre_hz"] == pytest.approx(2000, rel=0.01)
    assert all(np.isnan(value) for value in band(x, 0 * x, RATE).values())
    assert all(np.isnan(value) for value in band(0 * x, x, RATE).values())


def test_sounds_come_to_one_loudness_without_clipping():
    low, high = np.sin(np.arange(RATE) * 2 * np.pi * 100 / RATE), np.sin(np.arange(RATE) * 2 * np.pi * 2000 / RATE)
    assert loudness_db(low, RATE) < loudness_db(high, RATE) - 15  # 100 Hz is heard 19 dB less
    matched = match_loudness([0.01 * low, 0.5 * high, 0 * high], RATE)
    levels = [loudness_db(sound, RATE) for sound in matched[:2]]
    assert levels[0] == pytest.approx(levels[1], abs=0.01) and levels[0] <= LEVEL_DB + 0.01
    click = np.zeros(RATE)
    click[0] = 0.1
    loud = match_loudness([click, high], RATE)
    assert max(np.abs(sound).max() for sound in loud) <= 0.99 and not matched[2].any()
    assert loudness_db(click * 0, RATE) == -np.inf


def test_likeness_sees_the_same_and_the_different():
    x, y = noise(), narrow(500, 1000)
    assert likeness(x, x)["spectrogram"] == pytest.approx(1)
    other = likeness(x, y)
    assert other["waveform"] < 0.1 and other["spectrogram"] < 0.3
    assert all(np.isnan(value) for value in likeness(x, 0 * x).values())
