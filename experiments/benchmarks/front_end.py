"""How far front ends lie from the official one: python experiments/benchmarks/front_end.py (AUDIOINTERP_REFERENCE set).

Compares the log-mel patches of our YAMNet front end, and of torch_vggish_yamnet's own, with those that the official
YAMNet computes for the same segments. Writes front_end.json and the table in README.md.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
import torch

from audiointerp.audio import import_torchaudio
from audiointerp.backbones.yamnet import SAMPLE_RATE, LogMel, mel_matrix

HERE = Path(__file__).parent


def main() -> None:
    """Measures and writes the table."""
    from results import keep

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reference", default=os.environ.get("AUDIOINTERP_REFERENCE"))
    reference = np.load(Path(parser.parse_args().reference) / "yamnet_frontend.npz")
    import_torchaudio()
    from torch_vggish_yamnet.input_proc import WaveformToInput

    waveforms = torch.from_numpy(reference["waveform"])
    official = reference["log_mel"]
    ours = np.abs(LogMel()(waveforms).numpy() - official)
    theirs = WaveformToInput()
    shared = [theirs(torch.nn.functional.pad(w[None], (0, 400)), SAMPLE_RATE)[0, 0].numpy() for w in waveforms]
    published = np.abs(np.stack(shared) - official)
    records = [
        {"front end": "audiointerp", "largest": float(ours.max()), "mean": float(ours.mean())},
        {"front end": "torch_vggish_yamnet", "largest": float(published.max()), "mean": float(published.mean())},
    ]
    mel = float(np.abs(mel_matrix() - reference["mel_matrix"]).max())
    rows = [[row["front end"], f"{row['largest']:.2e}", f"{row['mean']:.2e}"] for row in records]
    columns = ["front end", "largest error [log units]", "mean error [log units]"]
    note = f"Mel matrix, largest error: {mel:.1e}. {len(waveforms)} segments."
    keep(HERE, "front_end", {"rows": records, "mel matrix": mel}, columns, rows, note)


if __name__ == "__main__":
    main()
