"""MaAS: sounds of six materials under four actions, one long file per cell, `<M><A>.wav`."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence

import pandas as pd
from typing_extensions import Unpack

from audiointerp import audio
from audiointerp.data.audio_files import AudioFiles, Reading, data_folder
from audiointerp.study import UserError

MATERIALS = {"W": "wood", "M": "metal", "G": "glass", "S": "stone", "C": "cardboard", "P": "plastic"}
ACTIONS = {"T": "tapping", "R": "rubbing", "D": "destructing", "W": "whirling"}
MIN_GAP_S = 0.96


class MaAS(AudioFiles):
    """Windows of the MaAS recordings with the factors `material` and `action`.

    The first letter of a name is the material, the second the action: `WW.wav` is wood, whirling. Neighbouring windows
    overlap, so a group is a block of time; between blocks `gap_s` are left out. A reverberated copy of a
    recording lies in the groups of its source. Each file is divided by its largest absolute sample.

    Args:
        root: Folder of the files.
        factors: Names out of `material`, `action`, `room` (dry or reverberated); None for material and action.
        window_s: Duration of a clip [s].
        hop_s: From the start of a clip to the next [s].
        block_s: Duration of a block of time, one group [s].
        gap_s: What is left out between blocks [s].
        reverberated: Sub-folder with the reverberated copies, under the same names; None to take the dry files alone.
        materials: First letter to material.
        actions: Second letter to action.
        **reading: As in `Reading`, e.g. `where={action: [tapping, rubbing]}`; the files have 48000 Hz.
    Raises:
        UserError: If the folder or the sub-folder is missing, no file is named as expected, a duration is not positive,
            a window is longer than its block, `gap_s` is under 0.96 s, or as in `AudioFiles`.
    """

    def __init__(
        self,
        root: str | os.PathLike,
        *,
        factors: Sequence[str] | None = None,
        window_s: float = 0.96,
        hop_s: float = 0.48,
        block_s: float = 30.0,
        gap_s: float = 0.96,
        reverberated: str | None = None,
        materials: Mapping[str, str] | None = None,
        actions: Mapping[str, str] | None = None,
        **reading: Unpack[Reading],
    ) -> None:
        if min(window_s, hop_s) <= 0 or block_s < window_s or gap_s < MIN_GAP_S:
            raise UserError(
                "expected window_s and hop_s above 0, block_s of at least window_s and gap_s of at least "
                f"{MIN_GAP_S}, got window_s={window_s}, hop_s={hop_s}, block_s={block_s}, gap_s={gap_s}"
            )
        folder = data_folder(root, "MaAS")
        rooms = {"": "dry"} | ({f"{reverberated.strip('/')}/": "reverberated"} if reverberated else {})
        materials, actions = dict(materials or MATERIALS), dict(actions or ACTIONS)
        name = re.compile(f"([{''.join(materials)}])([{''.join(actions)}])\\.wav")
        rows, dropped, cells = [], [], set()
        for prefix, room in rooms.items():
            for file in sorted(os.listdir(data_folder(folder / prefix, f"MaAS ({room})"))):
                match = name.fullmatch(file)
                if not match:
                    if file.lower().endswith(".wav"):
                        dropped.append((prefix + file, "its name is not a material's and an action's letter"))
                    continue
                labels = {"material": materials[match[1]], "action": actions[match[2]], "room": room}
                cells.add((match[1], match[2]))
                try:
                    frames, rate = audio.header(folder / prefix / file)
                except audio.AudioError as error:
                    dropped.append((prefix + file, str(error).split(": ", 1)[-1]))
                    continue
                found = _windows(frames / rate, window_s, hop_s, block_s, gap_s)
                if not found:
                    dropped.append((prefix + file, f"shorter than one window ({frames / rate:g} s)"))
                for block, start_s in found:
                    group = f"{match[1]}{match[2]}:{block}"
                    window = {"start_s": start_s, "stop_s": start_s + window_s}
                    rows.append({"path": prefix + file, "group": group, **window, **labels})
        if not rows:
            raise UserError(
                f"expected recordings named <material><action>.wav (as WT.wav: wood, tapping) in {folder}, found none "
                "that can be used: set paths.data (or AUDIOINTERP_DATA) to the folder that holds maas/"
            )
        absent = [m + a for m in materials for a in actions if (m, a) not in cells]
        super().__init__(
            folder,
            pd.DataFrame(rows),
            factors=["material", "action"] if factors is None else factors,
            normalise=True,
            name="MaAS",
            note="One recording session per cell: material and session cannot be told apart, nor action and session."
            + (f" Cells without a recording: {', '.join(absent)}." if absent else ""),
            attribution="Material and Action Sounds (MaAS)",
            dropped=pd.DataFrame(dropped, columns=["path", "reason"]),
            **reading,
        )


def _windows(duration_s: float, window_s: float, hop_s: float, block_s: float, gap_s: float) -> list[tuple[int, float]]:
    """Block and start [s] of each window that lies wholly in a block and in the file."""
    found = []
    block = 0
    while (begin := block * (block_s + gap_s)) + window_s <= duration_s + 1e-6:
        end = min(begin + block_s, duration_s) + 1e-6
        count = int((end - begin - window_s) / hop_s) + 1
        found += [(block, round(begin + k * hop_s, 6)) for k in range(count)]
        block += 1
    return found
