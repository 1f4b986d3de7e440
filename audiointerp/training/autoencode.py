"""Training of audio autoencoders: by spectra at several resolutions, or, for a WaveNet decoder, sample by sample."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from audiointerp.backbones.autoencoder import SKETCH_BANDS, SKETCH_CENTRE, SKETCH_SCALE
from audiointerp.backbones.harmonic import PITCH_RANGE, HarmonicAutoencoder, pitch_targets
from audiointerp.backbones.wavenet import WaveNetAutoencoder, mu_law_classes
from audiointerp.probes.pitch import CLEAR, track_pitch
from audiointerp.study import stream
from audiointerp.training.schedule import warm_up_cosine
from audiointerp.training.spectral import frame_spectra, spectral_distance

AUDIBLE = 1e-6
"""Mean power of a frame whose pitch counts, or more (-60 dB)."""


class CropBatches(IterableDataset):
    """Random crops of random notes, drawn anew for each epoch from (seed, epoch).

    Args:
        waveforms: Float32 `(N, L)`; they are not copied.
        rows: Which of them.
        batch: Crops per batch.
        crop: Samples of a crop; where it is longer than L, whole notes are given.
        batches: Batches of each epoch.
        seed: Root seed.
        epoch: Tells the epoch when an iteration starts.
    """

    def __init__(
        self,
        waveforms: np.ndarray,
        rows: np.ndarray,
        batch: int,
        crop: int,
        batches: Sequence[int],
        seed: int,
        epoch: Callable[[], int] = lambda: 0,
    ) -> None:
        self.waveforms, self.rows = waveforms, np.asarray(rows, dtype=np.int64)
        self.batch, self.crop, self.batches = int(batch), min(int(crop), waveforms.shape[1]), list(batches)
        self.seed, self.epoch = seed, epoch

    def __iter__(self) -> Iterator[Tensor]:
        rng = stream(self.seed, "crops", self.epoch())
        for _ in range(self.batches[self.epoch()]):
            rows = self.rows[rng.integers(len(self.rows), size=self.batch)]
            starts = rng.integers(self.waveforms.shape[1] - self.crop + 1, size=self.batch)
            crops = [self.waveforms[row, start : start + self.crop] for row, start in zip(rows, starts, strict=True)]
            yield torch.from_numpy(np.stack(crops))

    def loader(self) -> DataLoader:
        """Wraps the batches for Lightning; they come from memory, no worker is needed."""
        return DataLoader(self, batch_size=None)


class WholeNotes(IterableDataset):
    """Whole notes, in order.

    Args:
        waveforms: Float32 `(N, L)`.
        rows: Which of them.
        batch: Notes at once.
    """

    def __init__(self, waveforms: np.ndarray, rows: np.ndarray, batch: int) -> None:
        self.waveforms, self.rows, self.batch = waveforms, np.asarray(rows, dtype=np.int64), int(batch)

    def __iter__(self) -> Iterator[Tensor]:
        for start in range(0, len(self.rows), self.batch):
            yield torch.from_numpy(self.waveforms[self.rows[start : start + self.batch]])

    def loader(self) -> DataLoader:
        """Wraps the notes for Lightning."""
        return DataLoader(self, batch_size=None)


class AutoencoderTraining(pl.LightningModule):
    """Fits an autoencoder so that its reconstructions have the spectra of the sounds, at several resolutions.

    Two further terms make the code readable sooner: the spectrum of each frame is read off the code by a small head
    (for the first steps it is all that is trained), and channels that repeat one another are penalised.

    Args:
        network: The autoencoder.
        learning_rate: Largest step size of AdamW; it rises for a tenth of the steps, then falls as a cosine.
        steps: Optimiser steps in all.
        sketch_steps: First steps, without the decoder.
        sketch: Weight of the spectrum that is read off the code.
        feedback: Share of the decoder's gradient that reaches the encoder.
        decorrelation: Weight of the mean squared correlation between channels.
    """

    def __init__(
        self,
        network: nn.Module,
        learning_rate: float,
        steps: int,
        sketch_steps: int = 0,
        sketch: float = 1.0,
        feedback: float = 1.0,
        decorrelation: float = 0.0,
    ) -> None:
        super().__init__()
        self.network, self.learning_rate, self.steps = network, learning_rate, steps
        self.sketch_steps, self.sketch = sketch_steps, sketch
        self.feedback, self.decorrelation = feedback, decorrelation
        self.history: list[dict[str, float]] = []
        self._began = time.process_time()

    def seconds(self) -> float:
        """Gives the processor seconds since training began, those before it was cut off among them."""
        return time.process_time() - self._began

    def loss(self, waveforms: Tensor) -> Tensor:
        """Gives the loss of a batch of waveforms `(B, L)`."""
        codes = self.network.encode(waveforms)
        waveforms = waveforms[:, : codes.shape[2] * self.network.hop]
        heard = self.listen(waveforms)
        loss = self.reading_loss(codes, waveforms, heard)
        if self.global_step < self.sketch_steps and self.training:
            return loss
        held = codes.detach()
        return loss + spectral_distance(waveforms, self.decode(held + self.feedback * (codes - held), heard))

    def listen(self, waveforms: Tensor) -> Any:
        """Gives what else training hears in waveforms `(B, T * hop)`: nothing."""

    def reading_loss(self, codes: Tensor, waveforms: Tensor, heard: Any) -> Tensor:
        """Gives the loss of what is read off codes `(B, C, T)` of waveforms `(B, T * hop)`, and of their repetition."""
        spectra = frame_spectra(waveforms, self.network.sample_rate, self.network.hop, SKETCH_BANDS)
        spectra = (spectra - SKETCH_CENTRE) / SKETCH_SCALE
        loss = self.sketch * (self.network.sketch(codes) - spectra).square().mean()
        return loss + self.decorrelation * repetition(codes)

    def decode(self, codes: Tensor, heard: Any) -> Tensor:
        """Decodes codes `(B, C, T)`."""
        return self.network.decode(codes)

    def training_step(self, batch: Tensor, index: int) -> Tensor:
        loss = self.loss(batch)
        self.log("train_loss", loss.detach(), on_step=False, on_epoch=True, batch_size=len(batch))
        return loss

    def validation_step(self, batch: Tensor, index: int) -> None:
        self.log("val_loss", self.loss(batch), on_step=False, on_epoch=True, batch_size=len(batch))

    def on_train_epoch_end(self) -> None:
        values = {name: float(value) for name, value in self.trainer.callback_metrics.items()}
        self.history.append({"epoch": self.current_epoch + 1, "step": self.global_step} | values)

    def on_save_checkpoint(self, checkpoint: dict) -> None:
        checkpoint["history"], checkpoint["seconds"] = list(self.history), self.seconds()

    def on_load_checkpoint(self, checkpoint: dict) -> None:
        self.history = list(checkpoint["history"])
        self._began -= checkpoint["seconds"]

    def configure_optimizers(self) -> dict:
        optimizer = torch.optim.AdamW(self.network.parameters(), self.learning_rate, betas=(0.9, 0.95), foreach=True)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: warm_up_cosine(step, self.steps, 0.1))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def repetition(codes: Tensor) -> Tensor:
    """Gives the mean squared correlation between different channels of codes `(B, C, T)`, over all frames.

    Example:
        >>> codes = torch.tensor([[[1.0, -1.0, 1.0, -1.0], [1.0, 1.0, -1.0, -1.0]]])
        >>> float(repetition(codes)), round(float(repetition(codes[:, [0, 0]])), 3)
        (0.0, 1.0)
    """
    rows = codes.transpose(1, 2).flatten(0, 1)
    rows = rows - rows.mean(0)
    rows = rows / (rows.square().mean(0) + 1e-6).sqrt()
    correlation = rows.T @ rows / len(rows)
    apart = correlation - torch.diag(correlation.diagonal())
    return apart.square().sum() / max(1, len(apart) * (len(apart) - 1))


class HarmonicTraining(AutoencoderTraining):
    """Fits a harmonic autoencoder: the pitch of each frame is read off the code as well, by cross-entropy.

    What it is to be comes from the waveform, by YIN, wherever a frame is loud and periodic enough; no label is used.
    In training the decoder sounds at that pitch, as a spectrum tells little of how to mend a wrong one.

    Args:
        network: The autoencoder.
        pitch: Weight of the cross-entropy.
        settings: Those of `AutoencoderTraining`.
    """

    network: HarmonicAutoencoder

    def __init__(self, network: HarmonicAutoencoder, *settings: float, pitch: float = 0.05) -> None:
        super().__init__(network, *settings)
        self.pitch = pitch

    @torch.no_grad()
    def listen(self, waveforms: Tensor) -> tuple[Tensor, Tensor]:
        """Gives the pitch [Hz] of the frames of waveforms `(B, T * hop)`, and which have one, each `(B, T)`."""
        hz, aperiodicity, power = track_pitch(waveforms, self.network.sample_rate, self.network.hop, *PITCH_RANGE)
        return hz, (aperiodicity < CLEAR) & (power > AUDIBLE)

    def reading_loss(self, codes: Tensor, waveforms: Tensor, heard: tuple[Tensor, Tensor]) -> Tensor:
        hz, clear = heard
        logits = self.network.pitch_logits(codes)
        entropy = -(pitch_targets(hz) * logits.log_softmax(1)).sum(1)
        unknown = (entropy * clear).sum() / clear.sum().clamp(min=1)
        return super().reading_loss(codes, waveforms, heard) + self.pitch * unknown

    def decode(self, codes: Tensor, heard: tuple[Tensor, Tensor]) -> Tensor:
        if not self.training:
            return self.network.decode(codes)
        hz, clear = heard
        with torch.no_grad():
            hz = torch.where(clear, hz, self.network.pitch(codes))
        return self.network.sound(codes, hz)


class WaveNetTraining(AutoencoderTraining):
    """Fits a WaveNet autoencoder: cross-entropy of each sample's mu-law class given those before it and the code."""

    network: WaveNetAutoencoder

    def loss(self, waveforms: Tensor) -> Tensor:
        logits = self.network(waveforms)
        classes = mu_law_classes(waveforms[:, : logits.shape[-1]])
        return F.cross_entropy(logits, classes)
