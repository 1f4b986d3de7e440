import base64
import io

import numpy as np
import pytest
import soundfile

from audiointerp import audio
from audiointerp.report import media


def test_the_player_carries_the_sound(tmp_path):
    wave = 0.5 * np.sin(2 * np.pi * 440 * np.arange(16000) / 16000).astype(np.float32)
    path = audio.write(tmp_path / "a.wav", wave, 16000)
    sound = media.sound(path)
    kind, _, content = sound.uri.partition(",")
    played, rate = soundfile.read(io.BytesIO(base64.b64decode(content)))
    spectrum = np.abs(np.fft.rfft(played[:rate]))
    assert kind == "data:audio/mpeg;base64"
    assert sound.seconds == pytest.approx(1.0)
    assert np.argmax(spectrum) * rate / len(played[:rate]) == pytest.approx(440, abs=2)


def test_a_corrupt_sound_is_told(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"RIFFnothing")
    with pytest.raises(audio.AudioError):
        media.sound(tmp_path / "a.wav")


def test_the_little_waveform_shows_where_it_is_loud():
    wave = np.concatenate([np.zeros(500), np.ones(500)])
    bars = media.envelope(wave, bars=4).split("M")[1:]
    assert [bar.split(" ")[1] for bar in bars] == [".97V1.03", ".97V1.03", "0V2", "0V2"]


@pytest.mark.parametrize("length", [1, 7, 64, 1000])
def test_the_little_waveform_takes_any_length(length):
    assert media.envelope(np.zeros(length)).count("M") == media.BARS


def test_a_heavy_drawing_gives_way_to_its_png(tmp_path):
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "a.svg").write_bytes(b" " * (media.LARGEST_SVG + 1))
    (tmp_path / "figures" / "a.png").write_bytes(b"png")
    assert media.picture(tmp_path, "a").startswith("data:image/png")
    (tmp_path / "figures" / "a.svg").write_bytes(b"<svg/>")
    assert media.picture(tmp_path, "a").startswith("data:image/svg+xml")
    assert media.picture(tmp_path, "b") is None
