"""HEIC pictures, decoded in a process of their own: a damaged file can make libheif crash, and only it may end then.

This file is also what that process runs, which imports nothing of crdnet.
"""

import subprocess
import sys
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt


def upright_samples(content: bytes) -> npt.NDArray[np.uint8] | npt.NDArray[np.uint16]:
    """Return the samples of a HEIC file, (h, w) or (h, w, channels); libheif turns them upright, unasked.

    Raises:
        ModuleNotFoundError: The extra `heic` is not installed.
        ValueError: The file is damaged.
    """
    if find_spec("pi_heif") is None:
        raise ModuleNotFoundError("pi_heif")
    # -P: the files beside this one are no modules of that process.
    done = subprocess.run(
        [sys.executable, "-P", Path(__file__)], input=content, capture_output=True, check=False
    )
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise ValueError(said[-1] if said and done.returncode > 0 else "its decoder crashed")
    samples: npt.NDArray[np.uint8] | npt.NDArray[np.uint16] = np.load(
        BytesIO(done.stdout), allow_pickle=False
    )
    return samples


if __name__ == "__main__":
    import pi_heif

    file = pi_heif.open_heif(BytesIO(sys.stdin.buffer.read()), convert_hdr_to_8bit=False)
    np.save(sys.stdout.buffer, np.asarray(file), allow_pickle=False)
