"""Settings and fixtures for all tests, and for the processes that they start."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# The time of an example depends more on the machine than on the code.
settings.register_profile("crdnet", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("crdnet")

# The reference engine, even if a faster one is installed: tests compare its results exactly. Tests
# of engines name their devices; CRDNET_DEVICE=openvino runs all other tests on another engine.
os.environ.setdefault("CRDNET_DEVICE", "cpu")

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the data sets of the field, which this repository may not publish."""
    folder = Path(os.environ.get("CRDNET_SHARED", REPOSITORY.parent / "shared")) / "data"
    if not folder.is_dir():
        pytest.skip(
            f"needs the data sets of the field, which are not at {folder}; "
            "set CRDNET_SHARED to the folder above data/"
        )
    return folder


def launch_chromium(kind: Any, *options: str) -> Any:
    """Return Chromium without a window.

    Args:
        kind: Playwright's type of browser.
        options: More of its command line, without the dashes.
    """
    chromium = next(
        filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
    )
    if chromium is None:
        pytest.skip("there is no Chromium here; `make browser` gets it")
    quiet = ["no-sandbox", "disable-quic", "no-first-run", "disable-sync"]
    quiet += ["disable-background-networking", "disable-component-update"]
    return kind.launch(executable_path=chromium, args=[f"--{each}" for each in (*quiet, *options)])


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium without a GPU."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415

    with sync_playwright() as playwright:
        browser = launch_chromium(playwright.chromium, "disable-gpu")
        yield browser
        browser.close()
