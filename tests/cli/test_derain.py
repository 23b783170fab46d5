"""`crdnet derain`, from its arguments to its exit code and the files that it leaves."""

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile, get_sampling

from crdnet import Derainer
from tests.cli.runner import Crdnet
from tests.runtime.tiny import write_tiny_model
from tests.waiting import HANG_SECONDS

COMMAND = (sys.executable, "-m", "crdnet.cli", "derain")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("models") / "tiny.onnx")


@pytest.fixture
def crdnet(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Crdnet:
    return Crdnet(monkeypatch, capsys)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an image street.jpg, and a tree photos/ of three images and a text."""
    monkeypatch.chdir(tmp_path)
    save_image("street.jpg")
    save_image("photos/a.png", seed=1)
    save_image("photos/b.JPG", seed=2)
    save_image("photos/deep/er/c.webp", seed=3)
    Path("photos/notes.txt").write_text("not for us")
    return tmp_path


def save_image(path: str, *, seed: int = 0, size: tuple[int, int] = (40, 30)) -> Path:
    place = Path(path)
    place.parent.mkdir(parents=True, exist_ok=True)
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)
    image.save(place, lossless=True) if place.suffix == ".webp" else image.save(place)
    return place


def tree(root: str | Path = ".") -> set[str]:
    files = (path.relative_to(root) for path in Path(root).rglob("*") if path.is_file())
    return {path.as_posix() for path in files if ".crdnet" not in path.parts}


def is_derained(source: str, output: str, model: Path) -> bool:
    with Image.open(source) as before, Image.open(output) as after:
        assert after.format == before.format
        expected = Image.fromarray(Derainer(model)(np.asarray(before)))
        if isinstance(before, JpegImageFile):
            stored = BytesIO()
            expected.save(
                stored, "JPEG", qtables=before.quantization, subsampling=get_sampling(before)
            )
            expected = Image.open(stored)
        return np.array_equal(np.asarray(after), np.asarray(expected))


def test_a_result_is_written_beside_its_image(crdnet: Crdnet, model: Path) -> None:
    done = crdnet("derain", "street.jpg", "-m", model)
    assert (done.code, done.err) == (0, "")
    assert done.out == "street.jpg -> street_derained.jpg  (density: unknown)\n"
    assert is_derained("street.jpg", "street_derained.jpg", model)


def test_a_file_gets_the_mode_that_the_umask_gives(crdnet: Crdnet, model: Path) -> None:
    before = os.umask(0o027)
    try:
        crdnet("derain", "street.jpg", "-m", model)
    finally:
        os.umask(before)
    assert Path("street_derained.jpg").stat().st_mode & 0o777 == 0o640


def test_a_folder_is_done_without_the_folders_in_it(crdnet: Crdnet, model: Path) -> None:
    done = crdnet("derain", "photos", "-o", "clean", "-m", model)
    assert done.code == 0
    assert tree("clean") == {"a.png", "b.JPG"}
    assert "2 done" in done.err


def test_a_tree_is_mirrored(crdnet: Crdnet, model: Path) -> None:
    assert crdnet("derain", "photos/", "-o", "clean/", "--recursive", "-m", model).code == 0
    assert tree("clean") == {"a.png", "b.JPG", "deep/er/c.webp"}
    assert is_derained("photos/deep/er/c.webp", "clean/deep/er/c.webp", model)


def test_results_inside_the_tree_are_not_inputs_of_the_next_run(
    crdnet: Crdnet, model: Path
) -> None:
    for _ in range(2):
        assert (
            crdnet("derain", "photos", "-o", "photos/clean", "-r", "--overwrite", "-m", model).code
            == 0
        )
    assert tree("photos/clean") == {"a.png", "b.JPG", "deep/er/c.webp"}


def test_a_folder_needs_a_place_for_its_results(crdnet: Crdnet, model: Path) -> None:
    done = crdnet("derain", "photos", "street.jpg", "-m", model)
    assert done.code == 2
    assert "-o/--output" in done.err
    assert "street_derained.jpg" not in tree()


def test_a_derained_image_beside_its_source_is_never_an_input(crdnet: Crdnet, model: Path) -> None:
    save_image("photos/a_derained.jpg")
    save_image("photos/lonely_derained.jpg")
    for inputs in (["photos"], ["photos/*"]):
        shutil.rmtree("clean", ignore_errors=True)
        assert crdnet("derain", *inputs, "-o", "clean", "-m", model).code == 0
        assert tree("clean") == {"a.png", "b.JPG", "lonely_derained.jpg"}
    assert crdnet("derain", "photos/*_derained.*", "-o", "other", "-m", model).code == 0
    assert tree("other") == {"lonely_derained.jpg"}


def test_named_alone_it_is_done_and_named_with_its_source_it_is_left_out(
    crdnet: Crdnet, model: Path
) -> None:
    save_image("street_derained.jpg")
    assert crdnet("derain", "street_derained.jpg", "-m", model).code == 0
    done = crdnet("derain", "street.jpg", "street_derained.jpg", "-m", model, "--overwrite")
    assert done.code == 0
    assert "Skipped: street_derained.jpg: is the result of another input" in done.err


def test_a_pattern_is_expanded_and_its_tree_mirrored(crdnet: Crdnet, model: Path) -> None:
    assert crdnet("derain", "photos/**/*.*", "-o", "clean", "-m", model).code == 0
    assert tree("clean") == {"a.png", "b.JPG", "deep/er/c.webp"}


def test_a_name_that_exists_wins_over_a_pattern(crdnet: Crdnet, model: Path) -> None:
    save_image("[ab].png")
    save_image("a.png")
    assert crdnet("derain", "[ab].png", "-m", model).code == 0
    assert "[ab]_derained.png" in tree()
    assert "a_derained.png" not in tree()


def test_a_list_names_inputs(crdnet: Crdnet, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("list.txt").write_text("street.jpg\n\nphotos/a.png\n")
    assert crdnet("derain", "--files-from", "list.txt", "-o", "clean", "-m", model).code == 0
    assert tree("clean") == {"street.jpg", "a.png"}
    with Path("list.txt").open() as lines:
        monkeypatch.setattr("sys.stdin", lines)
        assert crdnet("derain", "--files-from", "-", "-o", "other", "-m", model).code == 0
    assert tree("other") == {"street.jpg", "a.png"}


def test_an_empty_list_is_a_failure(crdnet: Crdnet, model: Path) -> None:
    Path("list.txt").write_text("\n")
    done = crdnet("derain", "--files-from", "list.txt", "-m", model)
    assert done.code == 1
    assert done.error_lines == ["Error: list.txt: the list names no images"]


@pytest.mark.parametrize(
    ("output", "place"),
    [
        ("new.jpg", "new.jpg"),
        ("sub/new.jpg", "sub/new.jpg"),
        ("there/", "there/street.jpg"),
        ("there", "there/street.jpg"),
    ],
)
def test_the_output_of_one_file_is_a_file_or_a_folder(
    crdnet: Crdnet, model: Path, output: str, place: str
) -> None:
    assert crdnet("derain", "street.jpg", "-o", output, "-m", model).code == 0
    assert is_derained("street.jpg", place, model)


@pytest.mark.parametrize("arguments", [["-o", "new.png"], ["--format", "png"]])
def test_another_suffix_or_format_changes_the_format(
    crdnet: Crdnet, model: Path, arguments: list[str]
) -> None:
    done = crdnet("derain", "street.jpg", *arguments, "-m", model)
    assert done.code == 0
    with Image.open(done.out.split(" -> ")[1].split()[0]) as image:
        assert image.format == "PNG"


def test_a_format_leaves_a_fitting_suffix_alone(crdnet: Crdnet, model: Path) -> None:
    assert crdnet("derain", "photos", "-o", "clean", "--format", "jpg", "-m", model).code == 0
    assert tree("clean") == {"a.jpg", "b.JPG"}


def test_a_wrong_suffix_does_not_change_the_format(crdnet: Crdnet, model: Path) -> None:
    Path("photos/a.png").rename("liar.jpg")
    assert crdnet("derain", "liar.jpg", "-m", model).code == 0
    assert is_derained("liar.jpg", "liar_derained.jpg", model)
    with Image.open("liar_derained.jpg") as image:
        assert image.format == "PNG"


def test_nothing_is_replaced_unasked(crdnet: Crdnet, model: Path) -> None:
    Path("street_derained.jpg").write_text("mine")
    done = crdnet("derain", "street.jpg", "photos/a.png", "-m", model)
    assert done.code == 1
    assert len(done.error_lines) == 1
    assert "street_derained.jpg exists" in done.error_lines[0]
    assert Path("street_derained.jpg").read_text() == "mine"
    assert Path("photos/a_derained.png").exists()


def test_existing_results_are_skipped_or_replaced_on_request(crdnet: Crdnet, model: Path) -> None:
    Path("street_derained.jpg").write_text("mine")
    done = crdnet("derain", "street.jpg", "--skip-existing", "-m", model)
    assert done.code == 0
    assert "Skipped: street.jpg: street_derained.jpg exists" in done.err
    assert Path("street_derained.jpg").read_text() == "mine"
    assert crdnet("derain", "street.jpg", "--overwrite", "-m", model).code == 0
    assert is_derained("street.jpg", "street_derained.jpg", model)


def test_an_output_that_is_the_input_is_refused_even_through_a_link(
    crdnet: Crdnet, model: Path
) -> None:
    before = Path("street.jpg").read_bytes()
    Path("link.jpg").symlink_to("street.jpg")
    for output in ("street.jpg", "link.jpg", "./photos/../street.jpg"):
        done = crdnet("derain", "street.jpg", "-o", output, "--overwrite", "-m", model)
        assert done.code == 1
        assert "is the input itself" in done.error_lines[0]
    assert Path("street.jpg").read_bytes() == before
    assert Path("link.jpg").is_symlink()
    same_tree = crdnet("derain", "photos", "-o", "photos", "--overwrite", "-m", model)
    assert same_tree.code == 1
    assert len(same_tree.error_lines) == 2


def test_two_inputs_with_one_output_are_refused_before_anything_starts(
    crdnet: Crdnet, model: Path
) -> None:
    save_image("other/a.png")
    done = crdnet("derain", "photos/a.png", "other/a.png", "street.jpg", "-o", "clean", "-m", model)
    assert done.code == 2
    assert "photos/a.png and other/a.png" in done.err
    assert not Path("clean").exists()
    save_image("street.png")
    assert crdnet("derain", "street.jpg", "street.png", "--format", "webp", "-m", model).code == 2


def test_a_result_that_would_replace_another_input_is_refused(crdnet: Crdnet, model: Path) -> None:
    save_image("other/a.png")
    done = crdnet(
        "derain", "photos/a.png", "other/a.png", "-o", "other", "--overwrite", "-m", model
    )
    assert done.code == 2
    assert "other/a.png" in done.err


def test_an_input_given_twice_is_done_once(crdnet: Crdnet, model: Path) -> None:
    done = crdnet("derain", "street.jpg", "./street.jpg", "-m", model)
    assert done.code == 0
    assert done.out.count("->") == 1


def test_bad_inputs_are_named_in_a_line_each_and_the_others_done(
    crdnet: Crdnet, model: Path
) -> None:
    Path("text.jpg").write_text("hello")
    Path("half.jpg").write_bytes(Path("street.jpg").read_bytes()[:600])
    Path("empty.png").touch()
    Path("void").mkdir()
    bad = ["gone.jpg", "text.jpg", "half.jpg", "empty.png", "void", "no*match"]
    done = crdnet("derain", *bad, "street.jpg", "-o", "clean", "-m", model)
    assert done.code == 1
    assert tree("clean") == {"street.jpg"}
    assert len(done.error_lines) == len(bad)
    for name in bad:
        assert sum(name in line for line in done.error_lines) == 1
    assert "1 done, 6 failed" in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize("output", ["street.jpg/new.jpg", "/proc/nowhere/new.jpg"])
def test_an_output_that_cannot_be_written_is_named(
    crdnet: Crdnet, model: Path, output: str
) -> None:
    before = tree()
    done = crdnet("derain", "photos/b.JPG", "-o", output, "-m", model)
    assert done.code == 1
    assert len(done.error_lines) == 1
    assert output in done.error_lines[0]
    assert tree() == before


def test_a_failed_write_leaves_nothing_behind(
    crdnet: Crdnet, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    before = tree()
    done = crdnet("derain", "street.jpg", "-m", model)
    assert done.code == 1
    assert "No space left" in done.error_lines[0]
    assert tree() == before


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["street.jpg", "--overwrite", "--skip-existing"],
        ["street.jpg", "--strength", "1.5"],
        ["street.jpg", "--strength", "nan"],
        ["street.jpg", "--tile", "-3"],
        ["street.jpg", "--tile", "huge"],
        ["street.jpg", "--jobs", "0"],
        ["street.jpg", "--device", "tpu"],
        ["street.jpg", "--format", "gif"],
        ["street.jpg", "--quality", "0"],
        ["street.jpg", "--quality", "best"],
        ["street.jpg", "--max-pixels", "0"],
        ["street.jpg", "-o", "new.bmp"],
        ["street.jpg", "--nonsense"],
        ["street.jpg", "-o", "new.gif"],
        ["street.jpg", "photos/a.png", "-o", "new.jpg"],
        ["photos", "-o", "new.jpg"],
        ["photos", "-o", "photos/notes.txt"],
        ["-", "street.jpg"],
        ["-", "-o", "photos"],
        ["-", "--json"],
        ["-", "--files-from", "-"],
        ["--files-from", "gone.txt"],
        ["street.jpg", "-m", "nope"],
        ["street.jpg", "-m", "gone.onnx"],
    ],
)
def test_wrong_usage_is_told_before_anything_is_done(
    crdnet: Crdnet, model: Path, arguments: list[str]
) -> None:
    before = tree()
    done = crdnet("derain", *([] if "-m" in arguments else ["-m", model]), *arguments)
    assert done.code == 2
    assert len(done.error_lines) == 1
    assert tree() == before


@pytest.mark.parametrize("content", [b"no model", None])
def test_a_model_that_is_not_ours_fails_in_one_line(crdnet: Crdnet, content: bytes | None) -> None:
    theirs = Path("theirs.onnx")
    if content is None:
        write_tiny_model(theirs, info=None)
    else:
        theirs.write_bytes(content)
    done = crdnet("derain", "street.jpg", "-m", theirs)
    assert done.code == 1
    assert "theirs.onnx" in done.error_lines[0]
    assert "street_derained.jpg" not in tree()


def test_cuda_that_is_not_there_fails_with_the_way_to_it(
    crdnet: Crdnet, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    done = crdnet("derain", "street.jpg", "-m", model, "-d", "cuda")
    assert done.code == 1
    assert 'pip install "crdnet[torch]"' in done.error_lines[0]


def test_json_tells_of_every_input(crdnet: Crdnet, model: Path) -> None:
    Path("street_derained.jpg").touch()
    done = crdnet(
        "derain", "street.jpg", "photos/a.png", "gone.png", "--skip-existing", "--json", "-m", model
    )
    assert done.code == 1
    records = {record["input"]: record for record in map(json.loads, done.out.splitlines())}
    assert {name: record["status"] for name, record in records.items()} == {
        "street.jpg": "skipped",
        "photos/a.png": "done",
        "gone.png": "failed",
    }
    made = records["photos/a.png"]
    assert (made["output"], made["width"], made["height"]) == ("photos/a_derained.png", 40, 30)
    assert made["seconds"] > 0
    assert made["density"] is made["error"] is None
    assert "no such file" in records["gone.png"]["error"]


def test_quiet_says_nothing_but_errors(crdnet: Crdnet, model: Path) -> None:
    done = crdnet("derain", "street.jpg", "photos/a.png", "gone.png", "-q", "-m", model)
    assert done.out == ""
    assert done.err.splitlines() == done.error_lines
    assert len(done.error_lines) == 1


def test_verbose_tells_the_model_and_where_an_error_comes_from(crdnet: Crdnet, model: Path) -> None:
    Path("text.jpg").write_text("hello")
    done = crdnet("derain", "text.jpg", "-v", "-m", model)
    assert "model tiny 1 on onnxruntime" in done.err
    assert "Traceback" in done.err


def test_what_a_file_cannot_carry_is_a_warning(crdnet: Crdnet, model: Path) -> None:
    with Image.open("street.jpg") as image:
        image.save("comment.jpg", comment=b"remember")
    done = crdnet("derain", "comment.jpg", "--format", "png", "-m", model)
    assert done.code == 0
    assert "Warning: comment.jpg: could not carry over" in done.err


def test_strength_and_tiles_reach_the_network(crdnet: Crdnet, model: Path) -> None:
    source = save_image("large.png", size=(200, 150))
    assert crdnet("derain", source, "-o", "none.png", "--strength", "0", "-m", model).code == 0
    np.testing.assert_array_equal(
        np.asarray(Image.open("none.png")), np.asarray(Image.open(source))
    )
    assert crdnet("derain", source, "-o", "tiled.png", "--tile", "30", "-m", model).code == 0
    assert (
        crdnet(
            "derain", source, "-o", "whole.png", "--tile", "0", "--always", "-j", "1", "-m", model
        ).code
        == 0
    )
    apart = np.abs(
        np.asarray(Image.open("tiled.png")).astype(int) - np.asarray(Image.open("whole.png"))
    )
    assert apart.max() <= 1


def test_an_ensemble_reaches_the_network(crdnet: Crdnet, model: Path) -> None:
    done = crdnet("derain", "photos/a.png", "-o", "mean.png", "--ensemble", "-m", model)
    assert done.code == 0
    rainy = np.asarray(Image.open("photos/a.png"))
    expected = Derainer(model)(rainy, ensemble=True)
    assert not np.array_equal(expected, Derainer(model)(rainy))
    np.testing.assert_array_equal(np.asarray(Image.open("mean.png")), expected)


def test_a_pipe_takes_an_image_and_gives_one(model: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "-", "-m", model],
        input=Path("photos/a.png").read_bytes(),
        capture_output=True,
        timeout=HANG_SECONDS,
        check=True,
    )
    with Image.open(BytesIO(done.stdout)) as image:
        expected = Derainer(model)(np.asarray(Image.open("photos/a.png")))
        np.testing.assert_array_equal(np.asarray(image), expected)
    assert done.stderr == b"- -> standard output  (density: unknown)\n"


def test_standard_input_may_go_to_a_file_and_must_not_be_empty(model: Path) -> None:
    def run(content: bytes) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [*COMMAND, "-", "-o", "new.jpg", "-m", model],
            input=content,
            capture_output=True,
            timeout=HANG_SECONDS,
            check=False,
        )

    assert b"standard input is empty" in run(b"").stderr
    assert not Path("new.jpg").exists()
    assert run(Path("photos/a.png").read_bytes()).returncode == 0
    with Image.open("new.jpg") as image:
        assert image.format == "JPEG"


def test_an_image_is_not_thrown_at_a_terminal(model: Path) -> None:
    ours, terminal = pty.openpty()
    with os.fdopen(ours), os.fdopen(terminal):
        done = subprocess.run(
            [*COMMAND, "-", "-m", model],
            stdin=subprocess.DEVNULL,
            stdout=terminal,
            stderr=subprocess.PIPE,
            timeout=HANG_SECONDS,
            check=False,
        )
    assert done.returncode == 2
    assert b"redirect standard output" in done.stderr


def read_until_closed(terminal: int) -> bytes:
    """Return everything that is written to a terminal until nobody holds it open any more."""
    shown = b""
    with (
        os.fdopen(terminal, "rb", buffering=0) as file,
        suppress(OSError),
    ):  # how Linux tells of the end
        while more := file.read(4096):
            shown += more
    return shown


def test_a_bar_is_drawn_for_a_terminal_and_leaves_standard_output_alone(model: Path) -> None:
    ours, terminal = pty.openpty()
    with subprocess.Popen(
        [*COMMAND, "photos/a.png", "photos/b.JPG", "-m", model],
        stdout=subprocess.PIPE,
        stderr=terminal,
        env=os.environ | {"TERM": "xterm"},
    ) as process:
        os.close(terminal)
        shown = read_until_closed(ours)
        results, _ = process.communicate(timeout=HANG_SECONDS)
    assert process.returncode == 0
    assert b"deraining" in shown
    assert b"2 done" in shown
    assert sorted(results.decode().splitlines()) == [
        "photos/a.png -> photos/a_derained.png  (density: unknown)",
        "photos/b.JPG -> photos/b_derained.JPG  (density: unknown)",
    ]


def run_on_a_terminal(*arguments: str) -> bytes:
    """Return what the command shows on a terminal that takes both its streams."""
    ours, terminal = pty.openpty()
    with subprocess.Popen(
        [*COMMAND, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=terminal,
        stderr=terminal,
        env=os.environ | {"TERM": "xterm"},
    ) as process:
        os.close(terminal)
        shown = read_until_closed(ours)
    assert process.returncode == 0
    return shown


def test_results_stand_on_lines_of_their_own_above_the_bar(model: Path) -> None:
    for each in range(6):
        save_image(
            f"many/a name that is longer than the bar and its text are {each}.png", seed=each
        )
    shown = run_on_a_terminal("many", "-o", "clean", "-m", str(model))
    # A terminal shows of a line what stands behind its last erasure.
    lines = [line.rsplit(b"\r\x1b[K", 1)[-1] for line in shown.split(b"\r\n")]
    results = [line for line in lines if b"->" in line]
    assert len(results) == 6
    assert all(
        line.startswith(b"many/") and line.endswith(b"(density: unknown)") for line in results
    )
    assert b"deraining [" in shown
    assert lines[-1] == b""  # nothing of the bar is left


def test_a_single_large_image_shows_its_tiles(model: Path) -> None:
    save_image("large.png", size=(200, 150))
    shown = run_on_a_terminal("large.png", "--tile", "40", "-m", str(model))
    tiles = int(shown.split(b" tiles")[0].rsplit(b" of ", 1)[1])
    assert tiles > 3
    assert b"deraining [" in shown
    assert b"tiles" not in run_on_a_terminal("street.jpg", "-m", str(model))


def test_an_interruption_finishes_what_is_in_work_and_begins_nothing_more(model: Path) -> None:
    one = save_image("many/00.png", size=(250, 250))
    for each in range(1, 200):
        shutil.copy(one, f"many/{each:02}.png")
    for number in (signal.SIGINT, signal.SIGTERM):
        before = len(tree("clean"))
        with subprocess.Popen(
            [*COMMAND, "many", "-o", "clean", "-m", model],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,  # what readline does not return shall be left for communicate
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()  # the first is done, the next are in work
            process.send_signal(number)
            results, errors = process.communicate(timeout=HANG_SECONDS)
        assert process.returncode == 130
        assert errors.splitlines()[-1] == b"interrupted"
        assert b" left in " in errors
        assert b"failed" not in errors
        assert 1 + results.count(b"->") == len(tree("clean")) - before
    assert all(name.endswith(".png") for name in tree("clean"))
    assert not list(Path("clean").rglob("*.part"))


def test_a_second_interruption_ends_at_once_and_leaves_whole_files_only(model: Path) -> None:
    one = save_image("many/0.jpg", size=(1200, 1200))
    for each in range(1, 40):
        shutil.copy(one, f"many/{each}.jpg")
    with subprocess.Popen(
        [*COMMAND, "many", "-o", "clean", "-m", model, "-j", "3"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert b"interrupt again to exit at once" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=HANG_SECONDS)
    assert process.returncode == 130
    assert 1 <= len(tree("clean")) < 40
    assert not list(Path("clean").rglob("*.part"))
    for name in tree("clean"):
        Image.open(f"clean/{name}").load()


def test_an_input_that_is_not_there_fails_for_that_wherever_its_result_should_go(
    crdnet: Crdnet,
) -> None:
    result = crdnet("derain", "gone.jpg", "-o", "clean.png")
    assert result.code == 1
    assert result.err.startswith("Error: gone.jpg: there is no such file")


def test_a_pattern_of_one_image_may_name_its_result(crdnet: Crdnet, model: Path) -> None:
    assert crdnet("derain", "stree?.jpg", "-o", "clean.png", "-m", str(model)).code == 0
    assert Path("clean.png").is_file()


def test_a_quality_makes_a_smaller_file(crdnet: Crdnet, model: Path) -> None:
    source = save_image("large.jpg", size=(300, 200))
    assert crdnet("derain", source, "-o", "small.jpg", "--quality", "20", "-m", model).code == 0
    assert crdnet("derain", source, "-o", "kept.jpg", "--quality", "keep", "-m", model).code == 0
    assert Path("small.jpg").stat().st_size < Path("kept.jpg").stat().st_size


def test_an_image_over_the_limit_fails_alone(crdnet: Crdnet, model: Path) -> None:
    save_image("large.png", size=(80, 50))
    done = crdnet("derain", "large.png", "street.jpg", "--max-pixels", "2000", "-m", model)
    assert done.code == 1
    assert "large.png has 80 x 50 pixels, more than 2,000" in done.error_lines[0]
    assert Path("street_derained.jpg").exists()


def test_a_format_that_is_only_read_needs_another_to_be_written(
    crdnet: Crdnet, model: Path
) -> None:
    with Image.open("photos/a.png") as image:
        image.save("old.bmp")
    done = crdnet("derain", "old.bmp", "-m", model)
    assert done.code == 1
    assert (
        "old.bmp is a BMP, which crdnet reads but does not write; choose another --format"
        in done.error_lines[0]
    )
    assert crdnet("derain", "old.bmp", "--format", "avif", "-m", model).code == 0
    assert Path("old_derained.avif").exists()
