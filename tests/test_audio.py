"""Files are read, resampled, measured and written; what is wrong with one is told."""

import builtins
import io

import numpy as np
import pytest
import soundfile

from audiointerp import audio
from audiointerp.study import UserError


def sine(hz, rate, duration_s=0.5):
    return np.sin(2 * np.pi * hz * np.arange(round(duration_s * rate)) / rate).astype(np.float32) * 0.5


@pytest.mark.parametrize(
    ("suffix", "options"),
    [("wav", {"subtype": "FLOAT"}), ("flac", {}), ("ogg", {"format": "OGG", "subtype": "VORBIS"})],
)
def test_read_gives_the_mean_of_the_channels(tmp_path, suffix, options):
    left, right = sine(300, 44100), sine(500, 44100)
    soundfile.write(tmp_path / f"x.{suffix}", np.stack([left, right], 1), 44100, **options)
    mono, rate = audio.read(tmp_path / f"x.{suffix}")
    assert rate == 44100 and mono.dtype == np.float32 and mono.shape == left.shape
    assert np.abs(mono - (left + right) / 2).max() < (0.05 if suffix == "ogg" else 1e-4)


def test_read_takes_a_window(tmp_path):
    wave = sine(300, 8000)
    audio.write(tmp_path / "x.wav", wave, 8000)
    whole, _ = audio.read(tmp_path / "x.wav")
    part, _ = audio.read(tmp_path / "x.wav", 100, 250)
    assert np.array_equal(part, whole[100:250])


