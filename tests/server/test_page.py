"""The page: what it weighs, that it loads nothing from elsewhere, and what it does in a browser."""

import re
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from tests.server.pictures import encoded, scene
from tests.server.running import Running
from tests.waiting import HANG_SECONDS

PAGE = Path(str(files("crdnet.server"))) / "page"
TEXTS = sorted(path for path in PAGE.iterdir() if path.suffix in (".html", ".css", ".js"))
REPOSITORY = Path(__file__).resolve().parents[2]
CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
MILLISECONDS = 1000 * HANG_SECONDS


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


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("there is no Chromium here; `make browser` gets it")
    from playwright.sync_api import sync_playwright  # noqa: PLC0415

    with sync_playwright() as playwright:
        quiet = ["no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-sync"]
        quiet += ["disable-background-networking", "disable-component-update"]
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=[f"--{each}" for each in quiet]
        )
        yield browser
        browser.close()


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


RAINY = encoded(scene(240, 160, rain=60), "JPEG", quality=90)
DRY = encoded(scene(240, 160))


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


def test_a_dropped_photo_is_compared_and_downloaded_as_the_api_answers_it(
    page: Any, server: Running, tmp_path: Path
) -> None:
    drop(page, RAINY)
    page.wait_for_selector("article .done:not([hidden])")
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
        cut = page.evaluate("getComputedStyle(document.querySelector('.after')).clipPath")
        return str(cut).removeprefix("inset(0px 0px 0px ").removesuffix(")")

    drop(page, RAINY)
    page.wait_for_selector("article .done:not([hidden])")
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
    page.wait_for_selector("article .done:not([hidden])")
    page.get_by_label("the rain that was taken out").check()
    assert (
        page.evaluate("getComputedStyle(document.querySelector('.after')).mixBlendMode")
        == "difference"
    )


def test_the_gauge_tells_score_and_grade_as_the_answer_does(page: Any, server: Running) -> None:
    headers = server.post("/v1/derain", content=RAINY).headers
    drop(page, RAINY)
    page.wait_for_selector("article .done:not([hidden])")
    gauge = page.get_by_role("meter", name="How heavy the rain was")
    assert gauge.get_attribute("aria-valuenow") == headers["x-rain-score"]
    assert headers["x-rain-density"] in gauge.get_attribute("aria-valuetext").lower()
    shares = [each.split("=")[1] for each in headers["x-rain-probabilities"].split(", ")]
    assert page.locator("dd").all_text_contents() == [
        f"{100 * float(share):.0f} %" for share in shares
    ]


def test_a_dry_photo_is_downloaded_as_it_is_shown_at_any_strength(page: Any) -> None:
    drop(page, DRY, "dry.png")
    page.wait_for_selector("article .done:not([hidden])")
    page.locator(".strength input").fill("50")
    with page.expect_download() as download:
        page.click(".download")
    assert Path(download.value.path()).read_bytes() == DRY


def test_a_photo_can_be_pasted(page: Any) -> None:
    page.evaluate(
        """bytes => {
            const data = new DataTransfer();
            data.items.add(new File([new Uint8Array(bytes)], "image.jpg", { type: "image/jpeg" }));
            document.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data }));
        }""",
        list(RAINY),
    )
    page.wait_for_selector("article .done:not([hidden])")


def test_the_example_is_one_click_away(page: Any) -> None:
    page.click("#example")
    page.wait_for_selector("article .done:not([hidden])")
    assert page.locator(".after").evaluate("image => image.naturalWidth") > 0


def test_errors_are_words_and_can_be_tried_again(page: Any) -> None:
    drop(page, b"this is no picture", "letter.txt")
    page.wait_for_selector(".failure:not([hidden])")
    assert "not an image" in page.text_content(".failure [role=alert]")
    page.click(".again")
    page.wait_for_selector(".failure:not([hidden])")


def test_several_photos_each_have_their_card(page: Any) -> None:
    chosen = [{"name": f"{n}.jpg", "mimeType": "image/jpeg", "buffer": RAINY} for n in range(3)]
    page.set_input_files("#files", chosen)
    page.locator(".done:not([hidden])").nth(2).wait_for()
    page.locator(".remove").first.click()
    assert page.locator("article").count() == 2


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_serious_stands_between_the_page_and_anybody(
    page: Any, server: Running, scheme: str
) -> None:
    from axe_playwright_python.sync_playwright import Axe  # noqa: PLC0415

    page.emulate_media(color_scheme=scheme)
    drop(page, RAINY)
    page.wait_for_selector("article .done:not([hidden])")
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
    from tests.server.running import running  # noqa: PLC0415

    with running("-m", model, log=tmp_path / "log", CRDNET_API_KEY="open-sesame") as server:
        page = browser.new_page()
        page.set_default_timeout(MILLISECONDS)
        page.goto(server.url)
        drop(page, RAINY)
        page.wait_for_selector(".failure:not([hidden])")
        page.fill("#key", "open-sesame")
        page.click(".again")
        page.wait_for_selector("article .done:not([hidden])")
        page.close()
