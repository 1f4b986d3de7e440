"""Synthetic speech corpora: voices in noise at known times and levels, and speakers to be told apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from typing_extensions import Unpack

from audiointerp.data.base import Sounds, hash_of
from audiointerp.data.events import Spans, united
from audiointerp.data.mixing import dealt, joined, unit, window
from audiointerp.data.rendered import Rendered, Rendering
from audiointerp.data.voices import draw_speaker, noise, utterance
from audiointerp.study import UserError, stream

VERSION = 2
EDGE_S = 0.01


class VoicesInNoise(Rendered):
    """Clips of noise in which somebody speaks at known times and at a known signal-to-noise ratio.

    A group is a pool: its voices and its noises are heard in no other pool's clips. Synthetic voices and noises by
    default; given recordings, the takes and the recorded noises are dealt out over the pools by their own groups.

    Args:
        clips: Number of clips.
        duration_s: Duration of a clip [s].
        snr_db: Lowest and highest ratio of the voice's power, where it is heard, to the noise's [dB].
        pools: Number of groups.
        quiet_share: Share of the clips without any voice.
        voices: Recorded utterances; None for synthetic ones.
        noises: Recorded noises at the same rate; None for synthetic ones.
        sample_rate: [Hz]; that of the recordings where they are given.
        seed: Seed of everything.
        **rendering: As in `Rendering`.
    Attributes:
        events: When somebody speaks in each clip, a list of `(E, 2)` arrays [s].
    Raises:
        UserError: If a number is out of range, recordings differ in rate, or there are fewer groups of recordings than
            pools.
    """

    name = "Voices in noise"

    def __init__(
        self,
        clips: int = 480,
        duration_s: float = 2.0,
        snr_db: Sequence[float] = (-5.0, 15.0),
        pools: int = 24,
        quiet_share: float = 0.1,
        voices: Sounds | None = None,
        noises: Sounds | None = None,
        sample_rate: int = 16000,
        seed: int = 0,
        **rendering: Unpack[Rendering],
    ) -> None:
        if clips < pools or pools < 2 or not duration_s >= 0.5 or not 0.0 <= quiet_share < 1.0:
            raise UserError(
                "expected data.clips of at least data.pools, at least 2 pools, clips of 0.5 s or more and a "
                f"quiet_share in [0, 1), got {clips}, {pools}, {duration_s} and {quiet_share}"
            )
        if len(snr_db) != 2 or snr_db[0] > snr_db[1]:
            raise UserError(f"expected data.snr_db=[lowest, highest], got {list(snr_db)}")
        for name, recorded in (("voices", voices), ("noises", noises)):
            if recorded is not None and recorded.sample_rate != sample_rate:
                raise UserError(
                    f"expected data.{name} at {sample_rate} Hz, got {recorded.sample_rate} Hz: set "
                    f"data.{name}.sample_rate={sample_rate}"
                )
        super().__init__(clips, round(duration_s * sample_rate), **rendering)
        self.sample_rate, self.seed, self.snr_db = int(sample_rate), int(seed), tuple(map(float, snr_db))
        self.voices, self.noises = voices, noises
        self._voice_pools = None if voices is None else dealt(voices, pools, seed, "voices")
        self._noise_pools = None if noises is None else dealt(noises, pools, seed, "noises")
        self._pool = np.arange(clips) % pools
        drawn = [self._planned(i, quiet_share) for i in range(clips)]
        self.events: list[Spans] = [spans for spans, _ in drawn]
        self.snr = np.array([snr for _, snr in drawn])
        spoken = [float((spans[:, 1] - spans[:, 0]).sum()) for spans in self.events]
        self.factors = pd.DataFrame({"snr_db": self.snr, "speech_s": spoken})
        self.group = pd.Series([f"pool {k}" for k in self._pool])
        self.path = pd.Series([f"pool_{k:02d}/{i:05d}" for i, k in enumerate(self._pool)])
        self.attribution = "; ".join(
            dict.fromkeys(s.attribution if s is not None else "synthesised by this package" for s in (voices, noises))
        )
        self.note = (
            f"{pools} pools of {'recorded' if voices is not None else 'synthetic'} voices and "
            f"{'recorded' if noises is not None else 'synthetic'} noises; no voice and no noise is in two pools. "
            "Speech begins and ends where it was put, so the labels are exact"
            + (" but for pauses inside a recorded utterance." if voices is not None else ".")
        )
        self.preprocessing = {"sample_rate": self.sample_rate}
        sources = [s.fingerprint if s is not None else "synthetic" for s in (voices, noises)]
        recipe = hash_of(
            f"voices-in-noise-{VERSION}", seed, sample_rate, self.length, self.snr_db, quiet_share, *sources
        )
        self.clip_keys = [f"{recipe}:{path}" for path in self.path]

    def _planned(self, i: int, quiet_share: float) -> tuple[Spans, float]:
        """When somebody speaks in clip `i`, and how loud."""
        rng = stream(self.seed, "voices in noise, plan", i)
        snr = float(rng.uniform(*self.snr_db))
        seconds = self.length / self.sample_rate
        if rng.random() < quiet_share:
            return united([]), snr
        spans, at = [], rng.uniform(0.0, 0.4 * seconds)
        while at < seconds - 0.2:
            stop = min(seconds, at + rng.uniform(0.25, 0.9))
            spans.append((round(at, 3), round(stop, 3)))
            at = stop + rng.uniform(0.15, 0.8)
        return united(spans), snr

    def render(self, i: int) -> np.ndarray:
        """Computes clip `i`, float32, shape `(length,)`."""
        rng = stream(self.seed, "voices in noise", i)
        pool = int(self._pool[i])
        if self._noise_pools is None:
            own = stream(self.seed, "noise of a pool", pool, int(rng.integers(4)))
            background = noise(own, self.length, self.sample_rate)
            background = np.roll(background, int(rng.integers(self.length)))
        else:
            background = unit(window(self.noises.waveform(int(rng.choice(self._noise_pools[pool]))), self.length, rng))
        speaker = draw_speaker(stream(self.seed, "speaker of a pool", pool, int(rng.integers(3))))
        speech = np.zeros(self.length, dtype=np.float32)
        edge = round(EDGE_S * self.sample_rate)
        for start, stop in self.events[i]:
            a, b = round(start * self.sample_rate), round(stop * self.sample_rate)
            if self._voice_pools is None:
                said = utterance(speaker, rng, b - a, self.sample_rate)
            else:
                takes = rng.permutation(self._voice_pools[pool])
                said = unit(joined((self.voices.waveform(int(take)) for take in takes), b - a))
            ramp = np.minimum(1.0, np.minimum(np.arange(b - a) + 1, np.arange(b - a)[::-1] + 1) / edge)
            speech[a:b] += (said * ramp).astype(np.float32)
        mixed = background + np.float32(10.0 ** (self.snr[i] / 20.0)) * speech
        level = 10.0 ** (rng.uniform(-30.0, -15.0) / 20.0)
        mixed = mixed * np.float32(level / np.sqrt(np.mean(mixed**2)))
        return (mixed * min(1.0, 0.99 / np.abs(mixed).max())).astype(np.float32)


class SyntheticSpeakers(Rendered):
    """Utterances of synthetic speakers, each recorded in several sessions: a room's colour and noise of its own.

    A group is a session, so that a speaker is told in sessions that were not trained on.

    Args:
        clips: Number of clips; clip `i` is of speaker `i % speakers`.
        speakers: Number of speakers.
        sessions: Sessions per speaker.
        duration_s: Duration of a clip [s].
        sample_rate: [Hz].
        seed: Seed of everything.
        **rendering: As in `Rendering`.
    Raises:
        UserError: If there are fewer clips than sessions of all speakers or than two speakers, or clips under 0.5 s.
    """

    name = "Synthetic speakers"
    attribution = "synthesised by this package"

    def __init__(
        self,
        clips: int = 600,
        speakers: int = 12,
        sessions: int = 6,
        duration_s: float = 1.0,
        sample_rate: int = 16000,
        seed: int = 0,
        **rendering: Unpack[Rendering],
    ) -> None:
        if speakers < 2 or sessions < 1 or clips < speakers * sessions or not duration_s >= 0.5:
            raise UserError(
                f"expected at least 2 speakers, a clip per session ({speakers} x {sessions}) and clips of 0.5 s, "
                f"got {speakers}, {clips} clips and {duration_s} s"
            )
        super().__init__(clips, round(duration_s * sample_rate), **rendering)
        self.sample_rate, self.seed = int(sample_rate), int(seed)
        self._speaker = np.arange(clips) % speakers
        self._session = np.arange(clips) // speakers % sessions
        self.factors = pd.DataFrame({"speaker": [f"speaker {k:02d}" for k in self._speaker]})
        pairs = list(zip(self._speaker.tolist(), self._session.tolist(), strict=True))
        self.group = pd.Series([f"{k:02d}:{s}" for k, s in pairs])
        self.path = pd.Series([f"{k:02d}/{s}/{i:05d}" for i, (k, s) in enumerate(pairs)])
        self.preprocessing = {"sample_rate": self.sample_rate}
        self.note = (
            f"Synthetic: {speakers} speakers in {sessions} sessions each; a session has its own noise and colour."
        )
        key = f"synthetic-speakers-{VERSION}:{seed}:{sample_rate}:{self.length}:{speakers}:{sessions}"
        self.clip_keys = [f"{key}:{path}" for path in self.path]

    def render(self, i: int) -> np.ndarray:
        """Computes clip `i`, float32, shape `(length,)`."""
        rng = stream(self.seed, "synthetic utterance", i)
        speaker, session = int(self._speaker[i]), int(self._session[i])
        said = utterance(
            draw_speaker(stream(self.seed, "synthetic speaker", speaker)), rng, self.length, self.sample_rate
        )
        room = stream(self.seed, "synthetic session", speaker, session)
        colour = 10.0 ** (np.cumsum(room.normal(0.0, 2.0, 6)) / 20.0)
        spectrum = np.fft.rfft(said)
        spectrum *= np.interp(np.linspace(0.0, 5.0, len(spectrum)), np.arange(6), colour)
        said = np.fft.irfft(spectrum, self.length)
        said /= np.sqrt(np.mean(said**2))
        floor = noise(room, self.length, self.sample_rate) * 10.0 ** (-room.uniform(10.0, 25.0) / 20.0)
        mixed = (said + np.roll(floor, int(rng.integers(self.length)))) * 10.0 ** (rng.uniform(-30.0, -15.0) / 20.0)
        return (mixed * min(1.0, 0.99 / np.abs(mixed).max())).astype(np.float32)
