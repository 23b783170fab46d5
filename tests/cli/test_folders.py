"""`crdnet derain` on folders: inputs, resuming, and what is never mixed, replaced or lost."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from crdnet.cli import main
from crdnet.files import hold_lock
from crdnet.runtime import Network
from tests.cli.runner import Crdnet, Finished
from tests.images.test_worker import FATAL, crashing  # noqa: F401 - a fixture
from tests.runtime.tiny import write_tiny_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("models") / "tiny.onnx")


@pytest.fixture(scope="module")
def other_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("models") / "other.onnx", gain=0.1)


@pytest.fixture
def crdnet(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Crdnet:
    return Crdnet(monkeypatch, capsys)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tree photos/ of three images."""
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(("a.png", "b.png", "deep/c.png")):
        save_image(f"photos/{name}", seed)


def save_image(path: str, seed: int = 0) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, format="PNG")


def contents(root: str) -> dict[str, bytes]:
    """The files of a tree, and what is in them."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in Path(root).rglob("*")
        if path.is_file()
    }


def results(root: str = "clean") -> dict[str, bytes]:
    return {
        name: content for name, content in contents(root).items() if not name.startswith(".crdnet/")
    }


@pytest.fixture
def derain(crdnet: Crdnet, model: Path) -> "Derain":
    return Derain(crdnet, model)


class Derain:
    """Calls `crdnet derain photos -o clean -r` with more arguments."""

    def __init__(self, crdnet: Crdnet, model: Path) -> None:
        self._crdnet, self._model = crdnet, model

    def __call__(self, *arguments: object) -> Finished:
        chosen = [] if "-m" in arguments else ["-m", self._model]
        return self._crdnet("derain", "photos", "-o", "clean", "-r", *chosen, *arguments)


# Resuming


def test_a_run_that_is_called_again_does_what_is_missing_and_nothing_else(derain: Derain) -> None:
    assert derain().code == 0
    made = results()
    before = Path("clean/a.png").stat()
    Path("clean/deep/c.png").unlink()
    again = derain()
    assert again.code == 0
    assert again.out.splitlines() == ["photos/deep/c.png -> clean/deep/c.png  (density: unknown)"]
    assert "1 done, 2 skipped in" in again.err
    assert results() == made
    assert Path("clean/a.png").stat() == before


def test_json_tells_what_was_done_already(derain: Derain) -> None:
    derain()
    records = list(map(json.loads, derain("--json").out.splitlines()))
    assert [(record["status"], record["reason"]) for record in records] == [
        ("skipped", "done already")
    ] * 3


def test_both_folders_may_be_moved_together(
    derain: Derain, monkeypatch: pytest.MonkeyPatch
) -> None:
    derain()
    Path("elsewhere").mkdir()
    Path("photos").rename("elsewhere/photos")
    Path("clean").rename("elsewhere/clean")
    monkeypatch.chdir("elsewhere")
    assert "3 skipped" in derain().err


def killed_at_event(number: int, arguments: list[str]) -> bool:
    """Run the command line in a fork that is killed before it touches the disk the nth time.

    Returns:
        Whether it came so far.
    """
    child = os.fork()
    if child == 0:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        events = count(1)

        def hook(event: str, event_arguments: tuple[object, ...]) -> None:
            touches = event in ("os.rename", "os.mkdir", "os.remove") or event == "open"
            if touches and "clean" in str(event_arguments[0]) and next(events) == number:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)
        sys.argv = ["crdnet", "derain", *arguments]
        try:
            main()
        except BaseException:
            os._exit(3)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


@pytest.mark.parametrize("more", [[], ["--overwrite"], ["--rain", "clean-rain"]])
def test_a_run_that_is_killed_twenty_times_leaves_the_tree_of_one_that_was_not(
    derain: Derain, model: Path, other_model: Path, more: list[str]
) -> None:
    for each in range(12):
        save_image(f"photos/many/{each}.png", each)
    arguments = ["photos", "-o", "clean", "-r", "-m", str(model), *more]
    if "--overwrite" in more:
        derain("-m", other_model)
    rng = np.random.default_rng(4)
    kills = 0
    for _ in range(20):
        # Each file is a touch, an open, a rename and a removal; what is done is not done again,
        # unless it is replaced.
        kills += killed_at_event(
            int(rng.integers(1, 60 if "--overwrite" in more else 12)), arguments
        )
    assert kills >= 8
    assert derain(*more).code == 0
    killed = contents("clean"), contents("clean-rain")
    for folder in ("clean", "clean-rain"):
        shutil.rmtree(folder, ignore_errors=True)
    assert derain(*(more if "--rain" in more else [])).code == 0
    assert (contents("clean"), contents("clean-rain")) == killed


def test_a_killed_run_that_replaced_results_never_takes_old_ones_for_new_ones(
    derain: Derain, model: Path, other_model: Path
) -> None:
    derain("-m", other_model)
    old = results()
    assert killed_at_event(
        15, ["photos", "-o", "clean", "-r", "-j", "1", "-m", str(model), "--overwrite"]
    )
    mixed = results()
    assert any(mixed[name] != old[name] for name in old if name in mixed)
    assert any(mixed[name] == old[name] for name in old)
    again = derain()
    assert again.code == 1
    assert len(again.error_lines) == 3  # all exist, and nobody can tell which is whose
    assert derain("--overwrite").code == 0
    assert derain().code == 0


def test_a_changed_source_is_told_and_its_result_not_replaced_unasked(derain: Derain) -> None:
    derain()
    made = results()
    save_image("photos/a.png", seed=77)
    again = derain()
    assert again.code == 1
    assert len(again.error_lines) == 1
    assert "photos/a.png is not what clean/a.png was made from" in again.error_lines[0]
    assert results() == made
    assert derain("--skip-existing").code == 0
    assert results() == made
    assert derain("--overwrite").code == 0
    assert {name for name, content in results().items() if content != made[name]} == {"a.png"}
    assert derain().code == 0


def test_a_result_of_another_source_is_not_taken_for_done(
    derain: Derain, crdnet: Crdnet, model: Path
) -> None:
    derain()
    Path("photos").rename("elsewhere")
    save_image("photos/a.png", seed=5)
    again = derain()
    assert again.code == 1
    assert "is another file" in again.error_lines[0]


def test_somebody_elses_file_is_never_taken_for_a_result(derain: Derain) -> None:
    Path("clean").mkdir()
    Path("clean/a.png").write_text("mine")
    for _ in range(2):
        done = derain()
        assert done.code == 1
        assert len(done.error_lines) == 1
        assert "clean/a.png exists and is not from an earlier run" in done.error_lines[0]
        assert "1 failed: the output exists and is not from an earlier run" in done.err
    assert Path("clean/a.png").read_text() == "mine"
    assert derain("--skip-existing").code == 0


@pytest.mark.parametrize(
    "arguments",
    [["--strength", "0.5"], ["--format", "webp"], ["--always"], ["--ensemble"], ["--rain", "r"]],
)
def test_another_option_refuses_to_mix(derain: Derain, arguments: list[str]) -> None:
    derain()
    before = contents("clean")
    refused = derain(*arguments)
    assert refused.code == 2
    assert len(refused.err.splitlines()) == 1
    assert f"{arguments[0].strip('-')} was" in refused.err
    assert contents("clean") == before
    assert derain(*arguments, "--overwrite").code == 0
    assert derain(*arguments).code == 0


def test_another_model_refuses_to_mix(derain: Derain, other_model: Path) -> None:
    derain()
    before = contents("clean")
    assert "model was tiny and is other" in derain("-m", other_model).err
    assert contents("clean") == before


def test_where_no_result_is_left_another_model_may_begin(derain: Derain, other_model: Path) -> None:
    derain()
    for name in results():
        Path("clean", name).unlink()
    assert derain("-m", other_model).code == 0


def test_after_a_part_was_replaced_the_rest_is_not_taken_for_the_same(
    derain: Derain, crdnet: Crdnet, other_model: Path
) -> None:
    derain()
    old = results()
    part = ("photos/a.png", "photos/b.png", "-o", "clean", "-m", other_model)
    assert crdnet("derain", *part, "--overwrite").code == 0
    again = derain("-m", other_model)
    assert again.code == 1
    assert "clean/deep/c.png exists and is not from an earlier run" in again.error_lines[0]
    assert results()["deep/c.png"] == old["deep/c.png"]


def test_one_image_into_a_folder_makes_no_run_of_it_but_joins_one(
    crdnet: Crdnet, derain: Derain
) -> None:
    model = derain._model
    assert crdnet("derain", "photos/a.png", "-o", "alone/", "-m", model).code == 0
    assert list(contents("alone")) == ["a.png"]
    derain()
    assert crdnet("derain", "photos/a.png", "-o", "clean", "-m", model).code == 0
    assert (
        crdnet("derain", "photos/a.png", "-o", "clean", "-m", model, "--strength", "0.5").code == 2
    )


def test_the_journal_names_model_options_and_sources(derain: Derain) -> None:
    derain("--strength", "0.5")
    told = json.loads(Path("clean/.crdnet/run.json").read_bytes())
    assert told["settings"]["strength"] == 0.5
    assert len(told["settings"]["sha256"]) == 64
    found = Path("photos/deep/c.png").stat()
    assert told["results"]["deep/c.png"] == [
        "../photos/deep/c.png",
        found.st_size,
        found.st_mtime_ns,
    ]


def test_a_damaged_journal_is_told_in_one_line(derain: Derain) -> None:
    derain()
    Path("clean/.crdnet/run.json").write_text('{"settings": 3}')
    done = derain()
    assert done.code == 1
    assert len(done.err.splitlines()) == 1
    assert "run.json is damaged" in done.err


def test_two_runs_are_kept_apart(derain: Derain) -> None:
    derain()
    with hold_lock(Path("clean/.crdnet/lock")) as ours:
        assert ours
        done = derain()
    assert done.code == 1
    assert done.err == (
        "Error: another run writes into clean; wait until it ends, or choose another folder\n"
    )
    assert derain().code == 0


def test_what_killed_runs_left_is_removed(derain: Derain, crdnet: Crdnet) -> None:
    derain()
    fresh, old = Path("clean/deep/.crdnet-0123.part"), Path("photos/.crdnet-0123.part")
    fresh.touch()
    old.touch()
    Path("clean/deep/c.png").unlink()
    derain()
    assert not fresh.exists()
    fresh, not_ours = Path("photos/.crdnet-4567.part"), Path("photos/.other-4567.part")
    fresh.touch()
    not_ours.touch()
    for path in (old, not_ours):
        os.utime(path, (0, 0))
    crdnet("derain", "photos/a.png", "-m", derain._model)
    assert not old.exists()
    assert fresh.exists()  # no lock tells whether somebody is writing it
    assert not_ours.exists()


@pytest.fixture
def small_disk(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A list whose number says how many more files there is room for."""
    room = [1000]
    replace = Path.replace

    def replace_if_there_is_room(self: Path, target: Path) -> Path:
        room[0] -= 1
        if room[0] < 0:
            raise OSError(28, "No space left on device")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", replace_if_there_is_room)
    return room


