"""Crops: drawn from (seed, epoch, batch) alone, dealt out over processes, two views apart where there is room."""

import numpy as np
import pandas as pd
import pytest
import torch

from audiointerp.data.base import Sounds
from audiointerp.data.crops import Clips, Crops, Places, WholeClips, clip_loader, crop_loader
from audiointerp.study import UserError


class Ramps(Sounds):
    """Clip `i` holds 1000 i, 1000 i + 1, ...: a sample tells where it is from."""

    name, pad, sample_rate = "Ramps", "zeros", 100

    def __init__(self, lengths):
        self.lengths = np.asarray(lengths)
        self.decoded = []
        self.factors = pd.DataFrame({"kind": [str(i % 2) for i in range(len(lengths))]})

    def waveform(self, i):
        self.decoded.append(i)
        return np.arange(1000 * i, 1000 * i + self.lengths[i], dtype=np.float32)


def crops(lengths=(50, 60, 70, 80, 90, 100, 30), length=40, batch=3, rows=None, **settings):
    clips = Clips(Ramps(lengths), length)
    rows = np.arange(len(lengths)) if rows is None else rows
    return Crops(clips, torch.arange(len(lengths)), rows, batch, length, **settings)


def test_a_crop_is_a_stretch_of_its_clip_and_comes_with_its_target():
    for batch, targets in crop_loader(crops()):
        assert batch.shape == (3, 40) and batch.dtype == torch.float32
        for crop, target in zip(batch, targets, strict=True):
            start = crop[0] - 1000 * target
            assert torch.equal(crop[:30], crop[0] + torch.arange(30.0)) and start >= 0
            if target < 6:
                assert start + 40 <= (50, 60, 70, 80, 90, 100)[target]
            else:  # a short clip is padded, as its sounds ask for
                assert start == 0 and torch.equal(crop[30:], torch.zeros(10))


def test_starts_are_spread_over_the_whole_clip():
    data = crops(lengths=[140] * 4, batch=400)
    starts = data[0, 0, 1][0][:, 0].numpy() % 1000
    assert starts.min() <= 2 and starts.max() >= 98 and abs(starts.mean() - 50) < 5


def test_every_clip_has_its_turn_and_each_epoch_its_own_order():
    data = crops(batch=3)
    assert len(data) == 3
    seen = np.concatenate([data.chosen(number) for number in range(14)]).reshape(6, 7)
    assert (np.sort(seen, axis=1) == np.arange(7)).all() and len(np.unique(seen, axis=0)) > 3
    assert sorted(crops(batch=14).chosen(0)) == sorted([*range(7)] * 2)


def test_how_many_batches_are_an_epoch_changes_nothing():
    def all_of(batches):
        loader = crop_loader(crops(batches=batches))
        found = []
        for epoch in range(12 // batches):
            loader.sampler.set_epoch(epoch)
            found += [batch for batch, _ in loader]
        return torch.stack(found)

    assert torch.equal(all_of(4), all_of(6)) and torch.equal(all_of(4), all_of(12))


@pytest.mark.parametrize("views", [1, 2])
def test_processes_share_the_batch_that_one_would_see(views):
    data = crops(batch=4, views=views)
    whole, targets = data[5, 0, 1]
    parts = [data[5, rank, 2] for rank in range(2)]
    for rank, (part, mine) in enumerate(parts):
        assert torch.equal(part, whole[rank::2]) and torch.equal(mine, targets[rank::2])


def test_workers_change_nothing_and_the_seed_does():
    def all_of(num_workers, seed):
        loader = crop_loader(crops(seed=seed, views=2), num_workers)
        found = []
        for epoch in range(2):
            loader.sampler.set_epoch(epoch)
            found += [batch for batch, _ in loader]
        return torch.cat(found)

    state = torch.get_rng_state()
    here = all_of(0, 0)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(here, all_of(2, 0)) and not torch.equal(here, all_of(0, 1))
    half = len(here) // 2
    assert not torch.equal(here[:half], here[half:])


def test_two_views_are_apart_where_the_clip_is_long_enough():
    data = crops(lengths=[80, 81, 200, 79], batch=400, views=2)
    assert data.apart == 0.75
    batch, targets = data[0, 0, 1]
    starts = batch[:, :, 0] - 1000 * targets[:, None]
    distance = (starts[:, 1] - starts[:, 0]).abs()
    assert (distance[targets != 3] >= 40).all() and (distance[targets == 3] < 40).all()
    assert torch.equal(distance[targets == 0], torch.full_like(distance[targets == 0], 40))
    long = starts[targets == 2]
    assert long.min() <= 8 and long.max() >= 152 and 0.35 < (long[:, 0] < long[:, 1]).float().mean() < 0.65


def test_clips_are_decoded_once_where_they_fit():
    sounds = Ramps([50, 60])
    clips = Clips(sounds, 40)
    assert np.array_equal(clips[1], clips[1]) and sounds.decoded == [1]
    scarce = Clips(sounds, 40, keep_mb=0)
    assert np.array_equal(scarce[0], scarce[0]) and sounds.decoded == [1, 0, 0]


def test_whole_clips_come_once_each_in_batches_of_one_length():
    lengths = [50, 60, 50, 30, 50, 60]
    clips = Clips(Ramps(lengths), 40)
    loader = clip_loader(WholeClips(clips, torch.arange(6), np.array([0, 1, 2, 3, 4, 5]), batch=2))
    seen = []
    for waveforms, targets, positions in loader:
        assert torch.equal(targets, positions) and len(waveforms) <= 2
        assert {max(40, lengths[i]) for i in positions.tolist()} == {waveforms.shape[1]}
        seen += positions.tolist()
    assert sorted(seen) == list(range(6))


def test_whole_clips_are_dealt_out_over_processes(monkeypatch):
    from audiointerp.data import crops as module

    dealt = []
    for rank in range(3):
        monkeypatch.setattr(module, "_rank", lambda rank=rank: (rank, 3))
        dealt.append([place[0] for place in Places(7, shared=False)])
        assert len(Places(7, shared=False)) == len(dealt[-1]) and len(Places(7, shared=True)) == 7
        assert list(Places(2, shared=True)) == [(0, rank, 3), (1, rank, 3)]
    assert dealt == [[0, 3, 6], [1, 4], [2, 5]]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rows": np.array([], dtype=int)}, "at least one clip to train on, got none"),
        ({"views": 3}, "1 or 2 views, got 40 and 3"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        crops(**settings)
    with pytest.raises(UserError, match=r"at most the clips' shortest length \(10 samples\)"):
        Crops(Clips(Ramps([50]), 10), torch.zeros(1), np.array([0]), 1, 40)