def test_read_says_what_is_wrong(tmp_path):
    (tmp_path / "corrupt.wav").write_bytes(b"RIFFxxxxnothing like sound")
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), 8000)
    soundfile.write(tmp_path / "cut.flac", np.random.default_rng(0).normal(0, 0.1, 40000), 8000)
    whole = (tmp_path / "cut.flac").read_bytes()
    (tmp_path / "cut.flac").write_bytes(whole[: len(whole) // 2])
    for name, word in {
        "corrupt.wav": "corrupt",
        "empty.wav": "empty",
        "cut.flac": "truncated|corrupt",
        "none.wav": "expected a sound file",
    }.items():
        with pytest.raises(audio.AudioError, match=word):
            audio.read(tmp_path / name)
    with pytest.raises(audio.AudioError, match="corrupt"):
        audio.header(tmp_path / "corrupt.wav")
    with pytest.raises(audio.AudioError, match="there is none"):
        audio.header(tmp_path / "none.wav")
    with pytest.raises(audio.AudioError, match="empty"):
        audio.load(tmp_path / "empty.wav", 8000)


@pytest.mark.parametrize(("from_hz", "to_hz"), [(44100, 16000), (48000, 16000), (8000, 16000), (44101, 16000)])
def test_resample_keeps_a_tone(from_hz, to_hz):
    out = audio.resample(sine(440, from_hz), from_hz, to_hz)
    assert out.dtype == np.float32 and len(out) == audio.resampled_length(from_hz // 2, from_hz, to_hz)
    wanted = sine(440, to_hz)[100:-100]
    assert np.abs(out[100 : 100 + len(wanted)] - wanted).max() < 0.01


def test_resample_refuses_rates_that_are_not_positive():
    with pytest.raises(ValueError, match="positive sample rates"):
        audio.resample(np.zeros(4), 0, 16000)


@pytest.mark.parametrize("rate", [48000, 44100, 8000, 22050])
def test_a_window_is_resampled_as_if_the_whole_file_were(tmp_path, rate):
    noise = np.random.default_rng(0).normal(0, 0.1, 2 * rate).astype(np.float32)
    soundfile.write(tmp_path / "x.wav", noise, rate, subtype="FLOAT")
    start, stop = round(0.4 * rate), round(1.36 * rate)
    part = audio.load(tmp_path / "x.wav", 16000, start, stop)
    whole = audio.load(tmp_path / "x.wav", 16000)
    assert len(part) == audio.resampled_length(stop - start, rate, 16000)
    assert np.abs(part - whole[6400 : 6400 + len(part)]).max() < 1e-5
    with pytest.raises(audio.AudioError, match="empty"):
        audio.load(tmp_path / "x.wav", 16000, 5 * rate)


def test_a_torchaudio_that_cannot_be_imported_says_what_to_install(monkeypatch):
    plain = builtins.__import__

    def failing(name, *args, **kwargs):
        if name == "torchaudio":
            raise OSError("libc10_cuda.so: cannot open shared object file")
        return plain(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", failing)
    with pytest.raises(UserError, match="pip install .*torch torchaudio"):
        audio.import_torchaudio()


def test_measure_finds_each_problem(tmp_path):
    good = sine(300, 8000)
    broken = good.copy()
    broken[7] = np.nan
    waves = {
        "good": good,
        "nan": broken,
        "silent": np.zeros(800),
        "constant": np.full(800, 0.2),
        "faint": good * 1e-5,
        "opposite": np.stack([good, -good], 1),
    }
    for name, wave in waves.items():
        soundfile.write(tmp_path / f"{name}.wav", wave, 8000, subtype="FLOAT")
    found = {name: audio.measure(tmp_path / f"{name}.wav")[0] for name in [*waves, "absent"]}
    assert found["good"]["problem"] == ""
    assert found["good"]["rms"] == pytest.approx(0.5 / np.sqrt(2), rel=1e-3)
    assert found["good"]["peak"] == pytest.approx(0.5, rel=1e-3)
    assert "not finite" in found["nan"]["problem"]
    assert {found[name]["problem"] for name in ("silent", "constant", "faint")} == {"silent"}
    assert found["absent"]["problem"] == "missing"
    assert "opposite phase" in found["opposite"]["problem"]


def test_measure_judges_windows_one_by_one(tmp_path):
    wave = np.concatenate([sine(300, 8000, 1.0), np.zeros(8000)])
    soundfile.write(tmp_path / "x.wav", wave, 8000, subtype="FLOAT")
    rows = audio.measure(tmp_path / "x.wav", [(0.0, 1.0), (1.1, 1.9), (1.5, 3.0)])
    assert [row["problem"][:6] for row in rows] == ["", "silent", "window"]
    assert rows[0]["rms"] == pytest.approx(0.5 / np.sqrt(2), rel=1e-3)


def test_write_is_read_back_and_clips_nothing(tmp_path):
    quiet, loud = sine(300, 16000), 3 * sine(300, 16000)
    for wave in (quiet, loud):
        back, rate = audio.read(audio.write(tmp_path / "new" / "x.wav", wave, 16000))
        assert rate == 16000 and np.abs(back - wave).max() < 1e-4


@pytest.mark.parametrize("wave", [np.zeros(0), np.array([0.0, np.inf])])
def test_nothing_is_written_of_what_is_no_sound(tmp_path, wave):
    with pytest.raises(audio.AudioError, match="expected"):
        audio.write(tmp_path / "x.wav", wave, 16000)
    with pytest.raises(audio.AudioError, match="expected"):
        audio.mp3_bytes(wave, 16000)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("rate", [16000, 10000])
def test_mp3_carries_the_sound(rate):
    decoded, decoded_rate = soundfile.read(io.BytesIO(audio.mp3_bytes(4 * sine(440, rate), rate)))
    assert decoded_rate >= rate
    spectrum = np.abs(np.fft.rfft(decoded))
    assert np.argmax(spectrum) * decoded_rate / len(decoded) == pytest.approx(440, abs=5)
    assert 0.5 < np.abs(decoded).max() < 1.3


def test_griffin_lim_finds_the_sound_of_a_spectrogram():
    import torch

    t = np.arange(8000) / 16000
    sound = (0.5 * np.sin(2 * np.pi * 437 * t) + 0.2 * np.sin(2 * np.pi * 1210 * t)).astype(np.float32)
    given = {"n_fft": 512, "hop_length": 128, "window": torch.hann_window(512), "return_complex": True}
    power = torch.stft(torch.from_numpy(sound), **given).abs().square().numpy()
    found = audio.griffin_lim(power, 512, 128)
    assert found.dtype == np.float32 and len(found) == (power.shape[1] - 1) * 128
    again = torch.stft(torch.from_numpy(found), **given).abs().square().numpy()
    inner = slice(4, -4)
    assert np.abs(np.sqrt(again) - np.sqrt(power))[:, inner].mean() < 0.1 * np.sqrt(power)[:, inner].mean()
    assert (audio.griffin_lim(power, 512, 128) == found).all()
    with pytest.raises(ValueError, match=r"expected power of shape \(129, T\), got \(257, 63\)"):
        audio.griffin_lim(power, 256, 128)