def test_a_full_disk_stops_the_run_which_goes_on_when_there_is_room(
    derain: Derain, small_disk: list[int]
) -> None:
    for each in range(20):
        save_image(f"photos/{each}.png", each)
    small_disk[0] = 6  # the journal, and five results
    done = derain("-j", "1")
    assert done.code == 1
    assert "No space left on device; free some space" in done.error_lines[0]
    assert done.error_lines[-1].startswith("Error: the disk is full and the run stops")
    assert len(done.error_lines) == 2
    assert "5 done, 1 failed, 17 left" in done.err
    assert len(results()) == 5
    small_disk[0] = 1000
    assert derain().code == 0
    assert len(results()) == 23


FULL_DISK = """
mount -t tmpfs -o size=200k none clean && "$@"
echo ended with $?
find clean -name '*.part'
mount -o remount,size=10m clean && "$@"
echo ended with $?
ls clean
"""
"""Derains into a file system that is too small, makes it larger, and goes on."""


def test_a_disk_that_is_really_full_stops_the_run_which_goes_on_when_there_is_room(
    model: Path,
) -> None:
    try:
        subprocess.run(
            ["unshare", "--mount", "--map-root-user", "true"], check=True, capture_output=True
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("nobody here may mount a file system, not even in a name space of its own")
    for each in range(12):
        Image.fromarray(
            np.random.default_rng(each).integers(0, 256, (100, 100, 3), dtype=np.uint8)
        ).save(f"photos/{each}.png")
    Path("clean").mkdir()
    command = [
        sys.executable,
        "-m",
        "crdnet.cli",
        "derain",
        "photos",
        "-o",
        "clean",
        "-m",
        str(model),
    ]
    command += ["--strength", "0"]  # noise stays noise, which no format packs
    done = subprocess.run(
        ["unshare", "--mount", "--map-root-user", "sh", "-c", FULL_DISK, "sh", *command],
        capture_output=True,
        text=True,
        check=True,
    )
    first, second = done.stderr.split(
        "the disk is full and the run stops; free some space, then repeat the command"
    )
    assert "No space left on device; free some space" in first
    assert "failed" not in second
    lines = [line for line in done.stdout.splitlines() if "->" not in line]
    assert lines[:2] == ["ended with 1", "ended with 0"]  # and nothing half-written between
    assert len(lines[2:]) == 14


def test_a_place_that_cannot_be_written_to_is_told_in_one_line(crdnet: Crdnet, model: Path) -> None:
    for place in ("/proc/nowhere", "photos/a.png/below"):
        done = crdnet("derain", "photos", "-o", place, "-m", model)
        assert done.code == 1
        assert len(done.err.splitlines()) == 1
        assert place in done.err


def test_a_model_that_cannot_be_opened_leaves_no_folder(crdnet: Crdnet) -> None:
    Path("bad.onnx").write_text("no model")
    assert crdnet("derain", "photos", "-o", "clean", "-m", "bad.onnx").code == 1
    assert not Path("clean").exists()


# What is in folders


def test_what_is_no_image_is_counted_and_not_failed(derain: Derain) -> None:
    for name in ("notes.txt", ".hidden.png", ".thumbs/x.png", "README"):
        Path("photos", name).parent.mkdir(exist_ok=True)
        Path("photos", name).write_text("no image")
    os.mkfifo("photos/pipe.png")
    listening = socket.socket(socket.AF_UNIX)
    listening.bind("photos/socket.jpg")
    listening.close()
    Path("photos/loop").symlink_to(".")
    Path("photos/up").symlink_to("..")
    save_image("photos/x.png")
    save_image("photos/x_derained.png")
    done = derain()
    assert done.code == 0
    assert set(results()) == {"a.png", "b.png", "deep/c.png", "x.png"}
    told = next(line for line in done.err.splitlines() if line.startswith("left out: "))
    assert set(told.removeprefix("left out: ").split(", ")) == {
        "2 hidden",
        "2 no images",
        "2 pipes",
        "sockets",
        "devices",
        "2 links to folders",
        "1 results of an earlier run",
    }


def test_a_pattern_does_not_run_round_a_loop(crdnet: Crdnet, model: Path) -> None:
    for name in ("loop", "again"):
        Path("photos", name).symlink_to(".")
    assert crdnet("derain", "photos/**/*.png", "-o", "clean", "-m", model).code == 0
    assert set(results()) == {"a.png", "b.png", "deep/c.png"}
    assert crdnet("derain", "photos/**", "-o", "all", "-m", model).code == 0
    assert set(results("all")) == {"a.png", "b.png", "deep/c.png"}


def test_a_link_that_leads_nowhere_or_to_itself_fails_alone(derain: Derain) -> None:
    Path("photos/gone.png").symlink_to("nowhere.png")
    Path("photos/self.png").symlink_to("self.png")
    Path("photos/good.png").symlink_to("a.png")
    done = derain()
    assert done.code == 1
    assert len(done.error_lines) == 2
    assert any(
        "photos/gone.png is a link to nowhere.png, which" in line for line in done.error_lines
    )
    assert any("photos/self.png cannot be read" in line for line in done.error_lines)
    assert set(results()) == {"a.png", "b.png", "deep/c.png", "good.png"}


@pytest.mark.parametrize(
    ("output", "told"),
    [
        ("/dev/null", "is a device, pipe or socket, where no file can be written; use -"),
        ("nowhere", "is a link to gone, which does not exist"),
        ("nowhere.png", "is a link to gone, which does not exist"),
        ("x.dng", "'.dng' is that of raw files of cameras"),
    ],
)
def test_a_place_that_takes_no_output_is_wrong_usage(
    crdnet: Crdnet, model: Path, output: str, told: str
) -> None:
    Path("nowhere").symlink_to("gone")
    Path("nowhere.png").symlink_to("gone")
    done = crdnet("derain", "photos/a.png", "-o", output, "-m", model)
    assert done.code == 2
    assert told in done.err


def test_an_output_of_a_name_too_long_is_told_before_the_work(crdnet: Crdnet, model: Path) -> None:
    done = crdnet("derain", "photos/a.png", "-o", f"{'b' * 300}.png", "-m", model)
    assert done.code == 1
    assert "too long for the file system; choose a shorter name" in done.error_lines[0]


def test_raw_files_in_a_folder_are_told(derain: Derain) -> None:
    Path("photos/one.dng").touch()
    Path("photos/two.NEF").touch()
    assert "left out: 2 raw files of cameras (develop them first)\n" in derain().err
    shutil.rmtree("photos")
    Path("photos").mkdir()
    Path("photos/one.cr3").touch()
    done = derain()
    assert done.code == 1
    assert "but 1 raw files of cameras (develop them first)" in done.error_lines[0]


def test_a_pipe_that_is_named_is_told_and_does_not_hang(crdnet: Crdnet, model: Path) -> None:
    os.mkfifo("pipe.png")
    done = crdnet("derain", "pipe.png", "-m", model)
    assert done.code == 1
    assert "pipe its image through -" in done.error_lines[0]


ODD = [
    "ünïcödé 雨.png",
    "sp ace.png",
    "100%.png",
    "a[1].png",
    "[Q=3].png",
    "new\nline.png",
    "tab\t.png",
    "-o.png",
]


def test_odd_names_come_out_as_they_are_and_a_line_stays_a_line(derain: Derain) -> None:
    shutil.rmtree("photos")
    for name in ODD:
        save_image(f"photos/{name}")
    save_image(os.fsdecode(b"photos/\xff\xfe.png"))
    done = derain()
    assert done.code == 0
    assert set(results()) == {*ODD, os.fsdecode(b"\xff\xfe.png")}
    assert len(done.out.splitlines()) == len(ODD) + 1
    assert "photos/new\\nline.png -> clean/new\\nline.png" in done.out
    again = derain("--json")
    assert {json.loads(line)["input"] for line in again.out.splitlines()} == {
        f"photos/{name}" for name in results()
    }


def test_a_name_that_exists_wins_over_a_pattern(crdnet: Crdnet, model: Path) -> None:
    save_image("a[b].png")
    save_image("ab.png")
    assert crdnet("derain", "a[b].png", "-o", "it.png", "-m", model).code == 0
    assert crdnet("derain", "a[b].png", "-m", model).code == 0
    assert Path("a[b]_derained.png").exists()
    assert not Path("ab_derained.png").exists()


def test_paths_may_be_long_and_names_that_get_too_long_fail_alone(
    derain: Derain, crdnet: Crdnet
) -> None:
    long = "/".join(["a" * 100] * 5)
    save_image(f"photos/{long}/x.png")
    assert derain().code == 0
    assert f"{long}/x.png" in results()
    name = f"photos/{'b' * 248}.png"
    save_image(name)
    done = crdnet("derain", name, "photos/a.png", "-m", derain._model)
    assert done.code == 1
    assert "too long for the file system; choose a shorter" in done.error_lines[0]
    assert Path("photos/a_derained.png").exists()


def test_a_list_may_name_odd_files_and_one_twice(crdnet: Crdnet, model: Path) -> None:
    save_image("100% [x].png")
    Path("list").write_text("100% [x].png\n./100% [x].png\r\n\nphotos\n")
    assert crdnet("derain", "--files-from", "list", "-o", "clean", "-m", model).code == 0
    assert set(results()) == {"100% [x].png", "a.png", "b.png"}


def test_an_empty_name_is_not_the_folder_we_are_in(crdnet: Crdnet, model: Path) -> None:
    save_image("here.png")
    done = crdnet("derain", "", "photos/a.png", "-o", "clean", "-m", model)
    assert done.code == 1
    assert set(results()) == {"a.png"}


def test_sources_may_lie_in_the_folder_of_the_results(crdnet: Crdnet, model: Path) -> None:
    for _ in range(2):
        assert crdnet("derain", "photos/deep", "-o", "photos", "-m", model).code == 0
    assert set(results("photos")) == {"a.png", "b.png", "deep/c.png", "c.png"}


def test_results_in_the_tree_are_no_inputs_of_a_pattern(crdnet: Crdnet, model: Path) -> None:
    for _ in range(2):
        assert crdnet("derain", "photos/**/*.png", "-o", "photos/clean", "-m", model).code == 0
    assert set(results("photos/clean")) == {"a.png", "b.png", "deep/c.png"}


def test_a_read_only_source_gives_a_result_of_ordinary_mode(derain: Derain) -> None:
    Path("photos/a.png").chmod(0o400)
    assert derain().code == 0
    assert Path("clean/a.png").stat().st_mode & 0o777 == Path("clean/b.png").stat().st_mode & 0o777


def test_times_are_kept_on_request(derain: Derain) -> None:
    os.utime("photos/a.png", ns=(10**18, 10**18 + 5))
    derain("--preserve-times")
    found = Path("clean/a.png").stat()
    assert found.st_mtime_ns == 10**18 + 5  # whoever looks at it meanwhile changes the other time


def test_a_dry_run_lists_and_touches_nothing(derain: Derain) -> None:
    done = derain("--dry-run", "--overwrite")
    assert done.code == 0
    assert done.out.splitlines() == [
        "photos/a.png -> clean/a.png",
        "photos/b.png -> clean/b.png",
        "photos/deep/c.png -> clean/deep/c.png",
    ]
    assert "3 planned" in done.err
    assert not Path("clean").exists()
    derain()
    Path("clean/a.png").unlink()
    before = contents("clean")
    records = [json.loads(line) for line in derain("--dry-run", "--json").out.splitlines()]
    assert {record["input"]: record["status"] for record in records} == {
        "photos/a.png": "planned",
        "photos/b.png": "skipped",
        "photos/deep/c.png": "skipped",
    }
    assert derain("--dry-run", "--strength", "0.5").code == 2
    assert contents("clean") == before


# Formats that are only read


def bitmap(path: str) -> None:
    with Image.open("photos/a.png") as image:
        image.save(path, format="BMP")


def test_a_run_goes_on_with_a_format_for_what_failed_and_keeps_the_others(derain: Derain) -> None:
    bitmap("photos/old.bmp")
    failed = derain()
    assert failed.code == 1
    assert "or a --fallback-format" in failed.error_lines[0]
    made = results()
    done = derain("--fallback-format", "webp")
    assert done.code == 0
    assert "1 done, 3 skipped" in done.err
    assert {name for name in results() if name not in made} == {"old.webp"}
    assert {name: content for name, content in results().items() if name in made} == made
    with Image.open("clean/old.webp") as image:
        assert image.format == "WEBP"
    refused = derain("--fallback-format", "png")
    assert refused.code == 2
    assert "fallback-format was webp and is png" in refused.err


def test_a_refused_format_names_the_one_that_leaves_others_alone(derain: Derain) -> None:
    derain()
    refused = derain("--format", "png")
    assert refused.code == 2
    assert "format was not set and is png" in refused.err
    assert "or use --fallback-format" in refused.err
    assert "always was off and is on)" in derain("--always").err


def test_a_fallback_format_follows_the_suffix_so_that_no_name_lies(derain: Derain) -> None:
    bitmap("photos/liar.jpg")
    assert derain("--fallback-format", "png").code == 0
    with Image.open("clean/liar.jpg") as image:
        assert image.format == "JPEG"


def test_a_format_and_a_fallback_format_contradict_each_other(derain: Derain) -> None:
    refused = derain("--format", "jpg", "--fallback-format", "png")
    assert refused.code == 2
    assert "give one of them" in refused.err


# What is told


def test_where_there_is_no_terminal_lines_tell_how_far_we_are(
    derain: Derain, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "left\n" not in derain().err
    monkeypatch.setattr("crdnet.cli.report.PLAIN_SECONDS", 0.0)
    done = derain("--overwrite")
    told = [line for line in done.err.splitlines() if line.endswith(" left")]
    assert len(told) == 2
    assert told[0].startswith("1 done, 2 left; ")
    assert " MP/s, " in told[0]
    assert "left" not in derain("--overwrite", "-q").err


def test_the_end_tells_totals_and_names_what_failed(derain: Derain) -> None:
    Path("photos/bad.png").write_text("no image")
    done = derain()
    assert done.code == 1
    *_, reason, failed, totals = done.err.splitlines()
    assert totals.startswith("3 done, 1 failed in ")
    assert "; 0.0 megapixels, " in totals
    assert failed == "  photos/bad.png"
    assert reason.startswith("1 failed: is not an image; ")


def test_failures_of_one_reason_are_grouped_and_the_totals_stand_last(derain: Derain) -> None:
    for each in range(14):
        Path(f"photos/bad{each:02}.png").write_text("no image")
    Path("photos/empty.jpg").touch()
    done = derain()
    *_, first, empty, second, _, totals = (
        line for line in done.err.splitlines() if not line.startswith("  photos/bad")
    )
    assert first.startswith("1 failed: is empty (0 bytes); ")
    assert empty == "  photos/empty.jpg"
    assert second.startswith("14 failed: is not an image; ")
    assert "  photos/bad09.png\n  and 4 more\n" in done.err
    assert totals.startswith("3 done, 15 failed in ")


@pytest.mark.usefixtures("crashing")
def test_a_decoder_that_crashes_fails_its_image_and_the_others_are_done(derain: Derain) -> None:
    Path("photos/b.jpg").write_bytes(FATAL)
    for each in range(6):
        save_image(f"photos/{each}.png", each)
    done = derain("-j", "2")
    assert done.code == 1
    assert done.error_lines == [
        f"Error: the decoder crashed on {Path('photos/b.jpg')} (ended with -11); open it in "
        "another program and save it again"
    ]
    assert "9 done, 1 failed" in done.err
    assert len(results()) == 9


def test_a_fault_of_ours_costs_one_image(derain: Derain, monkeypatch: pytest.MonkeyPatch) -> None:
    derain_network = Network.derain
    calls = count()

    def faulty(self: Network, *arguments: Any) -> Any:
        if next(calls) == 1:
            raise ZeroDivisionError("oh")
        return derain_network(self, *arguments)

    monkeypatch.setattr(Network, "derain", faulty)
    done = derain()
    assert done.code == 1
    assert len(results()) == 2
    assert "unexpected ZeroDivisionError: oh; please report it" in done.error_lines[0]
