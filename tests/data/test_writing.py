"""Long sounds in every format: written whole, and read back as what they were."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from nearfield.data.audio import FORMATS

RATE, SECONDS = 4000, 600
WRITE = f"""
import sys
import numpy as np
from nearfield.data.audio import write_sound

time = np.arange({RATE} * {SECONDS}) / {RATE}
wave = 0.4 * np.sin(2 * np.pi * (300 + time) * time)
with open(sys.argv[1], "wb") as file:
    write_sound(file, wave.astype(np.float32)[None], {RATE}, sys.argv[2])
"""


@pytest.mark.parametrize("suffix", FORMATS)
def test_ten_minutes_are_written_and_read_back(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"long{suffix}"
    subprocess.run([sys.executable, "-c", WRITE, path, suffix], check=True)  # it could end the process
    with soundfile.SoundFile(path) as file:
        read = file.read(dtype="float32")
        assert (file.samplerate, file.channels) == (RATE, 1)
    time = np.arange(RATE * SECONDS) / RATE
    wave = 0.4 * np.sin(2 * np.pi * (300 + time) * time)
    assert len(read) == len(wave)
    assert np.abs(read - wave).max() < (0.1 if suffix == ".ogg" else 1e-4)
