"""Notes of one length with their roles and labels, and how a network of sounds hears them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import torch

from audiointerp import audio
from audiointerp.activations.base import capture
from audiointerp.backbones.base import Backbone
from audiointerp.data.base import Sounds
from audiointerp.data.segments import pad_to
from audiointerp.data.splits import assign_roles, check_shares
from audiointerp.study import UserError, stream
from audiointerp.training.spectral import log_mel

FAMILY, PITCH, VELOCITY, SOURCE = "instrument_family", "pitch", "velocity", "instrument_source"
ROLES = ("train", "select", "test")
MOST_BYTES = 16e9
AT_ONCE = 64


@dataclass(frozen=True)
class Notes:
    """The notes of a study.

    Attributes:
        sounds: Where they come from.
        waveforms: Float32 `(N, L)`.
        classes: Names of the families, sorted.
        labels: Family of each note, int `(N,)`.
        pitch: MIDI pitch, float `(N,)`.
        velocity: Float `(N,)`.
        groups: Group of each note, int `(N,)`.
        roles: Role of each note by groups, str `(N,)`.
        random_roles: The same numbers of notes drawn without regard to groups, as published.
        source: What kind of instrument it is (acoustic, electronic, synthetic), str `(N,)`; None where all are of one.
        padded: Share of the notes that were shorter and have been padded.
    """

    sounds: Sounds
    waveforms: np.ndarray
    classes: tuple[str, ...]
    labels: np.ndarray
    pitch: np.ndarray
    velocity: np.ndarray
    groups: np.ndarray
    roles: np.ndarray
    random_roles: np.ndarray
    source: np.ndarray | None
    padded: float

    def rows(self, role: str, split: str = "groups") -> np.ndarray:
        """Gives the notes of a role, of the split by `groups` or the `random` one."""
        return np.flatnonzero((self.roles if split == "groups" else self.random_roles) == role)

    def says(self, i: int) -> str:
        """Names a note."""
        return f"{self.classes[self.labels[i]]}, pitch {self.pitch[i]:.0f}, velocity {self.velocity[i]:.0f}"


def notes_of(
    sounds: Sounds, sample_rate: int, duration_s: float, shares: Mapping[str, float], seed: int, progress: Callable
) -> Notes:
    """Reads the notes, cuts or pads them to one length, and gives groups their roles.

    Args:
        sounds: Notes with the factor instrument_family, and with pitch and velocity as factors or in the reader's own
            table: one that does not vary is no factor.
        sample_rate: What the autoencoder takes [Hz].
        duration_s: Their length [s].
        shares: Share of the groups per role: train, select, test.
        seed: Seed of the roles.
        progress: Wraps an iterable; a progress bar.
    Raises:
        UserError: If a factor is missing, the rate is another one, there is one family only, a role is empty or lacks
            a family that is tested, or the notes do not fit into memory.
    """
    pitch, velocity = _numbers(sounds, PITCH), _numbers(sounds, VELOCITY)
    if FAMILY not in sounds.factors or pitch is None or velocity is None:
        raise UserError(
            f"expected the factors {FAMILY}, {PITCH} and {VELOCITY}, {sounds.name} gives {', '.join(sounds.factors)}: "
            f"set data.factors=[{FAMILY},{PITCH},{VELOCITY}]"
        )
    if sounds.sample_rate != sample_rate:
        raise UserError(
            f"expected notes at {sample_rate} Hz (model.sample_rate), got {sounds.sample_rate}: set data.sample_rate"
        )
    length = round(duration_s * sample_rate)
    if 4.0 * length * len(sounds) > MOST_BYTES:
        raise UserError(
            f"expected notes that fit into {MOST_BYTES / 1e9:.0f} GB of memory, got {len(sounds)} of {duration_s} s: "
            "set data.clips, or a shorter study.duration_s"
        )
    families = sounds.factors[FAMILY].astype(str)
    classes = tuple(sorted(families.unique()))
    if len(classes) < 2:
        raise UserError(f"expected notes of two families or more, all are {classes[0]!r}: widen data.where")
    shares = check_shares(shares)
    roles = assign_roles(sounds.group, sounds.factors[[FAMILY]], shares, seed)
    labels = pd.Index(classes).get_indexer(families)
    _check_roles(roles, labels, classes)
    waveforms = np.empty((len(sounds), length), dtype=np.float32)
    for start in progress(range(0, len(sounds), AT_ONCE), description="reading notes", unit="batch"):
        for i in range(start, min(start + AT_ONCE, len(sounds))):
            waveforms[i] = pad_to(sounds.waveform(i)[:length], length, sample_rate, sounds.pad)
    return Notes(
        sounds,
        waveforms,
        classes,
        labels,
        pitch,
        velocity,
        pd.factorize(sounds.group)[0],
        roles,
        stream(seed, "random roles").permutation(roles),
        _sources(sounds, roles),
        float((np.asarray(sounds.lengths) < length).mean()),
    )


def _numbers(sounds: Sounds, name: str) -> np.ndarray | None:
    """Gives a number of each note, from the factors or the reader's own table; None where neither has it."""
    table = sounds.factors if name in sounds.factors else getattr(sounds, "notes", None)
    return None if table is None or name not in table else table[name].to_numpy(dtype=float)


