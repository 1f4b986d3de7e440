"""Explainers: captum's methods agree with what can be worked out, masks keep what they say, calls are alike."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from audiointerp.backbones.cnn12 import CNN12
from audiointerp.sonify.explainers import METHODS, Unfolded, attribute
from audiointerp.sonify.explanations import REFERENCES, MelExplainer, WaveformExplainer
from audiointerp.sonify.mel_masks import MelFrames, joined, to_mask
from audiointerp.sonify.randomise import cascade
from audiointerp.study import UserError

SIZE = {"channels": [6, 8, 8], "kernels": [11, 3, 3], "pools": [4, 1, 4], "embedding": 8, "segment_s": 0.2}


def cnn12(seed=0):
    return CNN12(seed=seed, output_names=["dog", "rain", "saw"], **SIZE)


def features(samples=1600, clips=2):
    return cnn12().front_end(torch.randn(clips, samples, generator=torch.Generator().manual_seed(0)))


def test_unfolded_networks_give_the_same_logits_and_maps():
    network, x = cnn12(), features()
    torch.testing.assert_close(Unfolded(network)(x), network(x))
    torch.testing.assert_close(Unfolded(network, "block2")(x), network.pooled(x)["block2"])
    with pytest.raises(UserError, match="a layer from block1"):
        Unfolded(network, "embedding")
    with pytest.raises(UserError, match="resume"):
        Unfolded(nn.Sequential(nn.Conv1d(1, 1, 3, padding=1), nn.ReLU()))


def test_saliency_is_the_gradient():
    network, x = Unfolded(cnn12()), features()
    moved = x.clone().requires_grad_(True)
    network(moved)[[0, 1], [2, 1]].sum().backward()
    torch.testing.assert_close(attribute(network, x, torch.tensor([2, 1]), "saliency"), moved.grad)


def test_integrated_gradients_sum_to_the_change():
    network, x, target = Unfolded(cnn12()), features(), torch.tensor([2, 1])
    found = attribute(network, x, target, "integrated gradients", steps=200).sum((1, 2))
    change = (network(x) - network(torch.zeros_like(x)))[[0, 1], target]
    torch.testing.assert_close(found, change, rtol=0.05, atol=0.02)


def test_relevance_of_a_network_without_biases_is_gradient_times_input():
    network, x, target = Unfolded(cnn12()), features(), torch.tensor([0, 2])
    found = attribute(network, x, target, "LRP")
    expected = x * attribute(network, x, target, "saliency")
    torch.testing.assert_close(found, expected, rtol=0.02, atol=2e-4 * float(expected.abs().max()))


@pytest.mark.parametrize("method", METHODS)
def test_explaining_changes_nothing_in_the_network(method):
    network, x = Unfolded(cnn12()), features()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    one = attribute(network, x, torch.tensor([0, 1]), method)
    assert torch.equal(one, attribute(network, x, torch.tensor([0, 1]), method)) and one.shape == x.shape
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not any(part._forward_hooks or part._backward_hooks for part in network.modules())


def test_unknown_methods_are_refused():
    with pytest.raises(UserError, match="a method out of saliency"):
        attribute(Unfolded(cnn12()), features(), torch.tensor([0, 1]), "lime")


def test_waveform_explanations_are_sounds_of_the_clips_peak():
    x = 0.4 * torch.randn(1600, generator=torch.Generator().manual_seed(1))
    explain = WaveformExplainer(cnn12(), ["block2"])
    assert explain.methods == ("DeconvNet, block2", *METHODS, *REFERENCES)
    for method in explain.methods:
        item = explain(x, 1, method)
        assert item.sound.shape == item.rest.shape == x.shape
        assert float(item.sound.abs().max()) == pytest.approx(float(x.abs().max()), rel=1e-5)
        assert float(item.rest.square().sum()) <= float(x.square().sum()) * (1 + 1e-5)
    assert float(explain(x, 1, "whole clip").rest.abs().max()) < 1e-5
    assert not torch.equal(explain(x, 1, "noise", clip=0).sound, explain(x, 1, "noise", clip=1).sound)
    assert not torch.equal(explain(x, 1, "saliency").sound, explain(x, 2, "saliency").sound)
    with pytest.raises(UserError, match="a method out of"):
        explain(x, 1, "lime")
    with pytest.raises(UserError, match="a layer from block1"):
        WaveformExplainer(cnn12(), ["block9"])


class Bands(nn.Module):
    """Logits that are the energy in the lower and in the upper half of the bands."""

    def __init__(self):
        super().__init__()
        self.relu = nn.ReLU()

    def forward(self, patches):
        loud = self.relu(patches + 7.0)
        return torch.stack([loud[..., :32].mean((1, 2, 3)), loud[..., 32:].mean((1, 2, 3))], dim=1)


def mel_frames():
    from audiointerp.backbones.yamnet import FFT, HOP, LogMel

    log_mel = LogMel()
    return MelFrames(log_mel.window, HOP, FFT, log_mel.mel), log_mel


def tones():
    time = torch.arange(24000) / 16000
    return torch.sin(2 * torch.pi * 500 * time), torch.sin(2 * torch.pi * 4000 * time)


def test_a_full_mask_gives_the_clip_back():
    frames, log_mel = mel_frames()
    low, high = tones()
    back = frames.masked(low + high, torch.ones(frames.count(24000), 64))
    torch.testing.assert_close(back[500:-600], (low + high)[500:-600], rtol=0, atol=2e-3)
    assert log_mel((low + high)[None]).shape[1] == frames.count(24000)
    assert not frames.masked(low, torch.zeros(frames.count(24000), 64)).any()


def test_a_mask_keeps_its_bands_and_times():
    frames, _ = mel_frames()
    low, high = tones()
    mask = torch.zeros(frames.count(24000), 64)
    mask[:, 32:] = 1
    torch.testing.assert_close(frames.masked(low + high, mask)[500:-600], high[500:-600], rtol=0, atol=0.03)
    mask[70:] = 0
    kept = frames.masked(high, mask)
    assert kept[12000:].abs().max() == 0 and kept[2000:10000].abs().max() > 0.9
    with pytest.raises(UserError, match="a mask of shape"):
        frames.masked(low, mask[1:])


def test_masks_are_the_positive_part_and_patches_join():
    mask = to_mask(torch.tensor([-3.0, 0.0, 1.0, 4.0]), quantile=1.0)
    assert mask.tolist() == [0, 0, 0.25, 1] and to_mask(-torch.ones(3)).tolist() == [0, 0, 0]
    assert joined(torch.ones(2, 96, 64), 48, 150).sum(1).tolist() == [64.0] * 144 + [0.0] * 6


@pytest.mark.parametrize("method", METHODS)
def test_mel_explanations_of_a_known_network_keep_the_right_tone(method):
    frames, log_mel = mel_frames()
    low, high = tones()
    silence = float(np.log(0.001))
    explain = MelExplainer(Bands().eval(), log_mel, frames, 96, 48, silence)
    item = explain(low + high, 1, method)
    assert len(item.sound) == explain.usable(24000) <= 24000
    part = slice(3000, 12000)
    ours, theirs = (float((item.sound[part] * tone[part]).mean()) for tone in (high, low))
    assert ours > 0.3 and abs(theirs) < 0.02  # a unit tone has .5 with itself
    rest = float((item.rest[part] * low[part]).mean())
    assert rest > 0.45


def test_clips_shorter_than_a_patch_are_refused():
    frames, log_mel = mel_frames()
    explain = MelExplainer(Bands(), log_mel, frames, 96, 48, -6.9)
    with pytest.raises(UserError, match="at least 15600 samples"):
        explain(torch.ones(15000), 0, "saliency")
    first, second = (explain(torch.ones(16000), 0, "noise", clip=clip).attribution for clip in (0, 1))
    assert not torch.equal(first, second)
    assert explain.usable(15600) == 15600 and explain.usable(15600 + 48 * 160 + 5) == 15600 + 48 * 160
    assert set(explain.methods) == {*METHODS, *REFERENCES}


def test_blocks_become_random_from_the_layer_downwards():
    network, fresh = cnn12(0), cnn12(1)
    before = copy.deepcopy(network.state_dict())
    seen = []
    for random, changed in cascade(network, fresh, 2):
        same = [torch.equal(changed.blocks[n].conv.weight, network.blocks[n].conv.weight) for n in range(3)]
        seen.append((random, same))
    assert seen == [(0, [True, True, True]), (1, [True, False, True]), (2, [False, False, True])]
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    with pytest.raises(UserError, match="a depth from 1 to 3"):
        next(cascade(network, fresh, 4))
