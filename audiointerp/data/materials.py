"""Six materials, and objects of them drawn from physics."""

from __future__ import annotations

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
        loss=0.02,
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
        loss=0.035,
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
        breaking=Breaking(
            (10, 30), (0.2, 0.5), (1.5, 6.0), (0, 2), 0.01, 0.2, (-18.0, -8.0, 0.5, 3.5), 1.0, 1.2, (3e3, 1.5e4)
        ),
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
