"""CNN12: the sizes that the paper gives, any length, layers to go on from, and every mistake told."""

import numpy as np
import pytest
import torch

from audiointerp.activations.base import capture
from audiointerp.backbones.blocks import unit_peak
from audiointerp.backbones.cnn12 import CNN12, MaxPool
from audiointerp.study import UserError

TINY = {"width": 0.0625, "embedding": 16, "output_names": ["dog", "rain", "bell"]}


def noise(n=3, samples=3000, seed=0):
    return torch.randn(n, samples, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def network():
    return CNN12(**TINY, seed=1)


@pytest.mark.parametrize(("width", "millions"), [(1.0, 13.9), (2.0, 52.7)])
def test_it_has_the_size_that_the_paper_gives(width, millions):
    with torch.device("meta"):
        from audiointerp.backbones import cnn12

        counts = [round(width * count) for count in cnn12.CHANNELS]
        blocks = zip([1, *counts[:-1]], counts, cnn12.KERNELS, strict=True)
        parts = [cnn12.Block(i, o, k, 1, False) for i, o, k in blocks]
        parts += [torch.nn.Linear(counts[-1], cnn12.EMBEDDING), torch.nn.Linear(cnn12.EMBEDDING, cnn12.OUTPUTS)]
    expected = sum(value.numel() for part in parts for value in part.parameters())
    assert expected / 1e6 == pytest.approx(millions, abs=0.05)
    if width == 1.0:
        assert sum(value.numel() for value in CNN12().parameters()) == expected


def test_the_forward_pass_agrees_with_a_loop_over_samples():
    network = CNN12(channels=[2, 3], kernels=[3, 1], pools=[2, 1], embedding=4, output_names=["a", "b"], segment_s=0.01)
    wave = noise(1, 9).double()
    network = network.double()
    x = (wave / wave.abs().max()).numpy()
    for block, pool in zip(network.blocks, (2, 1), strict=True):
        weight, bias = block.conv.weight.numpy(), block.conv.bias.numpy()
        half = weight.shape[2] // 2
        padded = np.pad(x, ((0, 0), (half, half)))
        out = np.zeros((weight.shape[0], x.shape[1]))
        for c in range(weight.shape[0]):
            for t in range(x.shape[1]):
                out[c, t] = max(0.0, (padded[:, t : t + weight.shape[2]] * weight[c]).sum() + bias[c])
        x = np.stack([out[:, pool * t : pool * (t + 1)].max(1) for t in range(x.shape[1] // pool)], axis=1)
    hidden = network.embed.weight.numpy() @ x.mean(1) + network.embed.bias.numpy()
    expected = network.classifier.weight.numpy() @ hidden + network.classifier.bias.numpy()
    np.testing.assert_allclose(network(network.front_end(wave))[0].numpy(), expected, atol=1e-12)


def test_each_layer_captured_resumes_to_the_same_bits(network):
    features = network.front_end(noise())
    with torch.no_grad(), capture(network, network.layers) as seen:
        logits = network(features)
    assert list(seen) == [*(f"block{n}" for n in range(1, 12)), "embedding"] and logits.shape == (3, 3)
    for layer, activation in seen.items():
        assert torch.equal(network.resume(layer, activation), logits), layer


@pytest.mark.parametrize("strided", [False, True])
@pytest.mark.parametrize("samples", [1024, 1025, 4999])
def test_any_length_from_the_shortest_on_goes_through(strided, samples):
    network = CNN12(**TINY, strided=strided)
    assert network.shortest == 1024
    assert network(network.front_end(noise(2, samples))).shape == (2, 3)
    pools = [type(block.pool).__name__ for block in network.blocks]
    assert ("MaxPool" in pools) is not strided


@pytest.mark.parametrize("samples", [64, 67])
def test_pooling_learns_as_torch_s_does_to_the_same_bits(samples):
    x = torch.relu(torch.randn(2, 3, samples, generator=torch.Generator().manual_seed(0)))
    weights = torch.arange(2 * 3 * (samples // 4), dtype=torch.float32).reshape(2, 3, -1)
    gradients = []
    for pool in (MaxPool(4), torch.nn.MaxPool1d(4)):
        leaf = torch.nn.Parameter(x - 0.5)
        pooled = pool(torch.relu(leaf))
        assert torch.equal(pooled, torch.nn.functional.max_pool1d(torch.relu(x - 0.5), 4))
        (pooled * weights).sum().backward()
        gradients.append(leaf.grad)
    assert torch.equal(*gradients) and gradients[0].any()


def test_the_last_block_has_the_stride_that_is_stated(network):
    with capture(network, {"block11": network.layers["block11"]}) as seen:
        network(network.front_end(noise(1, 3 * 1024 + 5)))
    assert seen["block11"].shape == (1, 128, 3)


def test_level_does_not_matter_and_silence_gives_numbers(network):
    wave = noise(2)
    loud, quiet = (network(network.front_end(gain * wave)) for gain in (1.0, 2.0**-7))
    assert torch.equal(loud, quiet)
    silent = network(network.front_end(torch.zeros(1, 2000)))
    assert torch.isfinite(silent).all()
    assert unit_peak(wave).abs().amax(1).tolist() == [1.0, 1.0]


def test_the_seed_decides_the_weights_and_nothing_global_does():
    torch.manual_seed(1)
    first = CNN12(**TINY, seed=3)
    state = torch.get_rng_state()
    torch.manual_seed(2)
    again, other = CNN12(**TINY, seed=3), CNN12(**TINY, seed=4)
    assert first.weights.sha256 == again.weights.sha256 != other.weights.sha256
    torch.manual_seed(1)
    CNN12(**TINY)
    assert torch.equal(torch.get_rng_state(), state)
    assert first.untrained(4).weights.sha256 == other.weights.sha256
    assert not first.training and not any(value.requires_grad for value in first.parameters())


def test_activity_keeps_its_scale_through_the_blocks(network):
    with capture(network, network.layers) as seen:
        network(network.front_end(noise(8)))
    powers = [float(seen[f"block{n}"].square().mean()) for n in range(1, 12)]
    assert max(powers) < 300 * min(powers)


def test_weights_go_through_a_file(network, tmp_path):
    torch.save(network.state_dict(), tmp_path / "net.pt")
    loaded = CNN12(weights=str(tmp_path / "net.pt"), width=0.0625, embedding=16)
    assert loaded.weights.kind == "trained" and loaded.weights.source == "net.pt"
    assert loaded.output_names == ["output 1", "output 2", "output 3"]
    assert torch.equal(loaded(loaded.front_end(noise())), network(network.front_end(noise())))
    with pytest.raises(UserError, match=r"net.pt, got 0 missing, 0 unknown, \d+ of another shape \(first: blocks.0"):
        CNN12(weights=str(tmp_path / "net.pt"), width=0.125, embedding=16)
    with pytest.raises(UserError, match="which does not exist"):
        CNN12(weights=str(tmp_path / "none.pt"))
    broken = network.state_dict() | {"embed.bias": torch.full((16,), torch.nan)}
    torch.save(broken, tmp_path / "diverged.pt")
    with pytest.raises(UserError, match="expected finite weights in .*diverged.pt, got NaN or infinity in embed.bias"):
        CNN12(weights=str(tmp_path / "diverged.pt"), width=0.0625, embedding=16)


def test_a_new_classifier_stands_on_the_same_encoder(network):
    other = network.with_outputs(["low", "high"], seed=5)
    features = network.front_end(noise())
    assert torch.equal(other.encode(features), network.encode(features)) and other(features).shape == (3, 2)
    assert other.output_names == ["low", "high"] and other.weights.sha256 != network.weights.sha256
    assert not torch.equal(other.classifier.weight, network.with_outputs(["low", "high"], seed=6).classifier.weight)
    assert network.output_names == TINY["output_names"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kernels": [3] * 10}, "of one length, one number per block, got 11, 10 and 11"),
        ({"kernels": [11, *[4] * 10]}, "odd backbone.kernels .* got 4"),
        ({"width": 0.0}, "positive backbone.channels"),
        ({"embedding": 0}, "positive backbone.channels"),
        ({"segment_s": 0.1}, r"segment_s of at least 0.128 s \(1024 samples"),
        ({"weights": "auto"}, "nobody has published CNN12's weights"),
        ({"weights": "standin"}, "experiment=cnn12_supervised"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        CNN12(**settings)


@pytest.mark.parametrize("shape", [(2, 1023), (2, 1, 2000), (2000,)])
def test_sounds_too_short_are_refused(network, shape):
    with pytest.raises(ValueError, match=r"L of at least 1024 samples \(0.128 s at 8000 Hz\), got .*data.Segments"):
        network.front_end(torch.zeros(shape))


def test_an_unknown_layer_is_refused(network):
    with pytest.raises(UserError, match=r"a layer of CNN12 \(block1 ... embedding\), got 'block12'"):
        network.resume("block12", torch.zeros(1, 2, 3))
