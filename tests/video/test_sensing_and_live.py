"""Timelines, and live sources on this machine."""

import csv
import json
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from io import StringIO
from pathlib import Path
from threading import Event, Thread

import av
import numpy as np
import pytest
import yaml
from PIL import Image

from crdnet import RainDensity
from crdnet.errors import VideoError
from crdnet.video import LiveOptions, VideoOptions, VideoRecord, derain_live, sense_video
from tests.runtime.tiny import write_tiny_model
from tests.video.clips import Recipe, make_frames, write_clip
from tests.waiting import wait_until

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_the_timeline_tells_when_it_rains(options: VideoOptions, tmp_path: Path) -> None:
    """It rains in the second of three seconds of five frames."""
    frames = make_frames(15, rain=lambda number: 5 <= number < 10)
    recipe = Recipe(time_base=Fraction(1, 5), rate=Fraction(5))
    source = write_clip(tmp_path / "in.mkv", frames, recipe)
    seen: list[int] = []
    timeline = sense_video(source, options, on_second=lambda moment: seen.append(moment.start))
    assert seen == [0, 1, 2]
    dry, rainy, again = timeline.moments
    assert dry.density == again.density == RainDensity.NONE
    assert rainy.density > RainDensity.NONE
    assert rainy.intensity > 3 * max(dry.intensity, again.intensity)
    told = json.loads(json.dumps(timeline.as_dict()))
    assert [each["frames"] for each in told["seconds"]] == [5, 5, 5]
    rows = list(csv.DictReader(StringIO(timeline.as_csv())))
    assert [each["density"] for each in rows] == [each["density"] for each in told["seconds"]]
    timeline.plot(tmp_path / "timeline.png")
    plot = np.asarray(Image.open(tmp_path / "timeline.png"))
    filled = (plot < 250).any(axis=2).sum(axis=0)
    assert filled[4] < filled[12] > filled[20]
    assert [each.frames for each in sense_video(source, options, every=2).moments] == [3, 2, 3]


def test_a_model_that_does_not_sense_is_refused(options: VideoOptions, tmp_path: Path) -> None:
    source = write_clip(tmp_path / "in.mkv", make_frames(3))
    model = write_tiny_model(tmp_path / "tiny.onnx")
    with pytest.raises(VideoError, match="does not sense rain"):
        sense_video(source, replace(options, model=str(model)))


