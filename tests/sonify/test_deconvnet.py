"""DeconvNet: equal to a gradient, exact under shifts, local, sparse; what cannot be sonified is refused."""

import pytest
import torch
from torch import nn

from audiointerp.backbones.cnn12 import CNN12
from audiointerp.sonify.deconvnet import SEEDS, DeconvNet, class_weights, features_of, sonify
from audiointerp.sonify.unpooling import UNPOOLINGS
from audiointerp.study import UserError
from tests.sonify.small_chain import by_gradient, chain, noise

SIZE = {"channels": [6, 8, 8], "kernels": [11, 3, 3], "pools": [4, 1, 4], "embedding": 8, "segment_s": 0.2}


def cnn12(**settings):
    return CNN12(output_names=["dog", "rain", "saw"], **{**SIZE, **settings}).double()


def unit(x):
    return x / x.abs().max()


@pytest.mark.parametrize("strides", [(1, 1, 1), (2, 1, 3)])
@pytest.mark.parametrize("samples", [200, 203, 207])
@pytest.mark.parametrize("block", [1, 2, 3])
def test_every_map_is_the_gradient_with_rectified_way_back(strides, samples, block):
    net, x = chain(strides=strides), noise(samples)
    found = sonify(net, x, block)
    for number, sound in enumerate(found.sounds):

        def alone(activation, number=number):
            return activation * (torch.arange(len(activation)) == number)[:, None]

        expected = by_gradient(net, x, block, alone)
        if found.dead[number]:
            assert expected.abs().max() == 0 == sound.abs().max()
        else:
            torch.testing.assert_close(sound, unit(expected) * x.abs().max(), rtol=0, atol=1e-10)
    assert not found.dead.all()


def test_cnn12_agrees_with_captums_deconvolution():
    from captum.attr import Deconvolution

    from audiointerp.sonify.explainers import Unfolded

    network, x = cnn12(), noise(1600)
    net = DeconvNet(network)
    heard = net.hear(features_of(network, x[None]))
    ones = torch.ones_like(heard.maps[2][:, 3:4])
    found, start = net.back(heard, "block3", ones, maps=torch.tensor([3]))
    target = Deconvolution(Unfolded(network, "block3")).attribute(
        network.front_end(x[None]).requires_grad_(True), target=3
    )
    expected = target[0, 0, start : start + found.shape[2]] * ones.shape[2]  # the target is the map's mean
    torch.testing.assert_close(found[0, 0], expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("unpool", UNPOOLINGS)
@pytest.mark.parametrize("seed", SEEDS[:3])
def test_chunks_of_maps_change_nothing(unpool, seed):
    net, x = chain(), noise()
    one, many = (sonify(net, x, 3, seed=seed, unpool=unpool, chunk=chunk) for chunk in (1, 4))
    torch.testing.assert_close(one.sounds, many.sounds, rtol=0, atol=1e-12)


@pytest.mark.parametrize("unpool", UNPOOLINGS)
def test_shifts_by_the_stride_shift_the_sonification(unpool):
    net, stride, edge = chain(), 6, 60
    x = noise(600)
    shifted = torch.cat([x.new_zeros(stride), x[:-stride]])
    deconvnet = DeconvNet(net)
    sounds = []
    for wave in (x, shifted):
        heard = deconvnet.hear(wave[None, None], keep_before=True)
        made = deconvnet.sonify(heard, 3, unpool=unpool)
        sounds.append(made.sounds / torch.where(made.gains > 0, made.gains, 1.0)[:, None])
    torch.testing.assert_close(
        sounds[0][:, edge : -edge - stride], sounds[1][:, edge + stride : -edge], rtol=0, atol=1e-12
    )
    odd = deconvnet.hear(torch.cat([x.new_zeros(1), x[:-1]])[None, None], keep_before=True)
    made = deconvnet.sonify(odd, 3, unpool=unpool)
    moved = (made.sounds / torch.where(made.gains > 0, made.gains, 1.0)[:, None])[:, edge + 1 : -edge]
    assert (moved - sounds[0][:, edge : -edge - 1]).abs().max() > 1e-3  # not for every shift, as was published


def test_the_peak_alone_is_the_gradient_of_one_frame_within_its_receptive_field():
    net, x = chain(), noise(600)
    found = sonify(net, x, 3, seed="peak")
    for number in (0, 3, 6):

        def peak(activation, number=number):
            seeds = torch.zeros_like(activation)
            at = int(activation[number].argmax())
            seeds[number, at] = activation[number, at]
            return seeds

        expected = by_gradient(net, x, 3, peak)
        torch.testing.assert_close(found.sounds[number], unit(expected) * x.abs().max(), rtol=0, atol=1e-10)
        centre = 6 * int(found.frames[number])
        inside = found.sounds[number].nonzero()[:, 0]
        assert inside.min() >= centre - 20 and inside.max() <= centre + 26


def test_only_the_receptive_field_is_computed():
    net = DeconvNet(chain())
    heard = net.hear(noise(6000)[None, None])
    seeds = heard.maps[2][:, :1, 500:501]
    found, start = net.back(heard, 3, seeds, maps=torch.tensor([0]), start=500)
    assert found.shape[2] < 60 and abs(start - 3000) < 30


def test_a_whole_layer_is_the_gradient_of_all_its_maps():
    net, x = chain(), noise()
    expected = by_gradient(net, x, 2, lambda activation: activation)
    found = sonify(net, x, "block2", seed="layer")
    torch.testing.assert_close(found.sounds[0], unit(expected) * x.abs().max(), rtol=0, atol=1e-10)
    assert found.maps.tolist() == [-1] and len(found.sounds) == 1


def test_class_weights_are_the_change_of_a_logit():
    network, x = cnn12(), noise(1600)
    net = DeconvNet(network)
    heard = net.hear(features_of(network, x[None]))
    weights = class_weights(network, "block2", heard, net, target=1)
    activation, step = heard.maps[1], 1e-6
    for number in (0, 5):
        moved = activation.clone()
        moved[0, number] += step
        change = (network.resume("block2", moved) - network.resume("block2", activation))[0, 1] / step
        torch.testing.assert_close(weights[number] * activation.shape[2], change, rtol=1e-4, atol=1e-7)
    one, other = (sonify(network, x, 2, seed="class_weighted", target=target).sounds for target in (0, 1))
    best = int(network(network.front_end(x[None])).argmax())
    assert not torch.equal(one, other)
    assert torch.equal(
        sonify(network, x, 2, seed="class_weighted").sounds,
        sonify(network, x, 2, seed="class_weighted", target=best).sounds,
    )


def test_dead_maps_are_zeros_and_flagged():
    net = chain()
    with torch.no_grad():
        net[0].bias[2] = -1e6
    found = sonify(net, noise(), 1, [0, 2])
    assert found.dead.tolist() == [False, True] and found.gains[1] == 0 and found.peaks[1] == 0
    assert torch.isfinite(found.sounds).all() and found.sounds[1].abs().max() == 0


def test_sounds_have_the_peak_of_the_clip_and_facts_fit():
    net, x = chain(), 0.3 * noise()
    found = sonify(net, x, 2, [4, 1])
    torch.testing.assert_close(found.sounds.abs().amax(1), x.abs().max().expand(2))
    activation = DeconvNet(net).hear(x[None, None]).maps[1][0]
    assert found.maps.tolist() == [4, 1] and found.peaks.tolist() == activation[[4, 1]].amax(1).tolist()
    assert found.frames.tolist() == activation[[4, 1]].argmax(1).tolist()


def test_the_way_back_leaves_the_network_as_it_was():
    network, x = cnn12(), noise(1600)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    first = sonify(network, x, 3).sounds
    assert torch.equal(first, sonify(network, x, 3).sounds)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not any(module._forward_hooks for module in network.modules())


def test_ways_back_differ_where_there_is_a_pooling():
    net, x = chain(), noise()
    sounds = {unpool: sonify(net, x, 3, [1], unpool=unpool).sounds for unpool in UNPOOLINGS}
    assert all(not torch.allclose(sounds[one], sounds[other]) for one in sounds for other in sounds if one < other)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"waveform": torch.zeros(2, 1600)}, "one mono clip"),
        ({"waveform": torch.zeros(1600)}, "got silence"),
        ({"waveform": torch.full((1600,), torch.nan)}, "finite samples"),
        ({"waveform": torch.ones(15)}, "at least 16 samples"),
        ({"sample_rate": 16000}, "expected audio at 8000 Hz"),
        ({"layer": 4}, "a layer from block1 to block3, got 4"),
        ({"layer": "embedding"}, "a layer from block1 to block3"),
        ({"maps": [8]}, "maps from 0 to 7"),
        ({"maps": [-1]}, "maps from 0 to 7"),
        ({"maps": []}, "got none"),
        ({"maps": [1.5]}, "whole numbers from 0 to 7, got 1.5"),
        ({"maps": [True, False]}, "whole numbers from 0 to 7, got True"),
        ({"seed": "maps"}, "seed to be one of map, peak, layer, class_weighted"),
        ({"unpool": "max"}, "unpool to be one of switch"),
        ({"seed": "class_weighted", "target": 3}, "a class from 0 to 2"),
        ({"chunk": 0}, "a chunk of at least 1"),
    ],
)
def test_what_cannot_be_sonified_is_refused(arguments, message):
    given = {"waveform": noise(1600).float(), "layer": 2, **arguments}
    network = cnn12().float()
    with pytest.raises(UserError, match=message):
        sonify(network, given.pop("waveform"), given.pop("layer"), **given)


