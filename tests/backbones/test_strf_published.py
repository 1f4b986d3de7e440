"""What the published code does wrongly is done on purpose: a batch's floor, late frames, scrambled frames."""

import numpy as np
import torch

from audiointerp.backbones.strf_network import PUBLISHED, STRFNetwork
from audiointerp.backbones.strf_published import BatchFloor, Scrambled


def test_what_a_clip_gives_depends_on_its_neighbours():
    floor = BatchFloor(80.0)
    quiet, loud = torch.full((1, 30, 4), -20.0), torch.full((1, 30, 4), 5.0)
    assert torch.equal(floor(quiet), quiet)
    assert torch.allclose(floor(torch.cat([quiet, loud]))[:1], torch.full_like(quiet, 5.0 - 8.0 * np.log(10.0)))


def test_frames_are_late():
    levels = torch.arange(20.0)[None, :, None]
    late = BatchFloor(80.0)(levels)[0, :, 0]
    assert late[:16].tolist() == list(range(4, 20)) and late[16:].tolist() == [19.0] * 4  # 54 ms are 4.3 frames
    assert BatchFloor(80.0)(levels[:, :2]).shape == (1, 2, 1)


def test_features_are_scrambled_as_a_reshape_does():
    features = torch.arange(6.0).reshape(1, 3, 2)  # frames 0 1 | 2 3 | 4 5
    assert Scrambled()(features)[0].tolist() == [[0.0, 2.0], [4.0, 1.0], [3.0, 5.0]]


def test_the_published_front_end_is_put_together_of_its_mistakes():
    model = STRFNetwork(["a", "b"], front=PUBLISHED, filters=4, frames=11, bins=9, recurrent=True)
    assert model.strf.published and not model.strf.zero_mean and not model.strf.unit_norm
    assert model.strf.edges == "zeros" and all(value.requires_grad for value in model.strf.parameters())
    assert np.diff(np.log2(model.centres_hz)).std() > 0.01  # a mel axis
    assert float(model.strf._f[0]) == -4.0 and float(model.strf._f[-1]) == 5.0
    names = [type(layer).__name__ for layer in model.recurrence]
    assert names == ["Scrambled", "Recurrence"]
    waveforms = 0.1 * torch.randn(2, 16000, generator=torch.Generator().manual_seed(0))
    assert model(model.front_end(waveforms)).shape == (2, 2)