def find_port(kind: int = socket.SOCK_DGRAM) -> int:
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Camera:
    """Sends frames to an address of this machine until it is told to stop."""

    def __init__(self, address: str, container: str = "mpegts") -> None:
        self.address, self.container = address, container
        self.stopped = Event()
        self.sent = 0
        self._thread: Thread | None = None

    def start(self) -> None:
        self.stopped.clear()
        self._thread = Thread(target=self._send, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self.stopped.set()
        if self._thread is not None:
            self._thread.join()

    def _send(self) -> None:
        options = {"flush_packets": "1"}
        with av.open(self.address, "w", format=self.container, options=options) as output:
            stream = output.add_stream("libx264", rate=25)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            stream.options = {"tune": "zerolatency", "g": "5", "preset": "ultrafast"}
            number = 0
            scenes = make_frames(10)
            while not self.stopped.wait(0.02):
                frame = av.VideoFrame.from_ndarray(scenes[number % 10], format="rgb24")
                frame.pts, frame.time_base = number, Fraction(1, 25)
                output.mux(stream.encode(frame))
                number += 1
                self.sent = number


@pytest.fixture
def camera() -> Iterator[Camera]:
    made = Camera(f"udp://127.0.0.1:{find_port()}?pkt_size=1316")
    made.start()
    yield made
    made.stop()


def test_a_stream_is_derained_into_a_stream(camera: Camera, options: VideoOptions) -> None:
    """MPEG-TS over UDP in and out; the connection is lost and found again in between."""
    port = find_port()
    received: list[float] = []
    events: list[str] = []
    records: list[VideoRecord] = []
    closed = Event()

    def receive() -> None:
        address = f"udp://127.0.0.1:{port}?timeout=500000"
        while not closed.is_set():
            try:
                with av.open(address, format="mpegts") as container:
                    for frame in container.decode(video=0):
                        received.append(frame.time)
                        if closed.is_set():
                            return
            except (av.error.FFmpegError, IndexError):
                pass  # nothing came yet

    def derain() -> None:
        records.append(
            derain_live(
                camera.address,
                f"udp://127.0.0.1:{port}?pkt_size=1316",
                options,
                LiveOptions(attempts=2, timeout=1.0),
                on_event=events.append,
            )
        )

    threads = [Thread(target=each, daemon=True) for each in (receive, derain)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(received) >= 5)
    camera.stop()
    wait_until(lambda: any(each.startswith("lost") for each in events))
    camera.start()
    wait_until(lambda: any(each.startswith("found") for each in events))
    seen = len(received)
    wait_until(lambda: len(received) > seen + 3)
    camera.stop()
    threads[1].join()
    closed.set()
    threads[0].join()
    assert received == sorted(received)
    assert records[0].frames >= len(received)
    assert records[0].encoder == "libx264 yuv420p"


def test_frames_may_be_left_out(camera: Camera, options: VideoOptions, tmp_path: Path) -> None:
    counted: list[int] = []

    def count(progress: object) -> None:
        counted.append(1)
        if len(counted) == 6:
            camera.stopped.set()

    live = LiveOptions(every=3, attempts=0, timeout=1.0)
    output = tmp_path / "out.ts"
    record = derain_live(camera.address, output, options, live, count)
    assert record.dropped >= 2 * (record.frames - 1)
    with av.open(str(output)) as container:
        assert sum(1 for _ in container.decode(video=0)) == record.frames


def test_the_example_for_cameras_streams_to_its_reader(camera: Camera, streak_model: Path) -> None:
    """The command that go2rtc is to start gives MPEG-TS on its standard output."""
    streams = yaml.safe_load((EXAMPLES / "camera/go2rtc.yaml").read_text())["streams"]
    program, *arguments = shlex.split(streams["yard"].removeprefix("exec:"))
    assert program == "crdnet"
    arguments = [camera.address if "://" in each else each for each in arguments]
    command = [sys.executable, "-m", "crdnet.cli", *arguments, "-m", str(streak_model)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            with av.open(process.stdout, "r", format="mpegts") as container:
                frames = container.decode(video=0)
                times = [next(frames).time for _ in range(4)]
        finally:
            process.kill()
    assert times == sorted(times)


def test_a_source_that_sends_nothing_is_named(options: VideoOptions, tmp_path: Path) -> None:
    live = LiveOptions(attempts=0, timeout=0.2)
    with pytest.raises(VideoError, match="cannot be read"):
        derain_live(f"udp://127.0.0.1:{find_port()}", tmp_path / "out.ts", options, live)


@pytest.fixture
def rtsp_ports() -> Iterator[tuple[int, int]]:
    """Ports of a real RTSP server: for cameras, and for those who watch."""
    program = shutil.which("rtsp-server-perl")
    if program is None:
        pytest.skip("needs Debian's rtsp-server-perl")
    cameras, watchers, media = (find_port(socket.SOCK_STREAM) for _ in range(3))
    address = "127.0.0.1"
    command = [program, f"--serverport={cameras}", f"--clientport={watchers}"]
    command += [f"--source_listen_address={address}", f"--client_listen_address={address}"]
    with subprocess.Popen([*command, f"--rtp_start_port={media // 2 * 2}"]) as server:
        try:
            wait_until(lambda: all(is_open(port) for port in (cameras, watchers)))
            yield cameras, watchers
        finally:
            server.kill()


def is_open(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def test_rtsp_goes_in_and_out(
    rtsp_ports: tuple[int, int], options: VideoOptions, tmp_path: Path
) -> None:
    """The server speaks UDP only, which is found out."""
    cameras, watchers = rtsp_ports
    camera = Camera(f"rtsp://127.0.0.1:{cameras}/camera", "rtsp")
    camera.start()
    wait_until(lambda: camera.sent > 5)
    counted: list[int] = []
    received: list[float] = []
    closed = Event()

    def watch() -> None:
        address = f"rtsp://127.0.0.1:{watchers}/clean"
        while not closed.is_set():
            with (
                suppress(av.error.FFmpegError, IndexError),
                av.open(address, options={"rtsp_transport": "udp"}, timeout=1.0) as container,
            ):
                for frame in container.decode(video=0):
                    received.append(frame.time)
                    if closed.is_set():
                        return

    def count(_progress: object) -> None:
        counted.append(1)
        if len(received) > 5:
            camera.stopped.set()

    watcher = Thread(target=watch, daemon=True)
    watcher.start()
    record = derain_live(
        f"rtsp://127.0.0.1:{watchers}/camera",
        f"rtsp://127.0.0.1:{cameras}/clean",
        options,
        LiveOptions(attempts=4, timeout=2.0),
        count,
    )
    closed.set()
    camera.stop()
    watcher.join()
    assert record.frames == len(counted) >= len(received) > 5
