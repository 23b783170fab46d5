"""The app in a browser: it computes there as Python does, and asks no other host for anything."""

import json
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from threading import Thread
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image

import crdnet
from crdnet.runtime.direction import shear_rows
from tests.conftest import launch_chromium
from tests.images.making import PROFILE, XMP, exif_of, multi_page
from tests.server.images import encode, make_png_claiming, make_scene
from tests.server.running import Running, run_server
from tests.server.test_page import (
    DONE,
    MILLISECONDS,
    REPOSITORY,
    choose,
    drop,
    press_until,
    wait_for_states,
)
from tests.video.clips import Recipe, make_frames, read_packets, write_clip

APP = Path(str(files("crdnet.server"))) / "app"
FAILED = "article .failure:not([hidden])"
RAINY = encode(make_scene(240, 160, rain=60), "JPEG", quality=90)
DRY = encode(make_scene(240, 160))
Pixels = npt.NDArray[np.uint8]

pytestmark = pytest.mark.skipif(
    not (APP / "index.html").is_file(), reason="the app is not built; `make web` builds it"
)


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server with the shipped model."""
    with run_server("-d", "cpu", log=tmp_path_factory.mktemp("log") / "full.log") as server:
        yield server


def open_app(browser: Any, url: str, query: str = "") -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 360, "height": 740}, has_touch=True)
    context.set_default_timeout(MILLISECONDS)
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    asked: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    page.goto(f"{url}/app/{query}")
    yield page
    assert context.cookies() == []
    context.close()
    assert asked
    assert all(address.startswith((url, "blob:", "data:")) for address in asked)
    assert complaints == []


@pytest.fixture
def app(browser: Any, server: Running) -> Iterator[Any]:
    """The app, with the model that knows lines one pixel wide."""
    yield from open_app(browser, server.url)


@pytest.fixture
def full_app(browser: Any, full: Running) -> Iterator[Any]:
    """The app, with the shipped model."""
    yield from open_app(browser, full.url)


def download(page: Any) -> tuple[str, bytes]:
    with page.expect_download() as saved:
        page.click("article:not([hidden]) .download")
    return saved.value.suggested_filename, Path(saved.value.path()).read_bytes()


def derain(page: Any, content: bytes, name: str) -> Pixels:
    """Give the app an image; return the pixels of its download."""
    drop(page, content, name)
    page.wait_for_selector(DONE)
    return np.asarray(Image.open(BytesIO(download(page)[1])))


def cut_street(height: int, width: int, enlarged: int = 1) -> Pixels:
    street = Image.open(REPOSITORY / "examples" / "medium.jpg")
    mirrored = np.concatenate([street, np.asarray(street)[:, ::-1]], axis=1)
    part = Image.fromarray(np.tile(mirrored, (2, 1, 1))[:height, :width])
    return np.asarray(part.resize((enlarged * width, enlarged * height), Image.Resampling.BICUBIC))


def share_within_a_level(one: Pixels, other: Pixels) -> float:
    assert one.shape == other.shape
    return float((np.abs(one.astype(int) - other.astype(int)) <= 1).mean())


@pytest.mark.parametrize(
    "image",
    [
        pytest.param(cut_street(117, 203), id="odd sides"),
        pytest.param(cut_street(3, 5), id="few pixels"),
        pytest.param(cut_street(40, 900), id="tiles"),
        pytest.param(cut_street(160, 240, enlarged=2), id="rain at half size"),
        pytest.param(cut_street(600, 950), id="tiles and samples"),
    ],
)
def test_pixels_are_those_of_python(full_app: Any, image: Pixels) -> None:
    derained = derain(full_app, encode(Image.fromarray(image)), "street.png")
    expected = crdnet.Derainer(device="cpu").run(image)
    assert share_within_a_level(derained, expected.image) >= 0.999
    assert not np.array_equal(derained, image)
    assert expected.score is not None
    score = full_app.get_attribute("article .meter", "aria-valuenow")
    assert float(score) == pytest.approx(expected.score, abs=2e-4)
    assert expected.probabilities is not None
    shares = full_app.locator("dd").all_text_contents()
    for told, share in zip(shares, expected.probabilities.values(), strict=True):
        assert float(told.removesuffix(" %")) == pytest.approx(100 * share, abs=1)


def test_rain_of_large_streaks_is_taken_out_at_a_smaller_scale(full_app: Any) -> None:
    image = cut_street(171, 256, enlarged=4)
    expected = crdnet.Derainer(device="cpu").run(image)
    assert expected.scale is not None
    assert expected.scale < 1
    derained = derain(full_app, encode(Image.fromarray(image)), "street.png")
    assert share_within_a_level(derained, expected.image) >= 0.999


@pytest.mark.parametrize(("height", "width"), [(160, 240), (300, 1800)])
def test_steep_rain_is_removed_as_in_python(full_app: Any, height: int, width: int) -> None:
    image = shear_rows(cut_street(height, width).astype(np.float32), -1).astype(np.uint8)
    expected = crdnet.Derainer(device="cpu").run(image)
    assert expected.sensed.shear == 1
    derained = derain(full_app, encode(Image.fromarray(image)), "street.png")
    assert share_within_a_level(derained, expected.image) >= 0.999


def test_a_part_of_the_rain_can_be_taken_out(full_app: Any) -> None:
    image = cut_street(120, 160)
    derain(full_app, encode(Image.fromarray(image)), "street.png")
    full_app.locator(".strength input").fill("40")
    derained = np.asarray(Image.open(BytesIO(download(full_app)[1])))
    expected = crdnet.Derainer(device="cpu").run(image, strength=0.4).image
    assert share_within_a_level(derained, expected) >= 0.999


def test_the_page_says_that_it_computes_here(app: Any) -> None:
    assert "stay on this device" in app.text_content("header")
    assert app.locator("#key").count() == 0
    assert app.evaluate("crossOriginIsolated")


def test_a_jpeg_keeps_its_metadata_and_stands_upright(app: Any) -> None:
    # Stored turned, so that the lines are upright when it is shown.
    scene = make_scene(240, 160, rain=60).transpose(Image.Transpose.ROTATE_90)
    exif = exif_of(orientation=6).tobytes()
    content = encode(scene, "JPEG", quality=92, exif=exif, icc_profile=PROFILE, xmp=XMP)
    drop(app, content)
    app.wait_for_selector(DONE)
    name, derained = download(app)
    assert name == "street_derained.jpg"
    before, after = (Image.open(BytesIO(each)) for each in (content, derained))
    assert after.size == (240, 160)
    assert after.info["icc_profile"] == PROFILE
    assert after.info["xmp"] == XMP
    expected = before.getexif()
    expected[0x0112] = 1
    assert dict(after.getexif()) == dict(expected)


def test_a_png_keeps_its_text_and_profile(app: Any) -> None:
    from PIL.PngImagePlugin import PngInfo  # noqa: PLC0415 - for this test alone

    text = PngInfo()
    text.add_text("Title", "a street")
    content = encode(make_scene(90, 60, rain=60), pnginfo=text, icc_profile=PROFILE, dpi=(300, 300))
    drop(app, content, "street.png")
    app.wait_for_selector(DONE)
    derained = Image.open(BytesIO(download(app)[1]))
    derained.load()
    assert derained.info["Title"] == "a street"
    assert derained.info["icc_profile"] == PROFILE
    assert derained.info["dpi"] == pytest.approx((300, 300), abs=0.1)


def test_a_webp_keeps_its_metadata(app: Any) -> None:
    options = {"exif": exif_of().tobytes(), "icc_profile": PROFILE, "xmp": XMP}
    drop(app, encode(make_scene(90, 60, rain=60), "WEBP", lossless=True, **options), "street.webp")
    app.wait_for_selector(DONE)
    name, content = download(app)
    assert name == "street_derained.webp"
    derained = Image.open(BytesIO(content))
    derained.load()
    assert derained.info["icc_profile"] == PROFILE
    assert derained.info["xmp"] == XMP
    assert dict(derained.getexif()) == dict(exif_of())


def check_left_alone_until_asked(app: Any, content: bytes, name: str, words: str) -> None:
    """Check that a dry file comes back byte for byte, and derained if the user insists."""
    drop(app, content, name)
    app.wait_for_selector(DONE)
    assert words in app.text_content(".status")
    assert download(app) == (name.replace(".", "_derained."), content)
    app.click(".always")
    app.wait_for_function("() => document.querySelector('.status').textContent.includes('Done')")
    assert download(app)[1] != content


def test_a_dry_image_is_left_alone_until_asked_for(app: Any) -> None:
    check_left_alone_until_asked(app, DRY, "house.png", "dry")


def test_several_images_wait_for_their_turn(app: Any) -> None:
    choose(app, first=RAINY, second=b"no image", third=DRY)
    wait_for_states(app, "done", "failed", "done")
    with app.expect_download() as saved:
        app.click(".all")
    assert saved.value.suggested_filename == "derained.zip"


def cancel_in_progress(app: Any) -> None:
    """Cancel the only card once it says how much of the rain is out."""
    app.wait_for_function(
        "() => /rain out, [0-9]+ %/.test(document.querySelector('.status').textContent)"
    )
    app.click(".cancel")
    app.wait_for_selector(FAILED)
    assert app.text_content(".failure p") == "Cancelled."


def test_an_image_in_progress_can_be_cancelled_and_tried_again(full_app: Any) -> None:
    drop(full_app, encode(Image.fromarray(cut_street(680, 1020))), "street.png")
    cancel_in_progress(full_app)
    full_app.click(".again")
    full_app.wait_for_selector(DONE)


def test_the_time_left_is_told(full_app: Any) -> None:
    drop(full_app, encode(Image.fromarray(cut_street(1600, 2400)), "JPEG"))
    full_app.wait_for_function(
        "() => /[0-9]+ (s|minutes) left/.test(document.querySelector('.status').textContent)"
    )
    full_app.click(".cancel")
    full_app.wait_for_selector(FAILED)


def test_the_camera_takes_a_photo(app: Any) -> None:
    assert app.get_attribute("#camera", "capture") == "environment"
    photo = {"name": "photo.jpg", "mimeType": "image/jpeg", "buffer": RAINY}
    app.set_input_files("#camera", photo)
    app.wait_for_selector(DONE)


def test_the_browser_may_install_the_app(app: Any) -> None:
    browser = app.context.new_cdp_session(app)
    manifest = browser.send("Page.getAppManifest")
    assert manifest["errors"] == []
    assert json.loads(manifest["data"])["display"] == "standalone"
    # The test's context is like a private window, which installs nothing.
    problems = browser.send("Page.getInstallabilityErrors")["installabilityErrors"]
    assert {each["errorId"] for each in problems} <= {"in-incognito"}


def test_the_page_cannot_send_to_another_host(browser: Any, server: Running) -> None:
    page = browser.new_page()
    page.goto(f"{server.url}/app/")
    refused = page.evaluate(
        """() => new Promise((resolve) => {
            addEventListener("securitypolicyviolation", (event) => resolve(event.blockedURI));
            fetch("http://127.0.0.2:9/image", { method: "POST" }).catch(() => {});
        })"""
    )
    page.close()
    assert refused == "http://127.0.0.2:9/image"


def test_the_app_opens_and_works_without_a_network(app: Any, server: Running) -> None:
    app.wait_for_function("() => navigator.serviceWorker.controller")
    app.context.set_offline(True)
    app.reload()
    app.click("#example")
    app.wait_for_selector(DONE)
    app.context.set_offline(False)


BAD = {
    "letter.txt": (b"this is no image", "not an image"),
    "empty.png": (b"", "empty"),
    "film.gif": (multi_page("GIF"), "animation"),
    "film.png": (multi_page("PNG"), "animation"),
    "film.webp": (multi_page("WEBP"), "animation"),
    "scan.tiff": (encode(make_scene(), "TIFF"), "TIFF"),
    "vast.png": (make_png_claiming(10_000, 10_000), "100 megapixels"),
    "cut.jpg": (RAINY[: len(RAINY) // 2], "ends too early"),
    "cut.png": (DRY[: len(DRY) // 2], "ends too early"),
    "phone.heic": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "iPhone"),
    "clip.mp4": (b"\0\0\0\x18ftypisom\0\0\0\0isomiso2", "no video"),
    "clip.mkv": (b"\x1a\x45\xdf\xa3 no Matroska", "damaged clip"),
    "broken.png": (DRY[:60] + bytes(100) + DRY[160:], "damaged"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_with_what_to_do(app: Any, name: str) -> None:
    content, words = BAD[name]
    drop(app, content, name)
    app.wait_for_selector(FAILED)
    told = app.text_content(".failure p")
    assert told.startswith(name)
    assert words in told
    assert not app.locator(".again").is_visible()


VP9 = Recipe(codec="libvpx-vp9", options={"crf": "4", "b": "0"}, colours=(1, 1, 1, 1))


def read_frames(path: Path) -> tuple[list[float], Pixels]:
    """Return the timestamps and the pixels (n, h, w, 3) of a clip."""
    with av.open(str(path)) as clip:
        frames = list(clip.decode(video=0))
    return [frame.time for frame in frames], np.stack(
        [frame.to_ndarray(format="rgb24") for frame in frames]
    )


@pytest.mark.parametrize(
    ("name", "audio"), [("street.webm", "libopus"), ("street.mp4", "aac")], ids=["webm", "mp4"]
)
def test_a_clip_is_derained_and_keeps_its_sound_and_timestamps(
    app: Any, tmp_path: Path, name: str, audio: str
) -> None:
    times = [0, 1, 2, 5, 6, 8]
    rainy = make_frames(len(times))
    source = write_clip(tmp_path / name, rainy, replace(VP9, audio=audio, times=times))
    drop(app, source.read_bytes(), name)
    app.wait_for_selector(DONE)
    assert "rain" in app.text_content(".density")
    assert app.locator("article video").evaluate("clip => clip.src.startsWith('blob:')")
    saved, content = download(app)
    assert saved == name.replace(".", "_derained.")
    result = tmp_path / saved
    result.write_bytes(content)
    assert read_frames(result)[0] == pytest.approx(read_frames(source)[0], abs=1e-3)
    sounds = [read_packets(path, "audio") for path in (source, result)]
    assert [packet[-1] for packet in sounds[0]] == [packet[-1] for packet in sounds[1]]
    # The difference between rainy and clean frames is the rain, of 60 levels in few pixels.
    clean = np.stack(make_frames(len(times), rain=lambda _: False)).astype(float)
    before, after = (np.abs(read_frames(path)[1] - clean).mean() for path in (source, result))
    assert after < before / 2


def test_a_dry_clip_is_left_alone_until_asked_for(app: Any, tmp_path: Path) -> None:
    frames = make_frames(3, rain=lambda _: False)
    content = write_clip(tmp_path / "dry.webm", frames, VP9).read_bytes()
    check_left_alone_until_asked(app, content, "dry.webm", "The clip is dry")


def test_a_clip_in_progress_can_be_cancelled_and_tried_again(app: Any, tmp_path: Path) -> None:
    content = write_clip(tmp_path / "long.webm", make_frames(250), VP9).read_bytes()
    drop(app, content, "long.webm")
    cancel_in_progress(app)
    drop(app, RAINY)
    app.wait_for_selector("article:not([hidden]) .done:not([hidden])")


def test_a_clip_that_is_too_long_is_refused(app: Any, tmp_path: Path) -> None:
    slow = replace(VP9, rate=Fraction(1), time_base=Fraction(1))
    content = write_clip(tmp_path / "long.webm", make_frames(32), slow).read_bytes()
    drop(app, content, "long.webm")
    app.wait_for_selector(FAILED)
    told = app.text_content(".failure p")
    assert "32 s long" in told
    assert "up to 30 s" in told
    assert "crdnet video" in told


def test_a_codec_that_the_browser_does_not_decode_is_told(app: Any, tmp_path: Path) -> None:
    recipe = Recipe(codec="mpeg4", options={})
    drop(app, write_clip(tmp_path / "old.mp4", make_frames(3), recipe).read_bytes(), "old.mp4")
    app.wait_for_selector(FAILED)
    assert "does not decode" in app.text_content(".failure p")
    assert "crdnet video" in app.text_content(".failure p")


def test_a_browser_without_webcodecs_is_told(app: Any, tmp_path: Path) -> None:
    content = write_clip(tmp_path / "street.webm", make_frames(3), VP9).read_bytes()
    break_worker(app, "delete self.VideoEncoder")
    drop(app, content, "street.webm")
    app.wait_for_selector(FAILED)
    assert "no WebCodecs" in app.text_content(".failure p")
    assert "crdnet video" in app.text_content(".failure p")


def test_formats_that_are_not_written_become_jpeg(app: Any) -> None:
    drop(app, encode(make_scene(96, 64, rain=60), "BMP"), "street.bmp")
    app.wait_for_selector(DONE)
    name, content = download(app)
    assert name == "street_derained.jpg"
    assert Image.open(BytesIO(content)).format == "JPEG"


def test_the_server_sends_what_the_app_needs(server: Running) -> None:
    answer = server.get("/app", follow_redirects=False)
    assert answer.headers["location"] == "app/"
    page = server.get("/app/")
    assert page.headers["cross-origin-embedder-policy"] == "require-corp"
    # Static hosts send no policy, so the page has it too, but for what pages cannot say.
    policy = page.headers["content-security-policy"].removesuffix("; frame-ancestors 'none'")
    assert f'http-equiv="Content-Security-Policy" content="{policy}"' in page.text
    runtime = next((APP / "assets").glob("*.wasm"))
    path = f"/app/assets/{runtime.name}"
    for coding in ("gzip", "identity"):
        answer = server.get(path, headers={"accept-encoding": coding})
        assert answer.headers["content-type"] == "application/wasm"
        assert answer.content == runtime.read_bytes()
    assert server.get("/app/../app.py").status_code == 404


def test_a_static_host_without_headers_gives_threads_from_the_second_opening_on(
    browser: Any,
) -> None:
    handler = partial(SimpleHTTPRequestHandler, directory=APP)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as host:
        Thread(target=host.serve_forever, daemon=True).start()
        page = browser.new_page()
        page.set_default_timeout(MILLISECONDS)
        page.goto(f"http://127.0.0.1:{host.server_port}/")
        assert not page.evaluate("crossOriginIsolated")
        page.click("#example")
        page.wait_for_selector(DONE)
        assert "with 1 thread." in page.text_content(".status")
        page.wait_for_function("() => navigator.serviceWorker.controller")
        page.reload()
        assert page.evaluate("crossOriginIsolated")
        page.close()
        host.shutdown()


def break_worker(page: Any, script: str) -> None:
    """Run a script in the app's worker before its own."""

    def prefix(route: Any) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, body=f"{script};\n{answer.text()}")

    page.route("**/worker-*.js", prefix)
    page.reload()