def test_a_network_that_strides_has_the_shortest_clip_of_its_own():
    strided = cnn12(strided=True).float()
    assert DeconvNet(strided).shortest < strided.shortest == 16
    with pytest.raises(UserError, match="a clip of at least 16 samples .* got 15: pad it"):
        sonify(strided, noise(15).float(), 2)
    assert sonify(strided, noise(16).float(), 2).sounds.shape == (8, 16)


def test_steps_that_lack_something_say_so():
    deconvnet = DeconvNet(chain())
    heard = deconvnet.hear(noise()[None, None])
    with pytest.raises(UserError, match="keep_before=True"):
        deconvnet.sonify(heard, 3, unpool="soft")
    with pytest.raises(UserError, match="weights with seed='class_weighted'"):
        deconvnet.sonify(heard, 3, seed="class_weighted")
    with pytest.raises(UserError, match="weights with seed='class_weighted'"):
        deconvnet.sonify(heard, 3, seed="map", weights=torch.ones(7))
    with pytest.raises(UserError, match=r"shape \(B, C, L\)"):
        deconvnet.hear(noise(5)[None, None])
    with pytest.raises(UserError, match="resume"):
        sonify(chain(), noise(), 2, seed="class_weighted")


def test_a_checkpoint_of_another_architecture_and_a_pickle_are_refused(tmp_path):
    torch.save(nn.Linear(2, 2).state_dict(), tmp_path / "other.pt")
    with pytest.raises(UserError, match="tensors of this architecture"):
        CNN12(weights=str(tmp_path / "other.pt"), **SIZE)
    torch.save(cnn12(), tmp_path / "pickled.pt")
    with pytest.raises(UserError, match="none of which was run"):
        CNN12(weights=str(tmp_path / "pickled.pt"), **SIZE)
