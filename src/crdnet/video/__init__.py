"""Video: a clip without its rain, and nothing else changed (extra `video`).

    from crdnet.video import VideoOptions, derain_video, frames
"""

from crdnet.video.derain import ClipFrame, derain_video, frames
from crdnet.video.encoders import EncoderOptions
from crdnet.video.options import VideoOptions, VideoProgress, VideoRecord
from crdnet.video.source import Window

__all__ = [
    "ClipFrame",
    "EncoderOptions",
    "VideoOptions",
    "VideoProgress",
    "VideoRecord",
    "Window",
    "derain_video",
    "frames",
]
