"""Six materials and four actions: objects drawn from physics, and what they sound like tapped, rubbed, broken, whirled."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from audiointerp.data import modal

Array = np.ndarray


@dataclass(frozen=True)
class Breaking:
    """How a material breaks.

    Attributes:
        impacts: Range of the number of micro-impacts of fragments.
        spread_s: Range of the time over which they come, an exponential's mean [s].
        pitch: Range of the fragments' lowest mode over that of the whole object.
        cracks: Range of the number of cracks: short bursts of noise.
        crack_s: Decay time of a crack [s].
        crack: Level of the cracks against the impacts.
        colour_db: Gain of the cracks at 125, 500, 2000 and 7000 Hz [dB].
        ringing: Damping of fragments over that of the object.
        tear: Level of tearing: dense clicks of fibres under an irregular envelope.
        fibres: Range of their number per second.
    """

    impacts: tuple[int, int]
    spread_s: tuple[float, float]
    pitch: tuple[float, float]
    cracks: tuple[int, int]
    crack_s: float
    crack: float
    colour_db: tuple[float, float, float, float]
    ringing: float = 1.0
    tear: float = 0.0
    fibres: tuple[float, float] = (1500.0, 5000.0)


@dataclass(frozen=True)
class Material:
    """What a material gives to the sound of an object.

    Attributes:
        loss: Loss factor: share of a mode's energy lost per radian; decay rate is `pi * loss * f`.
        lowest_hz: Range of an object's lowest mode [Hz], log-uniform.
        shapes: Shapes that objects of it have.
        modes: Number of modes.
        contact_s: Time for which a striker of middling force touches it [s].
        tilt_db: Slope of the modes' radiated level [dB per octave].
        click: Level of the noise of the contact itself against the modes in a tap.
        rough: Level of the surface's own friction noise against the modes in rubbing.
        friction_db: Gain of that noise at 125, 500, 2000 and 7000 Hz [dB].
        grains: Grains met per second at full speed of rubbing.
        squeak: Share of objects that stick and slip.
        rattle: Range of the number of small bounces per turn in whirling.
        roll: Level of the rolling noise against the bounces.
        rolling_db: Gain of the rolling noise at 125, 500, 2000 and 7000 Hz [dB].
        breaking: How it breaks.
    """

    loss: float
    lowest_hz: tuple[float, float]
    shapes: tuple[str, ...]
    modes: int
    contact_s: float
    tilt_db: float
    click: float
    rough: float
    friction_db: tuple[float, float, float, float]
    grains: float
    squeak: float
    rattle: tuple[float, float]
    roll: float
    rolling_db: tuple[float, float, float, float]
    breaking: Breaking = field(repr=False)


COLOUR_HZ = (125.0, 500.0, 2000.0, 7000.0)

MATERIALS: dict[str, Material] = {
    "metal": Material(
        loss=0.0008,
        lowest_hz=(350.0, 2200.0),
        shapes=("bar", "plate", "shell", "tube"),
        modes=40,
        contact_s=0.00020,
        tilt_db=-1.0,
        click=0.1,
        rough=0.35,
        friction_db=(-22.0, -10.0, 0.0, 2.0),
        grains=900.0,
        squeak=0.25,
        rattle=(5.0, 20.0),
        roll=0.004,
        rolling_db=(-12.0, -4.0, 0.0, -2.0),
        breaking=Breaking((50, 130), (0.12, 0.4), (0.4, 2.0), (1, 3), 0.03, 0.3, (-2.0, 2.0, 0.0, -4.0), 1.0),
    ),
    "glass": Material(
        loss=0.003,
        lowest_hz=(900.0, 3200.0),
        shapes=("shell", "shell", "plate"),
        modes=30,
        contact_s=0.00015,
        tilt_db=-2.0,
        click=0.1,
        rough=0.9,
        friction_db=(-16.0, -8.0, 0.0, -2.0),
        grains=600.0,
        squeak=0.5,
        rattle=(5.0, 20.0),
        roll=0.003,
        rolling_db=(-15.0, -6.0, 0.0, 0.0),
        breaking=Breaking((80, 220), (0.08, 0.3), (0.9, 4.0), (1, 2), 0.015, 0.5, (-14.0, -6.0, 0.0, 2.0), 1.2),
    ),
    "stone": Material(
        loss=0.03,
        lowest_hz=(500.0, 2000.0),
        shapes=("block", "plate"),
        modes=24,
        contact_s=0.0004,
        tilt_db=-1.5,
        click=0.5,
        rough=1.6,
        friction_db=(-8.0, -2.0, 0.0, -3.0),
        grains=900.0,
        squeak=0.0,
        rattle=(5.0, 20.0),
        roll=0.004,
        rolling_db=(-6.0, -3.0, 0.0, -3.0),
        breaking=Breaking((150, 450), (0.15, 0.4), (0.6, 2.5), (1, 3), 0.02, 0.12, (2.0, 2.0, 0.0, -6.0), 1.0, 0.15),
    ),
    "wood": Material(
        loss=0.03,
        lowest_hz=(220.0, 900.0),
        shapes=("bar", "plate", "tube"),
        modes=24,
        contact_s=0.0007,
        tilt_db=-3.0,
        click=0.35,
        rough=0.8,
        friction_db=(-6.0, 0.0, -2.0, -8.0),
        grains=500.0,
        squeak=0.1,
        rattle=(8.0, 30.0),
        roll=0.015,
        rolling_db=(-4.0, 0.0, 0.0, -6.0),
        breaking=Breaking((60, 200), (0.04, 0.18), (1.0, 3.5), (2, 5), 0.003, 0.2, (-8.0, 2.0, 2.0, -4.0), 1.0, 0.1),
    ),
    "plastic": Material(
        loss=0.06,
        lowest_hz=(250.0, 1100.0),
        shapes=("shell", "plate", "tube"),
        modes=24,
        contact_s=0.0008,
        tilt_db=-3.0,
        click=0.3,
        rough=1.0,
        friction_db=(-16.0, -4.0, 2.0, -2.0),
        grains=350.0,
        squeak=0.2,
        rattle=(5.0, 25.0),
        roll=0.02,
        rolling_db=(-12.0, -3.0, 2.0, 0.0),
        breaking=Breaking((80, 220), (0.15, 0.45), (1.5, 6.0), (1, 4), 0.004, 0.1, (-24.0, -10.0, 4.0, 6.0), 1.0, 1.5),
    ),
    "cardboard": Material(
        loss=0.15,
        lowest_hz=(80.0, 300.0),
        shapes=("plate",),
        modes=30,
        contact_s=0.0015,
        tilt_db=-4.0,
        click=0.1,
        rough=1.8,
        friction_db=(-6.0, 0.0, 0.0, -6.0),
        grains=700.0,
        squeak=0.0,
        rattle=(6.0, 20.0),
        roll=0.02,
        rolling_db=(3.0, 3.0, -3.0, -8.0),
        breaking=Breaking((10, 30), (0.2, 0.5), (1.5, 6.0), (0, 2), 0.01, 0.2, (-18.0, -8.0, 0.5, 3.5), 1.0, 1.2, (3e3, 1.5e4)),
    ),
}


@dataclass(frozen=True)
class Body:
    """One object.

    Attributes:
        material: What it is made of.
        frequencies_hz: Its modes, shape `(K,)`.
        decays: Their decay rates when nothing touches it [1/s], shape `(K,)`.
        levels: Their amplitudes when struck at its usual point, shape `(K,)`.
        lowest_hz: Its lowest mode [Hz].
        sticks: Whether it squeaks when rubbed.
    """

    material: Material
    frequencies_hz: Array
    decays: Array
    levels: Array
    lowest_hz: float
    sticks: bool


def draw_body(material: Material, rng: np.random.Generator) -> Body:
    """Draws the shape, the size, the wall and the strike point of an object."""
    low, high = material.lowest_hz
    lowest = float(np.exp(rng.uniform(np.log(low), np.log(high))))
    shape = modal.SHAPES[material.shapes[rng.integers(len(material.shapes))]]
    ratios = shape(material.modes, float(rng.uniform(0.5, 1.0)))
    frequencies = lowest * ratios * np.exp(rng.normal(0.0, 0.012, len(ratios)))
    loss = material.loss * np.exp(rng.normal(0.0, 0.25))
    decays = rng.uniform(2.0, 5.0) + np.pi * loss * frequencies * np.exp(rng.normal(0.0, 0.25, len(ratios)))
    point = rng.uniform(0.08, 0.45)
    reached = np.abs(np.sin(np.pi * point * np.arange(1, len(ratios) + 1))) + 0.1
    tilt = 10.0 ** (material.tilt_db * np.log2(ratios) / 20.0)
    levels = reached * tilt * np.exp(rng.normal(0.0, 0.5, len(ratios)))
    return Body(material, frequencies, decays, levels, lowest, bool(rng.random() < material.squeak))


@dataclass(frozen=True)
class Scene:
    """What a clip is rendered into.

    Attributes:
        length: Samples of the clip.
        points: Points of the Fourier transforms, at least twice the length.
        sample_rate: [Hz].
    """

    length: int
    points: int
    sample_rate: int

    def spectrum(self, x: Array) -> Array:
        """Spectrum of a signal of at most `length` samples."""
        return modal.rfft(x, self.points)

    def ring(
        self,
        body: Body,
        rng: np.random.Generator,
        *,
        pitch: float = 1.0,
        damping: float = 1.0,
        held: float = 0.0,
        modes: int | None = None,
        uneven: float = 0.35,
    ) -> Array:
        """Spectrum of an object's unit-energy impulse response, struck a little off its usual point.

        Args:
            body: The object.
            rng: Draws how far off.
            pitch: Factor on all modes: a smaller piece is higher.
            damping: Factor on the material's damping.
            held: Additional decay rate, of a hand or the ground [1/s].
            modes: Number of modes, all by default.
            uneven: How far off: standard deviation of the modes' log amplitudes.
        """
        frequencies = body.frequencies_hz[:modes] * pitch
        levels = body.levels[:modes] * np.exp(rng.normal(0.0, uneven, len(frequencies)))
        decays = body.decays[:modes] * (damping * pitch) + held
        response = modal.modal_response(frequencies, decays, levels, self.length, self.sample_rate)
        response *= np.float32(1.0 / np.sqrt(np.sum(response**2) + 1e-20))
        return self.spectrum(response)

    def shaped(self, gains_db: tuple[float, ...]) -> Array:
        """Gains at 125, 500, 2000 and 7000 Hz as a curve over the bins, of unit mean power."""
        return _shaped(gains_db, self.points, self.sample_rate)

    def pulse(self, material: Material, rng: np.random.Generator, hardness: float = 0.0) -> Array:
        """Spectrum of the force of an impact whose strength is drawn; `hardness` shortens it, as a log factor."""
        duration_s = material.contact_s * np.exp(rng.normal(-hardness, 0.3))
        return modal.contact(duration_s, self.points, self.sample_rate)

    def times(self) -> Array:
        """Time of each sample [s], float32, shape `(length,)`."""
        return np.arange(self.length, dtype=np.float32) * np.float32(1.0 / self.sample_rate)


@functools.lru_cache(maxsize=64)
def _shaped(gains_db: tuple[float, ...], points: int, sample_rate: int) -> Array:
    curve = modal.curve_db(np.array(COLOUR_HZ), np.array(gains_db), points, sample_rate)
    curve *= np.float32(np.sqrt(len(curve) / np.sum(curve**2)))
    curve.setflags(write=False)
    return curve


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
        noise[first : first + n] += np.float32(np.exp(rng.normal(0.0, 0.5))) * fall * rng.standard_normal(
            n, dtype=np.float32
        )
    noise *= np.float32(how.crack)
    if how.tear > 0.0:
        noise += np.float32(how.tear) * tearing(rng, scene, how.fibres, onset, seconds)
    colour = scene.shaped(how.colour_db)
    return total + scene.spectrum(noise) * colour


def tearing(
    rng: np.random.Generator, scene: Scene, fibres: tuple[float, float], onset: float, seconds: float
) -> Array:
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


def record(dry: Array, rng: np.random.Generator, scene: Scene) -> Array:
    """Puts a sound into a room, before a microphone, over a noise floor, and sets its level.

    The level is the mean of RMS and peak level in dB, drawn alike for all sounds: how loud a clip is says nothing
    about what was done with what.

    Args:
        dry: Spectrum of the sound, complex64 `(points // 2 + 1,)`.
        rng: Draws room, distance, microphone, floor and level.
        scene: Length and sample rate.
    Returns:
        Float32, shape `(length,)`, in [-1, 1].
    """
    rate, points = scene.sample_rate, scene.points
    distance_m = float(np.exp(rng.uniform(np.log(0.2), np.log(1.5))))
    reverberation_s = float(np.exp(rng.uniform(np.log(0.1), np.log(0.4))))
    direct = float(np.clip(4.0 / distance_m, 2.5, 20.0))
    room = modal.room_response(rng, reverberation_s, direct, min(scene.length, round(0.5 * rate)), rate)
    knots = np.array([60.0, 250.0, 1000.0, 3000.0, 7500.0])
    colour_db = np.cumsum(rng.normal(0.0, 1.5, 5)) + np.array([-10.0, 0.0, 0.0, 0.0, 0.0])
    colour_db = colour_db - colour_db[2] - np.array([0.0, 0.0, 0.0, 0.4, 1.0]) * distance_m
    wet = dry * scene.spectrum(room) * modal.curve_db(knots, colour_db, points, rate)
    sound = modal.irfft(wet, points)[: scene.length]
    floor_shape = np.exp(modal.octaves(points, rate) * np.float32(-rng.uniform(0.1, 0.6)))
    floor = modal.irfft(modal.coloured_spectrum(rng, floor_shape), points)[: scene.length]
    loud = np.sqrt(np.mean(sound**2)) + 1e-12
    snr_db = rng.uniform(22.0, 50.0)
    sound += floor * np.float32(loud * 10.0 ** (-snr_db / 20.0) / (np.sqrt(np.mean(floor**2)) + 1e-12))
    rms, peak = np.sqrt(np.mean(sound**2)), np.max(np.abs(sound))
    gain = 10.0 ** (rng.uniform(-32.0, -14.0) / 20.0) / np.sqrt(rms * peak)
    return sound * np.float32(min(gain, 0.99 / peak))
