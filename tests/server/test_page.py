"""The page: what it weighs, that it loads nothing from elsewhere, and what it does in a browser."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

from tests.images.making import heic
from tests.server.images import encode, make_png_claiming, make_scene
from tests.server.running import Running, run_server
from tests.waiting import HANG_SECONDS

PAGE = Path(str(files("crdnet.server"))) / "page"
TEXTS = sorted(path for path in PAGE.iterdir() if path.suffix in (".html", ".css", ".js"))
REPOSITORY = Path(__file__).resolve().parents[2]
MILLISECONDS = 1000 * HANG_SECONDS
DONE = "article .done:not([hidden])"


class Elements(HTMLParser):
    """Collects the elements of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_the_page_is_under_sixty_kilobytes() -> None:
    weights = {path.name: path.stat().st_size for path in PAGE.iterdir()}
    assert weights.pop("example.jpg") < 60_000
    assert sum(weights.values()) < 60_000


def test_the_example_is_the_one_whose_terms_are_told() -> None:
    assert (PAGE / "example.jpg").read_bytes() == (
        REPOSITORY / "examples" / "medium.jpg"
    ).read_bytes()


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_nothing_is_loaded_from_elsewhere(path: Path) -> None:
    urls = re.findall(
        r"(?:https?:)?//[\w.-]+", re.sub(r"//[^\n]*\n", "\n", path.read_text(encoding="utf-8"))
    )
    assert set(urls) <= {"http://127.0.0.1"}  # shown as a command


@pytest.mark.parametrize("name", ["index.html", "docs.html"])
def test_there_is_no_inline_script_or_style(name: str) -> None:
    for tag, attributes in Elements(PAGE / name).found:
        assert tag != "style"
        assert "style" not in attributes
        assert not [each for each in attributes if each.startswith("on")]
        assert tag != "script" or attributes["src"]


def luminance(colour: str) -> float:
    parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_ink_can_be_read_on_its_paper(scheme: int) -> None:
    style = (PAGE / "page.css").read_text(encoding="utf-8")
    blocks = re.findall(r":root \{([^}]*)\}", style)
    assert len(blocks) == 2
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", blocks[scheme]))
    pairs = [
        (ink, paper) for ink in ("ink", "soft", "act", "bad") for paper in ("paper", "card")
    ] + [("on-act", "act")]
    for one, other in pairs:
        high, low = sorted((luminance(colours[one]), luminance(colours[other])), reverse=True)
        assert (high + 0.05) / (low + 0.05) >= 4.5, (one, other)


@pytest.fixture
def page(browser: Any, server: Running) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 360, "height": 740}, has_touch=True)
    context.set_default_timeout(MILLISECONDS)
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(server.url)
    yield page
    context.close()
    assert all(url.startswith((server.url, "blob:", "data:")) for url in asked)
    expected = "Failed to load resource"  # how the console tells of an answer that is an error
    assert [said for said in complaints if expected not in said] == []


RAINY = encode(make_scene(240, 160, rain=60), "JPEG", quality=90)
DRY = encode(make_scene(240, 160))


def drop(page: Any, content: bytes, name: str = "street.jpg") -> None:
    """Drop a file as a person does."""
    data = page.evaluate_handle(
        """([bytes, name]) => {
            const data = new DataTransfer();
            data.items.add(new File([new Uint8Array(bytes)], name, { type: "image/jpeg" }));
            return data;
        }""",
        [list(content), name],
    )
    page.dispatch_event("#drop", "drop", {"dataTransfer": data})


def test_a_dropped_image_is_compared_and_downloaded_as_the_api_answers_it(
    page: Any, server: Running, tmp_path: Path
) -> None:
    drop(page, RAINY)
    page.wait_for_selector(DONE)
    assert page.text_content("article .name") == "street.jpg"
    assert "rain" in page.text_content(".density")
    assert page.locator("dl div").count() == 4
    for strength, wishes in ((100, {}), (40, {"strength": 0.4, "always": True})):
        page.locator(".strength input").fill(str(strength))
        with page.expect_download() as saved:
            page.click(".download")
        assert saved.value.suggested_filename == "street_derained.jpg"
        saved.value.save_as(tmp_path / "saved.jpg")
        answer = server.post("/v1/derain", params=wishes, content=RAINY).content
        assert (tmp_path / "saved.jpg").read_bytes() == answer


