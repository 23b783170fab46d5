"""Jobs in shares, on folders of this machine."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import crdnet
from crdnet.batch import BatchOptions, JobOptions, JobReport, iterate_results, run_job
from crdnet.batch.cluster import manifest, worker
from crdnet.errors import ArgumentError, DataError, OutputError, StoreError
from crdnet.pipeline import DerainOptions
from tests.batch.cluster.conftest import write_image
from tests.cli.runner import Crdnet
from tests.waiting import wait_until


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Crdnet:
    return Crdnet(monkeypatch, capsys)


def read_tree(folder: Path) -> dict[str, bytes]:
    """Return the outputs in a folder by their paths."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.relative_to(folder).parts[0] not in ("_crdnet", ".crdnet")
    }


def run(source: Path | str, destination: Path, model: Path, **options: object) -> JobReport:
    """Run a job on one share of one."""
    values = {"shard": "1/1", "model": model, **options}
    return run_job(source, destination, JobOptions(**values))  # type: ignore[arg-type] # by name


def check_once(destination: Path, inputs: int) -> None:
    """Check that each input has one result, and each output one row that names it."""
    rows = list(iterate_results(destination))
    assert sorted(row["row"] for row in rows) == list(range(inputs))
    written = Counter(row["output"] for row in rows if row["output"] is not None)
    assert written == Counter(read_tree(destination).keys())
    pieces = (destination / "_crdnet/results").iterdir()
    finished = Counter(
        row["uri"]
        for piece in pieces
        for row in pq.read_table(piece).to_pylist()
        if row["status"] != "failed"
    )
    assert set(finished.values()) <= {1}


def test_outputs_equal_those_of_the_folder_command(
    images: Path, model: Path, tmp_path: Path
) -> None:
    expected = tmp_path / "folder"
    options = BatchOptions(model=model)
    list(crdnet.derain_folder(images, expected, recursive=True, options=options))
    report = run(images, tmp_path / "job", model)
    assert read_tree(tmp_path / "job") == read_tree(expected)
    assert report.tally.counts == {"done": 90, "dry": 10}
    assert report.is_complete
    check_once(tmp_path / "job", 100)


