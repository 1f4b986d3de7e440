"""Four actions: what an object sounds like when it is tapped, rubbed, broken or whirled."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from audiointerp.data import modal
from audiointerp.data.materials import Body
from audiointerp.data.scene import Scene

Array = np.ndarray


def tap(body: Body, rng: np.random.Generator, scene: Scene) -> Array:
    """One impact; a harder one touches for a shorter time and is brighter."""
    material = body.material
    duration = scene.length / scene.sample_rate
    onset = round(rng.uniform(0.03, 0.4) * duration * scene.sample_rate)
    pulse = scene.pulse(material, rng)
    force = np.zeros(scene.length, dtype=np.float32)
    force[onset] = 1.0
    click = np.zeros(scene.length, dtype=np.float32)
    n = min(scene.length - onset, round(0.004 * scene.sample_rate))
    fall = np.exp(-np.arange(n, dtype=np.float32) / np.float32(0.0008 * scene.sample_rate))
    click[onset : onset + n] = rng.standard_normal(n, dtype=np.float32) * fall
    click *= np.float32(material.click * np.exp(rng.normal(0.0, 0.3)) / np.sqrt(np.sum(click**2) + 1e-20))
    ring = scene.ring(body, rng, held=np.exp(rng.uniform(0.0, 2.5)))
    return scene.spectrum(force) * pulse * ring + scene.spectrum(click) * scene.shaped(material.friction_db)


def rub(body: Body, rng: np.random.Generator, scene: Scene) -> Array:
    """Strokes to and fro: noise and grains, louder and brighter with speed, drive modes that the hand damps.

    Some objects stick and slip: a sawtooth whose pitch follows the speed drives them instead.
    """
    material = body.material
    seconds = scene.length / scene.sample_rate
    time = scene.times()
    strokes = np.float32(np.pi * rng.uniform(1.6, 4.5))
    swing = np.abs(np.sin(strokes * time + np.float32(rng.uniform(0.0, np.pi))))
    speed = np.clip((swing - np.float32(0.25)) / np.float32(0.75), 0.0, None) ** np.float32(rng.uniform(0.6, 1.3))
    noise = rng.standard_normal(scene.length, dtype=np.float32)
    count = rng.poisson(material.grains * seconds)
    at = rng.uniform(0.0, seconds, count)
    grains = modal.impulses(
        at, rng.exponential(1.0, count) * rng.choice([-1.0, 1.0], count), scene.length, scene.sample_rate
    )
    grains *= np.float32(rng.uniform(0.7, 1.6) * np.sqrt(scene.sample_rate / material.grains / 2.0))
    friction = noise + grains
    dull = friction * speed
    bright = (friction - np.float32(0.9) * np.roll(friction, 1)) * (speed * speed * speed)
    ring = scene.ring(body, rng, damping=2.0, held=np.exp(rng.uniform(3.2, 5.0)))
    rough = scene.shaped(material.friction_db) * np.float32(material.rough * np.exp(rng.normal(0.0, 0.3)))
    driven = scene.spectrum(dull + np.float32(1.2) * bright) * (ring + rough)
    if not body.sticks:
        return driven
    pitch = body.lowest_hz * rng.uniform(0.5, 1.0)
    phase = np.cumsum((0.6 + 0.4 * speed) * np.float32(pitch / scene.sample_rate), dtype=np.float64)
    saw = (2.0 * (phase % 1.0) - 1.0).astype(np.float32)
    slip = saw * np.clip(speed - np.float32(0.3), 0.0, None) * np.float32(rng.uniform(1.0, 3.0))
    return driven + scene.spectrum(slip) * (ring + np.float32(0.3) * rough)


def whirl(body: Body, rng: np.random.Generator, scene: Scene) -> Array:
    """Rolling round and round: small bounces whose places come back each turn, over an uneven surface."""
    material = body.material
    seconds = scene.length / scene.sample_rate
    time = scene.times()
    rate = rng.uniform(2.0, 5.0)
    turns = np.float32(rate) * time * (1.0 + np.float32(rng.uniform(-0.25, 0.25)) * time) + np.float32(rng.random())
    around = turns % 1.0
    profile = rng.standard_normal(4096, dtype=np.float32)
    rolling = profile[(around * np.float32(4095.0)).astype(np.int32)]
    rolling += np.float32(0.3) * rng.standard_normal(scene.length, dtype=np.float32)
    depth = np.float32(rng.uniform(0.6, 0.95))
    swing = ((1.0 + depth * np.cos(np.float32(2.0 * np.pi) * around)) / (1.0 + depth)) ** 2
    rolling *= swing
    places = np.concatenate(
        [
            np.tile(rng.random(round(rng.uniform(*material.rattle))), int(turns[-1]) + 1),
            rng.random(rng.poisson(3.0 * seconds * rate)),
        ]
    )
    places = places + rng.integers(0, int(turns[-1]) + 1, len(places)) + rng.normal(0.0, 0.004, len(places))
    at = np.interp(places, turns[::16], time[::16], left=-1.0, right=-1.0)
    strengths = rng.pareto(3.0, len(at)) + 0.3
    strengths *= np.interp(at, time[::16], swing[::16])
    pulse = scene.pulse(material, rng, hardness=0.5)
    place = (places * 2.0).astype(np.int64) % 2
    colour = scene.shaped(material.rolling_db)
    scrape = np.float32(material.roll * np.exp(rng.normal(0.0, 0.3))) * scene.spectrum(rolling) * colour
    total = np.float32(0.3) * scrape
    fall = np.exp(-np.arange(128, dtype=np.float32) / np.float32(0.001 * scene.sample_rate))
    for k in range(2):
        hits = scene.spectrum(modal.impulses(at[place == k], strengths[place == k], scene.length, scene.sample_rate))
        ring = scene.ring(body, rng, damping=1.3, held=np.exp(rng.uniform(2.0, 3.5)), uneven=0.8)
        click = rng.standard_normal(128, dtype=np.float32) * fall
        click *= np.float32(2.0 * material.click / np.sqrt(np.sum(click**2)))
        total += hits * (pulse * ring + scene.spectrum(click) * colour)
        if k == 0:
            total += scrape * ring
    return total


def destruct(body: Body, rng: np.random.Generator, scene: Scene) -> Array:
    """Cracks, then a burst of micro-impacts on fragments that are smaller, higher and different each time."""
    material = body.material
    how = material.breaking
    seconds = scene.length / scene.sample_rate
    onset = rng.uniform(0.02, 0.25) * seconds
    impacts = int(rng.integers(*how.impacts))
    spread = rng.uniform(*how.spread_s)
    at = onset + rng.exponential(spread, impacts)
    strengths = rng.pareto(2.5, impacts) + 0.3
    strengths *= np.exp(-(at - onset) / (2.0 * spread))
    pieces = 4
    piece = rng.integers(pieces, size=impacts)
    low, high = how.pitch
    total = np.zeros(scene.points // 2 + 1, dtype=np.complex64)
    for k in range(pieces):
        hits = modal.impulses(at[piece == k], strengths[piece == k], scene.length, scene.sample_rate)
        pitch = float(np.exp(rng.uniform(np.log(low), np.log(high))))
        total += scene.spectrum(hits) * scene.ring(
            body, rng, pitch=pitch, damping=how.ringing, held=np.exp(rng.uniform(2.0, 3.5)), modes=12
        )
    total *= scene.pulse(material, rng, hardness=0.3)
    noise = np.zeros(scene.length, dtype=np.float32)
    time = scene.times()
    cracks = int(rng.integers(how.cracks[0], how.cracks[1] + 1))
    starts = onset + np.append(0.0, rng.exponential(0.6 * spread, max(cracks - 1, 0)))[:cracks]
    for start in starts:
        first = int(start * scene.sample_rate)
        n = max(0, min(scene.length - first, round(8 * how.crack_s * scene.sample_rate)))
        fall = np.exp(time[:n] * np.float32(-1.0 / (how.crack_s * np.exp(rng.normal(0.0, 0.4)))))
        noise[first : first + n] += (
            np.float32(np.exp(rng.normal(0.0, 0.5))) * fall * rng.standard_normal(n, dtype=np.float32)
        )
    noise *= np.float32(how.crack)
    if how.tear > 0.0:
        noise += np.float32(how.tear) * tearing(rng, scene, how.fibres, onset, seconds)
    colour = scene.shaped(how.colour_db)
    return total + scene.spectrum(noise) * colour


def tearing(rng: np.random.Generator, scene: Scene, fibres: tuple[float, float], onset: float, seconds: float) -> Array:
    """Fibres that part one by one: clicks of uneven strength, dense, in a few pulls."""
    count = rng.poisson(rng.uniform(*fibres) * seconds)
    at = rng.uniform(onset, seconds, count)
    strengths = (rng.pareto(2.6, count) + 0.2) * rng.choice([-1.0, 1.0], count)
    pulls = rng.uniform(onset, seconds, rng.integers(1, 4))
    envelope = np.exp(-np.abs(at[:, None] - pulls) / rng.uniform(0.05, 0.2, len(pulls))).sum(1)
    knots = rng.uniform(0.2, 1.0, 60)
    return modal.impulses(
        at,
        0.4 * strengths * envelope * np.interp(at, np.linspace(0.0, seconds, 60), knots),
        scene.length,
        scene.sample_rate,
    )


ACTIONS: dict[str, Callable[[Body, np.random.Generator, Scene], Array]] = {
    "tap": tap,
    "rub": rub,
    "destruct": destruct,
    "whirl": whirl,
}
