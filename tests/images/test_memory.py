"""No array, view or buffer outlives the memory that it looks at.

The same files are decoded and encoded in two processes. In one of them the allocator overwrites
memory when it is freed, and fills new memory, so that whatever is read too late or too early
changes the result.
"""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from tests.images.making import files_of_all_kinds

POISON = {
    "MALLOC_PERTURB_": "165",
    "MALLOC_MMAP_MAX_": "0",  # large blocks would be unmapped in place of being overwritten
    "MALLOC_TRIM_THRESHOLD_": str(2**40),
    "MALLOC_TOP_PAD_": str(2**26),
    "PYTHONMALLOC": "malloc",
    "G_SLICE": "always-malloc",
}
PROBE = """
import gc, hashlib, sys
from io import BytesIO
from pathlib import Path
import numpy as np
from crdnet import images
from crdnet.images import worker
from crdnet.errors import ImageError
worker._inside = True  # decode here
def told(*arrays):
    found = hashlib.sha256()
    for array in arrays:
        found.update(b"none" if array is None else np.ascontiguousarray(array).tobytes())
    return found.hexdigest()[:16]
def churn():
    gc.collect()
    return [bytearray(size) for size in range(1, 200_000, 1_111)]
for path in sorted(Path(sys.argv[1]).iterdir()):
    content = path.read_bytes()
    kept = [images.decode(content) for _ in range(3)]
    churn()
    for decoded in kept:
        print(path.name, told(decoded.pixels, decoded.alpha), repr(decoded.metadata)[:4000])
    for target in images.FORMATS.values():
        written = images.encode(kept[0], kept[0].pixels, target)
        churn()
        print(target, hashlib.sha256(written).hexdigest()[:16])
    placeless = images.remove_gps(content)
    churn()
    print(hashlib.sha256(placeless).hexdigest()[:16])
    if kept[0].format not in images.BANDED or kept[0].changes:
        continue
    buffer = BytesIO()
    try:
        reader = images.BandReader(path)
    except ImageError:
        print("no bands")
        continue
    with reader:
        writer = images.BandWriter(buffer, reader)
        parts = []
        for start in range(0, reader.height, 7):
            part = reader.read_rows(start, min(start + 7, reader.height))
            churn()
            parts.append(part)
            writer.write(*part)
        writer.finish()
    arrays = [array for part in parts for array in part]
    print(told(*arrays), told(np.frombuffer(buffer.getvalue(), np.uint8)))
"""


def probed(folder: Path, **environment: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROBE, folder],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's allocator overwrites memory")
def test_freed_memory_is_never_read(tmp_path: Path) -> None:
    for name, content in files_of_all_kinds().items():
        (tmp_path / name).write_bytes(content)
    plain, poisoned = probed(tmp_path), probed(tmp_path, **POISON)
    assert len(plain) >= 9 * len(files_of_all_kinds())
    assert poisoned == plain