def test_the_same_call_again_does_nothing(images: Path, model: Path, tmp_path: Path) -> None:
    run(images, tmp_path / "job", model)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    report = run(images, tmp_path / "job", model)
    assert (report.earlier, report.finished, report.left) == (100, 0, 0)
    assert before == {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*") if p.is_file()}


def test_shares_together_do_each_input_once(images: Path, model: Path, tmp_path: Path) -> None:
    reports = [run(images, tmp_path / "job", model, shard=f"{k}/3") for k in (3, 1, 2)]
    assert sum(report.finished for report in reports) == 100
    check_once(tmp_path / "job", 100)


def test_a_bad_input_is_one_row_and_is_tried_again(
    images: Path, model: Path, tmp_path: Path
) -> None:
    (images / "a/000.png").write_bytes(b"no image")
    report = run(images, tmp_path / "job", model)
    assert report.tally.counts["failed"] == 1
    assert not report.is_complete
    letters = (tmp_path / "job/_crdnet/dead_letters.jsonl").read_text().splitlines()
    (letter,) = map(json.loads, letters)
    assert letter["uri"] == str(images / "a/000.png")
    assert "is not an image" in letter["error"]
    check_once(tmp_path / "job", 100)
    write_image(images / "a/000.png", 50)
    again = run(images, tmp_path / "job", model)
    assert (again.finished, again.is_complete) == (1, True)
    assert (tmp_path / "job/_crdnet/dead_letters.jsonl").read_text() == ""
    check_once(tmp_path / "job", 100)


def test_a_killed_share_goes_on(images: Path, model: Path, tmp_path: Path) -> None:
    for number in range(100, 400):
        write_image(images / f"d/{number}.png", number % 200)
    job = tmp_path / "job"
    arguments = [sys.executable, "-m", "crdnet.cli", "batch", images, job, "-m", model]
    process = subprocess.Popen([*map(str, arguments), "--shard", "1/1"], stderr=subprocess.DEVNULL)
    wait_until(lambda: any((job / "a").glob("*.png")))
    process.send_signal(signal.SIGKILL)
    process.wait()
    report = run(images, job, model)
    assert report.is_complete
    assert len(read_tree(job)) == 400
    check_once(job, 400)


def test_a_killed_listing_goes_on(
    images: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifest, "PART_ROWS", 16)
    run(images, tmp_path / "whole", model, limit=50)
    parts = tmp_path / "whole/_crdnet/manifest"
    assert [path.name for path in sorted(parts.iterdir())][-1] == "000000000048-000002.parquet"
    report = run(images, tmp_path / "whole", model)
    assert (report.inputs, report.finished) == (100, 50)
    assert (parts / "complete.json").exists()
    check_once(tmp_path / "whole", 100)


def test_other_settings_are_refused(images: Path, model: Path, tmp_path: Path) -> None:
    run(images, tmp_path / "job", model)
    with pytest.raises(ArgumentError, match=r"another job \(strength was 1.0 and is 0.5\)"):
        run(images, tmp_path / "job", model, derain=DerainOptions(strength=0.5))


def test_a_new_job_needs_an_empty_destination(images: Path, model: Path, tmp_path: Path) -> None:
    write_image(tmp_path / "job/old.png", 3)
    with pytest.raises(ArgumentError, match="not empty and holds no job"):
        run(images, tmp_path / "job", model)


def test_a_destination_inside_the_source_is_no_input(
    images: Path, model: Path, tmp_path: Path
) -> None:
    assert run(images, images / "out", model).inputs == 100
    assert run(images, images / "out", model).inputs == 100


def test_a_source_inside_the_destination_is_refused(images: Path, model: Path) -> None:
    for destination in (images, images.parent):
        with pytest.raises(ArgumentError, match="lies in the destination"):
            run(images, destination, model)


def test_two_inputs_with_one_output_are_refused(images: Path, model: Path, tmp_path: Path) -> None:
    write_image(images / "a/001.png", 9)
    write_image(images / "a/001.webp", 9)
    derain = DerainOptions(format="jpg")
    with pytest.raises(ArgumentError, match=r"would both be written to a/001\.jpg"):
        run(images, tmp_path / "job", model, derain=derain)
    assert read_tree(tmp_path / "job") == {}


@pytest.mark.parametrize("kind", ["parquet", "jsonl", "txt"])
def test_lists_are_read(kind: str, images: Path, model: Path, tmp_path: Path) -> None:
    uris = [str(images / f"a/{number:03}.png") for number in (3, 0, 6)]
    names = ["third.png", "zeroth.png", "x/sixth.png"]
    path = tmp_path / f"list.{kind}"
    if kind == "parquet":
        pq.write_table(pa.table({"uri": uris, "id": names, "more": [1, 2, 3]}), path)
    elif kind == "jsonl":
        rows = zip(uris, names, strict=True)
        path.write_text("\n".join(json.dumps({"uri": uri, "id": name}) for uri, name in rows))
    else:
        path.write_text("images/a/003.png\nimages/a/000.png\n\nimages/a/006.png\n")
        names = ["images/a/003.png", "images/a/000.png", "images/a/006.png"]
    report = run(path, tmp_path / "job", model)
    assert report.is_complete
    assert set(read_tree(tmp_path / "job")) == set(names)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", '{"url": "x.png"}\n', "no column 'uri', only url"),
        ("a.jsonl", "x.png\n", "line 1: not a JSON object"),
        ("a.parquet", "x.png\n", "cannot be read as a Parquet file"),
        ("a.txt", "\n", "there are no inputs"),
    ],
)
def test_a_bad_list_is_one_error(
    name: str, content: str, message: str, model: Path, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises((DataError, StoreError), match=message):
        run(tmp_path / name, tmp_path / "job", model)


def test_a_source_without_images_leaves_nothing(model: Path, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    with pytest.raises(StoreError, match="there are no inputs"):
        run(tmp_path / "images", tmp_path / "job", model)
    assert not (tmp_path / "job").exists()
    (tmp_path / "images/a.txt").write_text("no image")
    with pytest.raises(StoreError, match="there are no inputs, but 1 no images"):
        run(tmp_path / "images", tmp_path / "job", model)
    assert not (tmp_path / "job").exists()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 200 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=200k", "crdnet", f"{folder}"]
    if shutil.which("mount") is None or subprocess.run(words, check=False).returncode:
        pytest.skip("a small file system needs the right to mount one")
    yield folder
    subprocess.run(["umount", f"{folder}"], check=True)


def test_a_full_disk_ends_the_run_and_the_next_goes_on(
    images: Path, model: Path, small_disk: Path
) -> None:
    job = small_disk / "job"
    with pytest.raises(OutputError, match="the disk is full"):
        run(images, job, model)
    larger = ["mount", "-o", "remount,size=20m", f"{small_disk}"]
    subprocess.run(larger, check=True)
    assert run(images, job, model).is_complete
    check_once(job, 100)


def test_a_full_disk_of_temporary_files_ends_the_run(
    images: Path, model: Path, small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The large files of a store go through temporary files; here every file is large.
    monkeypatch.setattr(worker, "_LARGE_BYTES", 1)
    monkeypatch.setattr(tempfile, "tempdir", f"{small_disk}")
    files = fsspec.filesystem("memory")
    files.pipe_file("/images/000.png", (images / "a/000.png").read_bytes())
    filling = small_disk / "filling"
    with suppress(OSError), filling.open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass
    with pytest.raises(OutputError, match=r"the disk for temporary files of .* is full"):
        run("memory://images", tmp_path / "job", model)
    filling.unlink()
    assert run("memory://images", tmp_path / "job", model).is_complete


def test_an_id_given_twice_is_refused(images: Path, model: Path, tmp_path: Path) -> None:
    rows = [{"uri": str(images / f"a/{n:03}.png"), "id": "same.png"} for n in (0, 3)]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(ArgumentError, match=r"would both be written to same\.png"):
        run(tmp_path / "a.jsonl", tmp_path / "job", model)


def test_names_are_taken_as_they_are(model: Path, tmp_path: Path) -> None:
    names = ["a b.png", "50%.png", "%41.png", "a#1.png", "a+b.png", "é.png", "c?d.png", "[e].png"]
    for name in names:
        write_image(tmp_path / "images" / name, 90)
    os.rename(  # noqa: PTH104 - a name of bytes
        tmp_path / "images/é.png", os.fsencode(tmp_path / "images") + b"/\xff.png"
    )
    report = run(tmp_path / "images", tmp_path / "job", model)
    assert set(read_tree(tmp_path / "job")) == {*names} - {"é.png"}
    (failure,) = report.tally.failures
    assert failure.uri.endswith("\\udcff.png")
    assert "not UTF-8" in failure.reason


def test_no_name_leaves_the_destination(images: Path, model: Path, tmp_path: Path) -> None:
    rows = [
        {"uri": str(images / f"a/{n:03}.png"), "id": name}
        for n, name in ((0, "../out.png"), (3, "x//y.png"), (6, "fine.png"))
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    report = run(tmp_path / "a.jsonl", tmp_path / "job", model)
    assert report.tally.counts == {"failed": 2, "done": 1}
    assert not (tmp_path / "out.png").exists()


def test_patterns_take_what_matches(images: Path, model: Path, tmp_path: Path) -> None:
    assert run(f"{images}/a/00*.png", tmp_path / "one", model).inputs == 4
    assert set(read_tree(tmp_path / "one")) == {"000.png", "003.png", "006.png", "009.png"}
    assert run(f"{images}/**/01[0-4].png", tmp_path / "two", model).inputs == 5
    assert "b/010.png" in read_tree(tmp_path / "two")


def test_many_failures_stop_the_job(images: Path, model: Path, tmp_path: Path) -> None:
    for path in images.rglob("*.png"):
        path.write_bytes(b"no image")
    report = run(images, tmp_path / "job", model, max_failures="1%")
    assert report.stopped is not None
    assert report.left == 36


def test_a_dry_run_writes_nothing(
    images: Path, model: Path, tmp_path: Path, command: Crdnet
) -> None:
    finished = command(
        "batch", images, tmp_path / "job", "-m", model, "--shard", "1/1", "--dry-run", "--limit", 3
    )
    assert finished.code == 0
    assert finished.out.splitlines()[0] == f"{images}/a/000.png -> {tmp_path}/job/a/000.png"
    assert len(finished.out.splitlines()) == 3
    assert not (tmp_path / "job").exists()


def test_sensing_writes_results_and_no_image(images: Path, model: Path, tmp_path: Path) -> None:
    report = run(images, tmp_path / "job", model, sense_only=True)
    assert report.tally.counts == {"done": 90, "dry": 10}
    assert read_tree(tmp_path / "job") == {}
    rows = list(iterate_results(tmp_path / "job"))
    dry = {row["uri"][-7:] for row in rows if row["density"] == "none"}
    assert dry == {f"{number:03}.png" for number in range(0, 100, 10)}


@pytest.mark.parametrize(("only", "count"), [("dry", 10), ("rainy", 90)])
def test_only_such_images_are_written(
    only: str, count: int, images: Path, model: Path, tmp_path: Path
) -> None:
    report = run(images, tmp_path / "job", model, only=only)
    assert len(read_tree(tmp_path / "job")) == count
    assert report.tally.counts["skipped"] == 100 - count
    check_once(tmp_path / "job", 100)


@pytest.mark.parametrize(("only", "count"), [("dry", 10), ("rainy", 90)])
def test_sensing_lists_such_images(
    only: str, count: int, images: Path, model: Path, tmp_path: Path
) -> None:
    run(images, tmp_path / "job", model, only=only, sense_only=True)
    table = pq.read_table(tmp_path / f"job/{only}.parquet")
    assert table.num_rows == count
    assert run(tmp_path / f"job/{only}.parquet", tmp_path / "next", model).inputs == count


def test_tar_files_keep_what_is_no_rainy_image(images: Path, model: Path, tmp_path: Path) -> None:
    members = {
        "0.png": (images / "b/001.png").read_bytes(),
        "0.json": b"{}",
        "1.rainy.png": (images / "a/003.png").read_bytes(),
        "1.clean.png": (images / "a/006.png").read_bytes(),
        "2.png": b"no image",
    }
    source = tmp_path / "shards/train/000.tar"
    source.parent.mkdir(parents=True)
    with tarfile.open(source, "w") as tar:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, BytesIO(content))
    report = run(tmp_path / "shards", tmp_path / "job", model, webdataset=True)
    assert report.tally.counts == {"done": 1}, report.tally.failures
    assert report.tally.failed_images == 1
    assert not report.is_complete
    assert "1 of 3 images were copied as they are: 2.png" in report.tally.failures[0].reason
    with tarfile.open(tmp_path / "job/train/000.tar") as tar:
        derained = {member.name: tar.extractfile(member) for member in tar}
        found = {name: file.read() for name, file in derained.items() if file is not None}
    assert list(found) == list(members)
    expected = {name: crdnet.Derainer(model)(members[name]) for name in ("0.png", "1.rainy.png")}
    assert found == members | expected


def test_the_report_shows_counts_failures_and_samples(
    images: Path, model: Path, tmp_path: Path
) -> None:
    (images / "a/003.png").write_bytes(b"no <image>")
    run(images, tmp_path / "job", model)
    html = (tmp_path / "job/_crdnet/report.html").read_text()
    assert "NotAnImageError" in html
    assert "heavy: 89" in html
    assert html.count("<figure>") == 6
    assert not re.search(r"(src|href)=\"(?!data:)", html)


def test_counters_are_served_while_a_job_runs(images: Path, model: Path, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    pages: list[str] = []

    def read(_report: JobReport) -> None:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            pages.append(answer.read().decode())

    options = JobOptions(shard="1/1", model=model, metrics_port=port)
    run_job(images, tmp_path / "job", options, on_progress=read)
    assert "crdnet_job_left 100.0" in pages[0]
    assert "crdnet_job_left 0.0" in pages[-1]
    assert 'crdnet_job_results{status="dry"} 10.0' in pages[-1]


def test_the_command_ends_with_1_and_names_what_failed(
    images: Path, model: Path, tmp_path: Path, command: Crdnet
) -> None:
    (images / "a/000.png").write_bytes(b"no image")
    arguments = ("batch", images, tmp_path / "job", "-m", model, "--shard", "1/1")
    finished = command(*arguments, "--json")
    assert finished.code == 1
    assert len(finished.error_lines) == 1
    assert json.loads(finished.out)["failed"] == 1
    write_image(images / "a/000.png", 5)
    assert command(*arguments).code == 0
    again = command(*arguments)
    assert again.code == 0
    assert "nothing left to do" in again.err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("{images}", "{tmp}/job", "--shard", "3/2"), 2, "--shard must be K/N with K from 1 to N"),
        (("{images}", "{tmp}/job", "--shard", "1/1", "--address", "auto"), 2, "give one of them"),
        (("{images}", "{tmp}/job", "--max-failures", "many"), 2, "such as 1%, got 'many'"),
        (("{images}", "foo://x/y", "--shard", "1/1"), 2, "no file system 'foo'"),
        (("{tmp}/none", "{tmp}/job", "--shard", "1/1"), 1, "there is no such folder or bucket"),
        (("{tmp}", "{tmp}/job", "--shard", "1/1", "-m", "nope"), 2, "there is no model 'nope'"),
        (("s3://key:word@bucket/x", "{tmp}/job", "--shard", "1/1"), 2, "s3://***@bucket/x: the"),
    ],
)
def test_bad_arguments_are_one_line(
    arguments: tuple[str, ...],
    code: int,
    message: str,
    images: Path,
    tmp_path: Path,
    command: Crdnet,
) -> None:
    filled = [each.format(images=images, tmp=tmp_path) for each in arguments]
    finished = command("batch", *filled)
    assert finished.code == code
    assert len(finished.error_lines) == 1
    assert message in finished.err
    assert "word" not in finished.err
