"""A model of arithmetic for tests of video: it takes out streaks one pixel wide."""

from pathlib import Path

import pytest

from crdnet.video import EncoderOptions, VideoOptions
from tests.runtime.tiny import write_streak_model

pytest.importorskip("av")


@pytest.fixture(scope="session")
def streak_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_streak_model(tmp_path_factory.mktemp("models") / "streak.onnx")


@pytest.fixture
def options(streak_model: Path) -> VideoOptions:
    """Fast options that change nothing but the rain, and lose nothing by encoding."""
    return VideoOptions(
        model=str(streak_model),
        device="cpu",
        threads=1,
        segment_frames=4,
        encoder=EncoderOptions(crf=0.0, preset="ultrafast"),
    )