def _sources(sounds: Sounds, roles: np.ndarray) -> np.ndarray | None:
    """Gives the source of each note, from the factors or the reader's own table; None where training has but one."""
    table = sounds.factors if SOURCE in sounds.factors else getattr(sounds, "notes", None)
    if table is None or SOURCE not in table:
        return None
    source = table[SOURCE].to_numpy(dtype=str)
    return source if len(np.unique(source[roles == "train"])) > 1 else None


def _check_roles(roles: np.ndarray, labels: np.ndarray, classes: tuple[str, ...]) -> None:
    for role in ROLES:
        held = np.unique(labels[roles == role])
        if not len(held):
            raise UserError(
                f"expected notes in the role {role!r}, got none of {len(roles)}: more groups (instruments, or pitches "
                "of one) are needed, or another share in study.roles"
            )
    absent = np.setdiff1d(np.unique(labels[roles == "test"]), np.unique(labels[roles == "train"]))
    if len(absent):
        raise UserError(
            f"expected training notes of every family that is tested, {classes[absent[0]]!r} has none: more groups per "
            "family are needed, or fewer families in data.where"
        )


def log_mel_features(waveforms: np.ndarray, sample_rate: int, bands: int) -> np.ndarray:
    """Gives the log-mel levels of notes `(N, L)`, flattened, float32 `(N, bands * T)`."""
    parts = torch.from_numpy(waveforms).split(AT_ONCE)
    return torch.cat([log_mel(part, sample_rate, bands=bands).flatten(1) for part in parts]).numpy()


def channel_means(activations: torch.Tensor, axis: int) -> torch.Tensor:
    """Averages activations `(B, ...)` over all axes but the channels'; gives `(B, C)`.

    Example:
        >>> channel_means(torch.zeros(2, 7, 3), axis=-1).shape, channel_means(torch.zeros(2, 3), axis=1).shape
        (torch.Size([2, 3]), torch.Size([2, 3]))
    """
    return activations.movedim(axis, 1).unsqueeze(-1).flatten(2).mean(2)


@dataclass(frozen=True)
class Listener:
    """A network of sounds and the mean activity of its layers over each note.

    Attributes:
        backbone: The network.
        sample_rate: Of the notes [Hz].
    """

    backbone: Backbone
    sample_rate: int

    def hear(self, waveforms: np.ndarray, layers: list[str] | None = None) -> dict[str, np.ndarray]:
        """Gives each layer's channels, averaged over all other axes (time, frequency) and the segments of each note.

        Args:
            waveforms: Float32 `(N, L)`.
            layers: Names of layers; None for all.
        Returns:
            Layer to float32 `(N, channels)`.
        """
        net = self.backbone
        chosen = {name: net.layers[name] for name in (layers or net.layers)}
        means = {name: partial(channel_means, axis=net.channel_axis(name)) for name in chosen}
        found: dict[str, list[torch.Tensor]] = {name: [] for name in chosen}
        device = next(net.parameters()).device
        for start in range(0, len(waveforms), AT_ONCE):
            segments = self._segments(waveforms[start : start + AT_ONCE])
            with torch.no_grad(), capture(net, chosen, means) as values:
                net(net.front_end(segments.flatten(0, 1).to(device)))
                for name in chosen:
                    per_note = values[name].unflatten(0, segments.shape[:2]).mean(1)
                    found[name].append(per_note.float().cpu())
        return {name: torch.cat(parts).numpy() for name, parts in found.items()}

    def _segments(self, waveforms: np.ndarray) -> torch.Tensor:
        """Cuts notes `(n, L)` into the network's segments `(n, S, length)`."""
        net = self.backbone
        if self.sample_rate != net.sample_rate:
            waveforms = np.stack([audio.resample(row, self.sample_rate, net.sample_rate) for row in waveforms])
        missing = max(0, net.segment_samples - waveforms.shape[1])
        padded = torch.from_numpy(np.pad(waveforms, ((0, 0), (0, missing))))
        return padded.unfold(1, net.segment_samples, net.hop_samples)
