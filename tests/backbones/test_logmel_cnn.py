"""The log-mel rival: the size asked for, layers to go on from, level that does not matter."""

import pytest
import torch

from audiointerp.activations.base import capture
from audiointerp.backbones.logmel_cnn import LogMelCNN
from audiointerp.study import UserError


def noise(n=2, samples=4000):
    return torch.randn(n, samples, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("wanted", [30_000, 200_000])
def test_it_has_about_the_size_asked_for(wanted):
    network = LogMelCNN(parameters=wanted, embedding=64)
    found = sum(value.numel() for name, value in network.named_parameters() if "classifier" not in name)
    assert 0.93 * wanted < found <= wanted


def test_each_layer_captured_resumes_to_the_same_bits():
    network = LogMelCNN(parameters=20_000, embedding=16, output_names=["a", "b", "c"], seed=1)
    features = network.front_end(noise())
    with torch.no_grad(), capture(network, network.layers) as seen:
        logits = network(features)
    assert features.shape == (2, 1, 47, 64) and logits.shape == (2, 3)
    for layer, activation in seen.items():
        assert torch.equal(network.resume(layer, activation), logits), layer
    assert torch.equal(network(network.front_end(0.25 * noise())), logits)
    assert torch.equal(network.untrained(1)(features), logits)
    assert not torch.equal(network.untrained(2)(features), logits)


def test_a_tone_lights_its_own_band():
    network = LogMelCNN(parameters=20_000, embedding=16)
    time = torch.arange(8000) / 8000
    tones = [torch.sin(6.2832 * hz * time)[None] for hz in (300, 1000, 3000)]
    bands = [int(network.front_end(tone)[0, 0].mean(0).argmax()) for tone in tones]
    assert bands == sorted(bands) and len(set(bands)) == 3


def test_the_shortest_goes_through_and_less_is_refused():
    network = LogMelCNN(parameters=20_000, embedding=16)
    assert network(network.front_end(noise(1, network.shortest))).shape == (1, 2)
    with pytest.raises(ValueError, match=f"at least {network.shortest} samples .* at 8000 Hz.*, got .*data.Segments"):
        network.front_end(noise(1, network.shortest - 1))


def test_an_unknown_layer_is_refused():
    network = LogMelCNN(parameters=20_000, embedding=16)
    with pytest.raises(UserError, match=r"a layer of LogMelCNN \(block1 ... embedding\), got 'block9'"):
        network.resume("block9", torch.zeros(1, 2, 3, 3))