def test_the_border_between_before_and_after_follows_mouse_finger_and_keys(page: Any) -> None:
    def after_is_cut_at() -> str:
        cut = page.evaluate("getComputedStyle(document.querySelector('.top-pane')).clipPath")
        return str(cut).removeprefix("inset(0px 0px 0px ").removesuffix(")")

    drop(page, RAINY)
    page.wait_for_selector(DONE)
    page.focus(".split")
    page.keyboard.press("Home")
    assert after_is_cut_at() == "0%"
    page.keyboard.press("ArrowRight")
    assert after_is_cut_at() == "1%"
    box = page.locator(".frame").bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.2, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.4, middle, steps=5)
    page.mouse.up()
    assert 35 < float(after_is_cut_at().removesuffix("%")) < 45
    page.touchscreen.tap(box["x"] + box["width"] * 0.75, middle)
    assert 70 < float(after_is_cut_at().removesuffix("%")) < 80


def test_the_rain_that_was_taken_out_can_be_looked_at(page: Any) -> None:
    drop(page, RAINY)
    page.wait_for_selector(DONE)
    page.get_by_label("the removed rain").check()
    assert (
        page.evaluate("getComputedStyle(document.querySelector('.top-pane')).mixBlendMode")
        == "difference"
    )


def test_the_gauge_tells_score_and_grade_as_the_answer_does(page: Any, server: Running) -> None:
    headers = server.post("/v1/derain", content=RAINY).headers
    drop(page, RAINY)
    page.wait_for_selector(DONE)
    gauge = page.get_by_role("meter", name="How heavy the rain was")
    assert gauge.get_attribute("aria-valuenow") == headers["x-rain-score"]
    assert headers["x-rain-density"] in gauge.get_attribute("aria-valuetext").lower()
    shares = [each.split("=")[1] for each in headers["x-rain-probabilities"].split(", ")]
    assert page.locator("dd").all_text_contents() == [
        f"{100 * float(share):.0f} %" for share in shares
    ]


def test_a_dry_image_is_downloaded_as_it_is_shown_at_any_strength(page: Any) -> None:
    drop(page, DRY, "dry.png")
    page.wait_for_selector(DONE)
    page.locator(".strength input").fill("50")
    with page.expect_download() as download:
        page.click(".download")
    assert Path(download.value.path()).read_bytes() == DRY


def test_an_image_can_be_pasted(page: Any) -> None:
    page.evaluate(
        """bytes => {
            const data = new DataTransfer();
            data.items.add(new File([new Uint8Array(bytes)], "image.jpg", { type: "image/jpeg" }));
            document.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data }));
        }""",
        list(RAINY),
    )
    page.wait_for_selector(DONE)


def test_the_example_is_one_click_away(page: Any) -> None:
    page.click("#example")
    page.wait_for_selector(DONE)
    assert page.locator(".after").evaluate("image => image.naturalWidth") > 0


def test_trying_again_is_offered_only_where_it_can_help(page: Any) -> None:
    drop(page, b"this is no image", "letter.txt")
    page.wait_for_selector(".failure:not([hidden])")
    assert "not an image" in page.text_content(".failure [role=alert]")
    assert not page.locator(".again").is_visible()
    page.click(".remove")
    page.route("**/v1/derain?*", lambda route: route.abort())
    drop(page, RAINY)
    page.wait_for_selector(".failure:not([hidden])")
    assert "cannot be reached" in page.text_content(".failure [role=alert]")
    page.unroute("**/v1/derain?*")
    page.click(".again")
    page.wait_for_selector(DONE)


def test_a_busy_server_is_asked_again(page: Any) -> None:
    refusal = {"status": 503, "headers": {"Retry-After": "1"}, "body": "{}"}
    page.route("**/v1/derain?*", lambda route: route.fulfill(**refusal), times=2)
    drop(page, RAINY)
    page.wait_for_function("() => document.querySelector('.status').textContent.includes('busy')")
    page.wait_for_selector(DONE)


def choose(page: Any, **contents: bytes) -> None:
    """Choose several files; the names have no suffix."""
    files = [
        {"name": f"{name}.jpg", "mimeType": "image/jpeg", "buffer": content}
        for name, content in contents.items()
    ]
    page.set_input_files("#files", files)


def wait_for_states(page: Any, *states: str) -> None:
    page.wait_for_function(
        """states => [...document.querySelectorAll('.strip button')]
            .map(each => each.dataset.state).join() === states""",
        arg=",".join(states),
    )


def test_thumbnails_stand_in_the_order_of_choice_and_choose_what_is_shown(page: Any) -> None:
    choose(page, first=RAINY, second=b"no image", third=DRY)
    wait_for_states(page, "done", "failed", "done")
    thumbnails = page.locator(".strip button")
    labels = [each.get_attribute("aria-label") for each in thumbnails.all()]
    assert labels == ["first.jpg: done", "second.jpg: failed", "third.jpg: done"]
    assert page.text_content(".total") == "2 of 3 done, 1 failed"
    assert page.locator(".overview progress").evaluate("bar => bar.value") == 1
    for number, name in ((0, "first.jpg"), (2, "third.jpg"), (1, "second.jpg")):
        thumbnails.nth(number).click()
        shown = [each.text_content() for each in page.locator(".name").all() if each.is_visible()]
        assert shown == [name]
        assert thumbnails.nth(number).get_attribute("aria-current") == "true"
    page.locator("article:not([hidden]) .remove").click()
    wait_for_states(page, "done", "done")
    assert page.locator("article:not([hidden]) .name").text_content() == "third.jpg"