def test_a_browser_without_simd_is_told(app: Any) -> None:
    break_worker(app, "WebAssembly.validate = () => false")
    drop(app, RAINY)
    app.wait_for_selector(FAILED)
    assert "no WebAssembly with SIMD" in app.text_content(".failure p")


def test_lack_of_memory_is_told_and_can_be_tried_again(app: Any) -> None:
    lack = 'WebAssembly.Memory = function () { throw new RangeError("could not allocate memory") }'
    break_worker(app, lack)
    drop(app, RAINY)
    app.wait_for_selector(FAILED)
    assert "memory" in app.text_content(".failure p")
    app.unroute("**/worker-*.js")
    app.click(".again")
    app.wait_for_selector(DONE)


def test_everything_in_the_app_can_be_done_by_keyboard(app: Any) -> None:
    press_until(app, "#example")
    app.keyboard.press("Enter")
    app.wait_for_selector(DONE)
    press_until(app, ".split")
    press_until(app, ".strength input")
    press_until(app, ".download")
    with app.expect_download():
        app.keyboard.press("Enter")


def test_a_screen_reader_is_told_of_result_and_failure(app: Any) -> None:
    choose(app, first=RAINY, second=b"no image")
    wait_for_states(app, "done", "failed")
    app.get_by_role("button", name="first.jpg: done").click()
    article = app.locator("article:not([hidden])")
    assert "Done" in article.get_by_role("status").first.text_content()
    meter = article.get_by_role("meter", name="How heavy the rain was")
    assert meter.get_attribute("aria-valuetext") in ("Light rain", "Medium rain", "Heavy rain")
    for name in ("Place of the border between before and after", "Rain to remove"):
        assert article.get_by_role("slider", name=name).is_visible()
    app.get_by_role("button", name="second.jpg: failed").click()
    assert "not an image" in app.get_by_role("alert").text_content()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_app_is_accessible_and_fits_a_narrow_screen(app: Any, scheme: str) -> None:
    app.emulate_media(color_scheme=scheme)
    choose(app, first=RAINY, second=b"no image")
    wait_for_states(app, "done", "failed")
    assert app.evaluate("document.documentElement.scrollWidth") == 360
    assert Axe().run(app).response["violations"] == []


