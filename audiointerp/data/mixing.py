"""Recordings put into recorded noises: dealt out over pools, cut to length, mixed at known ratios."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from typing_extensions import Unpack

from audiointerp.data.base import Sounds, hash_of, nearest
from audiointerp.data.rendered import Rendered, Rendering
from audiointerp.study import UserError, stream

VERSION = 1
FRAME_S = 0.01
SILENT = 1e-5
"""Largest absolute sample of a stretch that counts as digital silence (-100 dBFS)."""


def dealt(sounds: Sounds, pools: int, seed: int, name: str) -> list[np.ndarray]:
    """Positions of the clips of each pool; clips of one group stay together.

    Args:
        sounds: The recordings.
        pools: Number of pools.
        seed: Seed of the draw.
        name: What the recordings are, for the draw and for the message.
    Raises:
        UserError: If there are fewer groups than pools.
    """
    groups = np.asarray(sounds.group, dtype=str)
    names = stream(seed, "pools", name).permutation(np.unique(groups))
    if len(names) < pools:
        raise UserError(
            f"expected at least {pools} groups of {name} for {pools} pools, got {len(names)}: lower data.pools"
        )
    return [np.flatnonzero(np.isin(groups, names[k::pools])) for k in range(pools)]


def sounding(waveform: np.ndarray, frame: int = 160) -> np.ndarray:
    """A recording without its stretches of digital silence; as it is where it has nothing else.

    Args:
        waveform: Shape `(L,)`.
        frame: Samples of a stretch.
    Example:
        >>> sounding(np.array([0.5, 0.5, 0.0, 0.0, -0.5, 0.5]), frame=2).tolist()
        [0.5, 0.5, -0.5, 0.5]
    """
    whole = len(waveform) // frame * frame
    loud = np.abs(waveform[:whole]).reshape(-1, frame).max(axis=1) > SILENT
    if not loud.any():
        return waveform
    rest = waveform[whole:]
    return np.concatenate([waveform[:whole][np.repeat(loud, frame)], rest[np.abs(rest) > SILENT]])


def window(waveform: np.ndarray, length: int, rng: np.random.Generator) -> np.ndarray:
    """A window of `length` samples of what sounds in a recording, repeated where it is shorter."""
    waveform = sounding(waveform)
    waveform = np.resize(waveform, max(length, len(waveform)))
    start = int(rng.integers(len(waveform) - length + 1))
    return waveform[start : start + length]


def joined(waveforms: Iterable[np.ndarray], length: int) -> np.ndarray:
    """Recordings one after the other until `length` samples are full, all of them again where they are too few."""
    parts, filled = [], 0
    for waveform in waveforms:
        parts.append(waveform[: length - filled])
        filled += len(parts[-1])
        if filled == length:
            break
    return np.resize(np.concatenate(parts), length)


def unit(waveform: np.ndarray) -> np.ndarray:
    """A waveform of RMS 1; silence stays silence."""
    return waveform / (np.sqrt(np.mean(np.square(waveform, dtype=np.float64))) + 1e-9)


class InNoise(Rendered):
    """Recorded sounds, each once, in recorded noises at a known signal-to-noise ratio; labels are those of the sounds.

    Noises are dealt out over groups, so that a clip of a held-out group is heard in noises never heard before. Groups
    may be the levels of a factor: with `group=digit`, speakers are told by digits, and in noises, never trained on.

    Args:
        sounds: The recordings.
        noises: The noises, at the same rate.
        snr_db: Lowest and highest ratio of the sound's power, where it is heard, to the noise's [dB].
        duration_s: Duration of a clip [s]; a longer sound is cut, a shorter one begins at a random time.
        group: The factor of the sounds whose levels are the groups; None for the groups of the sounds.
        factors: Names of the sounds' factors to keep; None for all but `group`.
        sample_rate: That of both [Hz].
        seed: Seed of everything.
        **rendering: As in `Rendering`.
    Raises:
        UserError: If a number is out of range, rates differ, a factor is unknown, or there are fewer groups of noises
            than of sounds.
    """

    name = "In noise"

    def __init__(
        self,
        sounds: Sounds,
        noises: Sounds,
        snr_db: Sequence[float] = (-5.0, 5.0),
        duration_s: float = 1.0,
        group: str | None = None,
        factors: Sequence[str] | None = None,
        sample_rate: int = 16000,
        seed: int = 0,
        **rendering: Unpack[Rendering],
    ) -> None:
        if len(snr_db) != 2 or snr_db[0] > snr_db[1] or not duration_s > 0:
            raise UserError(
                f"expected data.snr_db=[lowest, highest] and a duration_s above 0, got {list(snr_db)} and {duration_s}"
            )
        for part, recorded in (("sounds", sounds), ("noises", noises)):
            if recorded.sample_rate != sample_rate:
                raise UserError(
                    f"expected data.{part} at {sample_rate} Hz, got {recorded.sample_rate} Hz: set "
                    f"data.{part}.sample_rate={sample_rate}"
                )
        known = list(sounds.factors)
        kept = [name for name in known if name != group] if factors is None else list(factors)
        for name in [*kept, *([group] if group is not None else [])]:
            if name not in known:
                raise UserError(f"data: the sounds have no factor {name!r}: {nearest(name, known)}")
        super().__init__(len(sounds), round(duration_s * sample_rate), **rendering)
        self.sample_rate, self.seed, self.snr_db = int(sample_rate), int(seed), tuple(map(float, snr_db))
        self.sounds, self.noises = sounds, noises
        self.factors = sounds.factors[kept].reset_index(drop=True)
        self.group = (sounds.group if group is None else f"{group} " + sounds.factors[group].astype(str)).astype(str)
        names, self._pool = np.unique(self.group, return_inverse=True)
        self._noise_pools = dealt(noises, len(names), seed, "noises")
        self.path = pd.Series(sounds.path)
        self.snr = np.array([stream(seed, "snr", key).uniform(*self.snr_db) for key in sounds.clip_keys])
        self.name = f"{sounds.name} in {noises.name}"
        self.attribution = "; ".join(dict.fromkeys((sounds.attribution, noises.attribution)))
        self.note = (
            f"Each sound once, in noise at {self.snr_db[0]:g} to {self.snr_db[1]:g} dB; "
            + (f"a group is a {group}" if group else "groups are those of the sounds")
            + ", and has noises of its own. "
            + sounds.note
        )
        self.preprocessing = {"sample_rate": self.sample_rate}
        recipe = hash_of(f"in-noise-{VERSION}", seed, self.length, self.snr_db, group, noises.fingerprint)
        self.clip_keys = [f"{recipe}:{pool}:{key}" for pool, key in zip(self.group, sounds.clip_keys, strict=True)]

    def render(self, i: int) -> np.ndarray:
        """Computes clip `i`, float32, shape `(length,)`."""
        rng = stream(self.seed, "in noise", self.sounds.clip_keys[i])
        noise = self.noises.waveform(int(rng.choice(self._noise_pools[self._pool[i]])))
        mixed = unit(window(noise, self.length, rng))
        sound = unit(self.sounds.waveform(i)[: self.length])
        start = int(rng.integers(self.length - len(sound) + 1))
        mixed[start : start + len(sound)] += 10.0 ** (self.snr[i] / 20.0) * sound
        mixed *= 10.0 ** (rng.uniform(-30.0, -15.0) / 20.0) / np.sqrt(np.mean(mixed**2))
        return (mixed * min(1.0, 0.99 / np.abs(mixed).max())).astype(np.float32)