def test_all_images_are_downloaded_as_one_zip_file(page: Any, server: Running) -> None:
    more = encode(make_scene(200, 120, rain=60, seed=3), "JPEG", quality=90)
    choose(page, street=RAINY)
    choose(page, street=more, letter=b"no image", house=DRY)
    wait_for_states(page, "done", "done", "failed", "done")
    with page.expect_download() as saved:
        page.click(".all")
    with ZipFile(saved.value.path()) as archive:
        assert archive.testzip() is None
        found = {name: archive.read(name) for name in archive.namelist()}
    assert found == {
        "street_derained.jpg": server.post("/v1/derain", content=RAINY).content,
        "street_derained_2.jpg": server.post("/v1/derain", content=more).content,
        "house_derained.png": DRY,
    }


def test_the_place_to_drop_images_shrinks_when_there_are_some(page: Any) -> None:
    before = page.locator("#drop").bounding_box()["height"]
    drop(page, RAINY)
    page.wait_for_selector(DONE)
    assert page.locator("#drop").bounding_box()["height"] < before / 2
    page.click(".remove")
    assert page.locator("#drop").bounding_box()["height"] == before


def test_format_and_quality_of_downloads_can_be_chosen(page: Any, server: Running) -> None:
    drop(page, RAINY)
    page.wait_for_selector(DONE)
    page.click("#output summary")
    assert not page.locator("#quality").is_visible()
    page.select_option("#format", "webp")
    page.locator("#quality").fill("40")
    with page.expect_download() as saved:
        page.click(".download")
    assert saved.value.suggested_filename == "street_derained.webp"
    asked = {"format": "webp", "quality": 40}
    expected = server.post("/v1/derain", params=asked, content=RAINY).content
    assert Path(saved.value.path()).read_bytes() == expected
    size = f"{max(1, round(len(expected) / 1000))} kB"
    assert page.text_content(".sizes").startswith("240 × 160 pixels, ")
    assert page.text_content(".sizes").endswith(f" → {size}")


def test_a_portrait_fills_its_frame(page: Any) -> None:
    drop(page, encode(make_scene(100, 200, rain=60), "JPEG", quality=90))
    page.wait_for_selector(DONE)
    frame, image = (page.locator(each).bounding_box() for each in (".frame", ".before"))
    assert frame["height"] / frame["width"] == pytest.approx(2, rel=0.02)
    assert (image["width"], image["height"]) == pytest.approx(
        (frame["width"], frame["height"]), abs=1
    )


def test_one_to_one_shows_single_pixels_which_can_be_moved(page: Any) -> None:
    def locate() -> tuple[float, float, float]:
        image, frame = (page.locator(each).bounding_box() for each in (".after", ".frame"))
        return image["x"] - frame["x"], image["y"] - frame["y"], image["width"]

    drop(page, encode(make_scene(900, 600, rain=60), "JPEG", quality=90))
    page.wait_for_selector(DONE)
    frame = page.locator(".frame").bounding_box()
    page.click(".pixels")
    left, top, width = locate()
    assert width == pytest.approx(900, abs=1)
    assert left == pytest.approx((frame["width"] - 900) / 2, abs=1)
    assert page.text_content(".percent") == "100 %"
    x, y = frame["x"] + frame["width"] * 0.2, frame["y"] + frame["height"] * 0.3
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 30, y + 20, steps=4)
    page.mouse.up()
    assert locate() == pytest.approx((left + 30, top + 20, 900), abs=1)
    page.mouse.down()
    page.mouse.move(x + 3000, y + 3000, steps=4)
    page.mouse.up()
    assert locate()[:2] == pytest.approx((0, 0), abs=1)  # never beyond the image's border
    middle = frame["x"] + frame["width"] / 2  # where the border between the two is
    page.mouse.move(middle, y)
    page.mouse.down()
    page.mouse.move(middle + 60, y, steps=4)
    page.mouse.up()
    assert locate()[:2] == pytest.approx((0, 0), abs=1)
    assert float(page.locator(".split").input_value()) > 55
    page.click(".fit")
    assert locate() == pytest.approx((0, 0, frame["width"]), abs=1)


