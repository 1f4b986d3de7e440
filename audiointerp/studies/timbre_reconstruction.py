"""How well notes come back from a code."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import torch
from torch import nn

from audiointerp.data.instruments import midi_hz
from audiointerp.probes.pitch import cents, estimate_pitch
from audiointerp.statistics.intervals import cluster_interval
from audiointerp.studies.timbre_notes import Notes
from audiointerp.study import RunContext, stream
from audiointerp.training.fit_autoencoder import FittedAutoencoder
from audiointerp.training.spectral import log_mel_distance, spectral_distance


def reconstruct(context: RunContext, notes: Notes, networks: Mapping[str, nn.Module]) -> pd.DataFrame:
    """Measures reconstructions of test notes, beside those of an untrained network and of another note."""
    test = notes.rows("test")
    rate = notes.sounds.sample_rate
    real = torch.from_numpy(notes.waveforms[test])
    rows = []
    sounds = {"another note": notes.waveforms[stream(context.seed, "another note").permutation(test)]}
    sounds |= {"the note itself": notes.waveforms[test]}
    for name, network in networks.items():
        fitted = FittedAutoencoder(network, [], 0.0)
        sounds[name] = np.clip(fitted.decode(fitted.encode(notes.waveforms[test])), -1.0, 1.0)
    for name, found in sounds.items():
        length = found.shape[1]
        hz, _ = estimate_pitch(found, rate)
        error = np.abs(cents(hz, midi_hz(notes.pitch[test])))
        other, true = torch.from_numpy(np.ascontiguousarray(found)), real[:, :length].contiguous()
        measures = {
            "multi-resolution STFT distance": spectral_distance(true, other, per_sound=True).numpy(),
            "log-mel distance [dB]": log_mel_distance(true, other, rate).numpy(),
            "within 50 cents of the note [share]": (error < 50).astype(float),
        }
        for measure, values in measures.items():
            interval = cluster_interval(values.astype(float), notes.groups[test], seed=context.seed)
            rows.append(
                {"sound": name, "measure": measure, "value": interval.estimate, "ci_low": interval.low,
                 "ci_high": interval.high, "interval": interval.kind, "n": len(test)}
            )  # fmt: skip
        rows.append({"sound": name, "measure": "pitch error, median [cents]", "value": float(np.median(error)),
                     "interval": "none: a median", "n": len(test)})  # fmt: skip
    return pd.DataFrame(rows)
