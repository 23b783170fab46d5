"""Deraining of video; other streams and metadata are kept (extra `video`).

from crdnet.video import VideoOptions, derain_video, frames
"""

from crdnet.video.derain import ClipFrame, derain_video, frames
from crdnet.video.encoders import EncoderOptions
from crdnet.video.engine import FrameNetwork
from crdnet.video.fusion import FusionModel
from crdnet.video.live import LiveOptions, derain_live
from crdnet.video.options import VideoOptions, VideoProgress, VideoRecord
from crdnet.video.sensing import Moment, Timeline, sense_video
from crdnet.video.source import Window, is_live
from crdnet.video.temporal import DerainedFrame, TemporalDerainer

__all__ = [
    "ClipFrame",
    "DerainedFrame",
    "EncoderOptions",
    "FrameNetwork",
    "FusionModel",
    "LiveOptions",
    "Moment",
    "TemporalDerainer",
    "Timeline",
    "VideoOptions",
    "VideoProgress",
    "VideoRecord",
    "Window",
    "derain_live",
    "derain_video",
    "frames",
    "is_live",
    "sense_video",
]