@pytest.fixture(scope="module")
def gpu_browser(browser: Any) -> Iterator[Any]:
    """Chromium whose WebGPU is computed by the processor."""
    options = ("enable-unsafe-webgpu", "use-webgpu-adapter=swiftshader")
    with_gpu = launch_chromium(browser.browser_type, *options)
    yield with_gpu
    with_gpu.close()


def test_a_gpu_computes_the_same(gpu_browser: Any, full: Running) -> None:
    for page in open_app(gpu_browser, full.url, "?device=webgpu"):
        if not page.evaluate("async () => Boolean(await navigator.gpu?.requestAdapter())"):
            pytest.skip("this Chromium has no WebGPU")
        image = cut_street(160, 240)
        derained = derain(page, encode(Image.fromarray(image)), "street.png")
        assert "WebGPU" in page.text_content(".status")
        assert share_within_a_level(derained, crdnet.derain(image)) >= 0.999


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param("GPUQueue.prototype.submit = () => {}", id="wrong"),
        pytest.param("GPUAdapter.prototype.requestDevice = undefined", id="broken"),
    ],
)
def test_a_gpu_that_fails_or_computes_something_else_is_not_used(
    gpu_browser: Any, server: Running, fault: str
) -> None:
    for page in open_app(gpu_browser, server.url, "?device=webgpu"):
        if not page.evaluate("async () => Boolean(await navigator.gpu?.requestAdapter())"):
            pytest.skip("this Chromium has no WebGPU")
        break_worker(page, fault)
        drop(page, RAINY)
        page.wait_for_selector(DONE)
        assert "WebAssembly" in page.text_content(".status")
