"""What sonification says to bad input, on the command line and as a function; see `experiments/cases.py`.

python experiments/sonification/bad_input.py [--only WORDS]
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

HERE = Path(__file__).resolve()
sys.path.insert(0, str(HERE.parent.parent))

from cases import (  # noqa: E402
    ALL_EMPTY,
    STRICT,
    Case,
    Page,
    not_executed,
    played,
    some_spoilt,
    write_false_weights,
    write_page,
    write_sounds,
)

SIZE = {"channels": [4, 8, 8], "kernels": [11, 3, 3], "pools": [4, 4, 1]}
BASE = ("experiment=sonification", "data=folder", "data.root=sounds")
QUICK = (
    *("logger=none", "device=cpu", "data.factors=[material,action]", "study.networks=['untrained, fconly']"),
    *(f"backbone.{name}={str(value).replace(' ', '')}" for name, value in SIZE.items()),
    *("backbone.width=1", "backbone.embedding=8", "study.layers=[1,3]", "study.clips=3", "study.maps=2"),
    *("study.scenes=0", "study.randomised=0", "study.shown=1", "study.removal=false", "study.training.steps=2"),
    *("study.training.batch=8", "study.training.crop_s=0.2"),
)
GIVEN = ("study.networks=['given, fconly']",)
PRELUDE = """
import torch
from audiointerp.backbones.cnn12 import CNN12
from audiointerp.sonify.deconvnet import sonify
network, clip = CNN12(channels=[4, 8, 8], kernels=[11, 3, 3], pools=[4, 4, 1]), torch.randn(8000)
"""


def write_world(root: Path) -> None:
    """Writes what all cases start from: sounds, a checkpoint, and files that are none."""
    import torch

    from audiointerp.backbones.cnn12 import CNN12

    write_sounds(root / "sounds")
    state = CNN12(**SIZE, embedding=8).state_dict()
    torch.save(state, root / "weights.pth")
    torch.save(CNN12(**{**SIZE, "channels": [4, 8, 16]}, embedding=8).state_dict(), root / "wider.pth")
    write_false_weights(root, root / "weights.pth", cut=1_000)
    torch.save({name: value * float("nan") for name, value in state.items()}, root / "diverged.pth")


def heard_once(folder: Path) -> str:
    """Checks that no map was measured twice."""
    (file,) = folder.glob("outputs/*/*/tables/maps.csv")
    return "a map was measured twice" if pd.read_csv(file).duplicated(["network", "layer", "map"]).any() else ""


def function(title: str, says: str, lines: str, code: int = 1) -> Case:
    """Gives a case of the function `sonify`; a few lines of Python."""
    return Case(title, (), code, says, python=lines)


CASES = [
    Case("a misspelt setting of the study", ("study.lares=[1]",), 2, "did you mean 'layers'", at_once=True),
    Case("a word for a number", ("study.clips=few",), 2, "study.clips to be a whole number", at_once=True),
    Case("no maps", ("study.maps=0",), 2, "expected maps of 1 or more"),
    Case("an unknown network", ("study.networks=[supervized]",), 2, "there is no 'supervized': known are supervised"),
    Case("an unknown unpooling", ("study.unpool=bilinear",), 2, "study.unpool out of switch, nearest, linear, soft"),
    Case("a layer out of range", ("study.layers=[1,4]",), 2, "a layer from block1 to block3, got 'block4'|got 4"),
    Case("layer 0", ("study.layers=[0]",), 2, "a layer from block1 to block3"),
    Case("more maps than a layer has: all of them", ("study.maps=99",), 0, "finished: "),
    Case("a layer named twice: heard once", ("study.layers=[1,1]",), 0, "finished: ", after=heard_once),
    Case(
        "crops too short for the network",
        ("study.training.crop_s=0.001",),
        2,
        "crop_s of at least 0.002 s.*raise study.training.crop_s",
    ),
    Case(
        "a network that needs more than a segment",
        ("backbone.segment_s=0.001",),
        2,
        "backbone.segment_s of at least 0.002 s",
    ),
    Case("clips shorter than a crop: padded", (), 0, "finished: ", played([400])),
    Case("clips of one sample: nothing that varies", (), 2, "none is left of 24: .*silent", played([1])),
    Case("stereo clips: averaged", (), 0, "finished: ", played([9600], channels=2)),
    Case("clips at 44100 Hz: resampled", (), 0, "finished: ", played([26460], 44100)),
    Case("sounds at another rate than the network's", ("data.sample_rate=16000",), 2, "expected sounds at 8000 Hz"),
    some_spoilt(),
    STRICT,
    Case("nothing but silence", (), 2, "expected at least one usable clip", played([9600], level=0.0)),
    ALL_EMPTY,
    Case("a network given without a checkpoint", GIVEN, 2, "study.checkpoint=FILE for the network 'given, fconly'"),
    Case(
        "a checkpoint that is not there",
        (*GIVEN, "study.checkpoint=absent.pth"),
        2,
        "absent.pth, which does not exist: check study.checkpoint",
    ),
    Case(
        "a checkpoint of another architecture",
        (*GIVEN, "study.checkpoint=another.pth"),
        2,
        "expected the 10 tensors of this architecture in another.pth",
    ),
    Case(
        "a checkpoint of another width",
        (*GIVEN, "study.checkpoint=wider.pth"),
        2,
        r"of another shape \(first: blocks.2.conv.weight, \(16, 8, 3\) instead of \(8, 8, 3\)",
    ),
    Case(
        "an untrusted pickle for a checkpoint",
        (*GIVEN, "study.checkpoint=untrusted.pth"),
        2,
        "expected a file with weights only",
        after=not_executed,
    ),
    Case(
        "half a checkpoint",
        (*GIVEN, "study.checkpoint=truncated.pth"),
        2,
        "expected a file with weights only",
    ),
    Case("a checkpoint full of NaN", (*GIVEN, "study.checkpoint=diverged.pth"), 2, "finite weights"),
    Case("a checkpoint that is right", (*GIVEN, "study.checkpoint=weights.pth"), 0, "finished: "),
    Case("outputs that are a file", ("paths.outputs=another.pth",), 2, "another.pth, which is a file"),
    function("a clip shorter than the minimum", "at least 16 samples .* got 15", "sonify(network, clip[:15], 1)"),
    function(
        "a clip shorter than the minimum, of a network whose convolutions stride",
        "at least 16 samples .* got 15",
        "strided = CNN12(channels=[4, 8, 8], kernels=[11, 3, 3], pools=[4, 4, 1], strided=True)\n"
        "sonify(strided, clip[:15], 1)",
    ),
    function("no samples", "at least 16 samples .* got 0", "sonify(network, clip[:0], 1)"),
    function("a silent clip", "expected a sound, got silence", "sonify(network, 0 * clip, 1)"),
    function("a clip with a NaN", "expected finite samples", "clip[7] = float('nan')\nsonify(network, clip, 1)"),
    function("a stereo clip", r"one mono clip .*\(2, 8000\)", "sonify(network, torch.stack([clip, clip]), 1)"),
    function("a clip of another rate", "at 8000 Hz .*got 44100 Hz", "sonify(network, clip, 1, sample_rate=44100)"),
    function("a map out of range", "maps from 0 to 3 .*got 4", "sonify(network, clip, 1, maps=[0, 4])"),
    function("a map below 0", "maps from 0 to 3 .*got -1", "sonify(network, clip, 1, maps=[-1])"),
    function("no maps of a layer", "maps from 0 to 3 .*got none", "sonify(network, clip, 1, maps=[])"),
    function("a map that is a decimal number", "whole numbers.*got 1.5", "sonify(network, clip, 1, maps=[1.5])"),
    function("layer 4 of three", "block1 to block3, got 4", "sonify(network, clip, 4)"),
    function("layer -1", "block1 to block3, got -1", "sonify(network, clip, -1)"),
    function("an unknown layer", "block1 to block3, got 'conv1'", "sonify(network, clip, 'conv1')"),
    function("an unknown way back", "unpool to be one of", "sonify(network, clip, 1, unpool='max')"),
    function("an unknown seed", "seed to be one of", "sonify(network, clip, 1, seed='maps')"),
    function(
        "a class out of range",
        "a class from 0 to 526, got 527",
        "sonify(network, clip, 1, seed='class_weighted', target=527)",
    ),
    function("no maps led back at once", "a chunk of at least 1 map, got 0", "sonify(network, clip, 1, chunk=0)"),
    function(
        "a network with normalisation",
        "expected Conv1d, ReLU and optionally MaxPool1d as block 1, got Conv1d and BatchNorm1d",
        "nn = torch.nn\nsonify(nn.Sequential(nn.Conv1d(1, 4, 5), nn.BatchNorm1d(4), nn.ReLU()), clip, 1)",
    ),
    function("a network on pictures", "Conv1d", "sonify(torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3)), clip, 1)"),
    function(
        "a clip of 16-bit integers",
        r"\[4, 8000\] 12345",
        "found = sonify(network, (12345 * clip / clip.abs().max()).short(), 1)\n"
        "print(list(found.sounds.shape), round(float(found.sounds.abs().max())))",
        0,
    ),
    function(
        "a map that is dead: silence and a flag",
        r"\[True\] 0.0",
        "network.blocks[0].conv.weight[0] = 0\nnetwork.blocks[0].conv.bias[0] = -1\n"
        "found = sonify(network, clip, 1, maps=[0])\nprint(found.dead.tolist(), float(found.sounds.abs().max()))",
        0,
    ),
    function("nothing wrong", r"\[2, 8000\]", "print(list(sonify(network, clip, 3, maps=[0, 7]).sounds.shape))", 0),
]

PAGE = Page(HERE, CASES, write_world, BASE, QUICK, prelude=PRELUDE)

if __name__ == "__main__":
    sys.exit(write_page(PAGE))