def test_zoom_works_by_keys_wheel_and_two_fingers(page: Any) -> None:
    def zoom() -> float:
        return float(
            page.locator(".frame").evaluate("frame => frame.style.getPropertyValue('--zoom')")
        )

    drop(page, encode(make_scene(900, 600, rain=60), "JPEG", quality=90))
    page.wait_for_selector(DONE)
    page.focus(".split")
    page.keyboard.press("1")
    assert page.text_content(".percent") == "100 %"
    place = page.locator(".after").bounding_box()["x"]
    page.keyboard.press("Shift+ArrowRight")
    assert page.locator(".after").bounding_box()["x"] == pytest.approx(place - 60, abs=1)
    page.keyboard.press("0")
    assert zoom() == 1
    box = page.locator(".frame").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.keyboard.down("Control")
    page.mouse.wheel(0, -100)
    page.keyboard.up("Control")
    page.wait_for_function(
        "() => document.querySelector('.frame').style.getPropertyValue('--zoom') > 1"
    )
    page.click(".fit")
    assert zoom() == 1
    touches = page.context.new_cdp_session(page)
    for kind, apart in (("Start", 20), ("Move", 40), ("Move", 60), ("End", None)):
        points = [] if apart is None else [{"x": x - apart, "y": y}, {"x": x + apart, "y": y}]
        touches.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": points})
    assert zoom() > 1.5


def press_until(page: Any, selector: str) -> None:
    """Press Tab until an element that the selector matches has the focus."""
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"{selector} is not reached by Tab")


def test_everything_can_be_done_by_keyboard(page: Any) -> None:
    press_until(page, "#example")
    page.keyboard.press("Enter")
    page.wait_for_selector(DONE)
    press_until(page, ".pixels")
    page.keyboard.press("Enter")
    assert page.text_content(".percent") == "100 %"
    press_until(page, ".download")
    with page.expect_download():
        page.keyboard.press("Enter")


def test_tiles_are_the_progress_of_a_large_image(browser: Any, tmp_path: Path) -> None:
    with run_server("-m", "paper", "-d", "cpu", log=tmp_path / "log") as server:
        page = browser.new_page()
        page.set_default_timeout(MILLISECONDS)
        page.goto(server.url)
        drop(page, make_png_claiming(3000, 3000, rows=3000), "large.png")
        page.wait_for_function(
            "() => /rain out, [0-9]+ %/.test(document.querySelector('.status').textContent)"
        )
        assert 0.2 < page.locator("article progress").evaluate("bar => bar.value") < 1
        page.click(".cancel")
        page.wait_for_selector(".failure:not([hidden])")
        assert page.locator(".again").is_visible()
        page.close()


def test_a_phone_is_told_nothing_of_dropping_and_its_heic_comes_back_as_jpeg(
    browser: Any, server: Running
) -> None:
    context = browser.new_context(
        viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True
    )
    context.set_default_timeout(MILLISECONDS)
    page = context.new_page()
    page.goto(server.url)
    assert "Drop" not in page.inner_text("#drop")
    assert page.locator("[for=camera]").is_visible()
    drop(page, heic("gradient_61x37"), "IMG_0001.HEIC")
    page.wait_for_selector(DONE)
    with page.expect_download() as saved:
        page.click(".download")
    assert saved.value.suggested_filename == "IMG_0001_derained.jpg"
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_serious_stands_between_the_page_and_anybody(
    page: Any, server: Running, scheme: str
) -> None:
    from axe_playwright_python.sync_playwright import Axe  # noqa: PLC0415

    page.emulate_media(color_scheme=scheme)
    drop(page, RAINY)
    page.wait_for_selector(DONE)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    script = Path(str(files("axe_playwright_python"))) / "axe.min.js"
    assert script.is_file()
    for path in ("/", "/docs"):
        if path == "/docs":
            page.goto(server.url + path)
            page.wait_for_selector("#operations article")
            assert page.evaluate("document.documentElement.scrollWidth") <= 360
        found = Axe().run(page).response["violations"]
        assert [
            (each["id"], each["nodes"][0]["html"])
            for each in found
            if each["impact"] in ("serious", "critical")
        ] == []


def test_a_key_that_is_needed_can_be_given_on_the_page(
    browser: Any, model: Path, tmp_path: Path
) -> None:
    with run_server("-m", model, log=tmp_path / "log", CRDNET_API_KEY="open-sesame") as server:
        page = browser.new_page()
        page.set_default_timeout(MILLISECONDS)
        page.goto(server.url)
        drop(page, RAINY)
        page.wait_for_selector(".failure:not([hidden])")
        page.fill("#key", "open-sesame")
        page.click(".again")
        page.wait_for_selector(DONE)
        page.close()
