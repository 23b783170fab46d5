"""Jobs on buckets over the S3 protocol, with faults."""

import errno
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from crdnet.batch import JobOptions, JobReport, iterate_results, run_job
from crdnet.batch.cluster import faults, manifest
from crdnet.batch.cluster import store as stores
from crdnet.batch.cluster.faults import (
    describe_fault,
    has_credentials,
    hide_credentials,
    is_passing,
)
from crdnet.batch.cluster.store import iterate_prefix, open_store
from crdnet.errors import OutputError, StoreError
from tests.batch.cluster.s3_server import Fault, S3Server


@pytest.fixture(autouse=True)
def _no_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults, "FIRST_DELAY_SECONDS", 0.001)


@pytest.fixture
def bucket(s3: S3Server, images: Path) -> S3Server:
    """The server with the images of three folders under `rainy/frames/`."""
    for path in images.rglob("*.png"):
        key = f"frames/{path.relative_to(images).as_posix()}"
        if path.name < "030":
            s3.put("rainy", key, path.read_bytes())
    return s3


def run(
    model: Path,
    source: str = "s3://rainy/frames",
    destination: str = "s3://clean/out",
    **options: object,
) -> JobReport:
    values = {"shard": "1/1", "model": model, **options}
    return run_job(source, destination, JobOptions(**values))  # type: ignore[arg-type] # by name


def list_outputs(server: S3Server) -> list[str]:
    return [key for key in server.list_keys("clean") if not key.startswith("out/_crdnet/")]


def test_a_bucket_goes_into_a_bucket(bucket: S3Server, model: Path) -> None:
    report = run(model)
    assert report.tally.counts == {"done": 27, "dry": 3}
    assert len(list_outputs(bucket)) == 30
    assert bucket.get("clean", "out/a/000.png") == bucket.get("rainy", "frames/a/000.png")
    bucket.requests.clear()
    assert run(model).earlier == 30
    # Resuming reads what the job knows, and neither the inputs nor the outputs.
    assert not any(request.startswith("GET /rainy") for request in bucket.requests)
    assert len(bucket.requests) < 10


def test_faults_that_pass_cost_nothing(bucket: S3Server, model: Path) -> None:
    bucket.faults += [
        Fault("GET", r"/a/003\.png", times=2),
        Fault("GET", r"/a/006\.png", "500 Internal Server Error", "InternalError", times=1),
        Fault("GET", r"/a/009\.png", cuts_body=True, times=2),
        Fault("PUT", r"/b/001\.png", times=2),
        Fault("PUT", r"_crdnet/results", times=2),
        Fault("GET", r"^/rainy/?$", times=1),
    ]
    report = run(model)
    assert {f.path: f.met > f.times for f in bucket.faults} == dict.fromkeys(
        (f.path for f in bucket.faults), True
    )
    assert report.is_complete
    assert len(list_outputs(bucket)) == 30


def test_a_body_that_stops_is_asked_for_again(
    bucket: S3Server, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(stores._S3_OPTIONS["config_kwargs"], "read_timeout", 1)
    stalled = Fault("GET", r"/a/003\.png", times=2, stalls_body=True)
    bucket.faults.append(stalled)
    assert run(model).is_complete
    assert stalled.met > stalled.times
    stalled.times = 1_000_000
    monkeypatch.setattr(faults, "ATTEMPTS", 2)
    report = run(model, "s3://rainy/frames/a", destination="s3://clean/again")
    (failure,) = report.tally.failures
    assert failure.uri == "s3://rainy/frames/a/003.png"
    assert "run the same command again" in failure.reason


def test_listings_that_lag_behind_lose_nothing(bucket: S3Server, model: Path) -> None:
    # What is written is known by its name; a listing may tell of it later.
    results = Fault("GET", r"^/clean/?$", hides=r"out/_crdnet/results/[^<]*")
    marks = Fault("GET", r"^/clean/?$", hides=r"out/_crdnet/(unfinished|results)/[^<]*")
    bucket.put("rainy", "frames/a/003.png", b"no image")
    assert run(model).tally.counts == {"done": 26, "dry": 3, "failed": 1}
    bucket.requests.clear()
    for hidden in (results, marks):
        bucket.faults[:] = [hidden]
        assert run(model).tally.counts == {"done": 26, "dry": 3, "failed": 1}
    assert hidden.met
    assert not any(request.startswith("GET /rainy/") for request in bucket.requests)
    bucket.faults.clear()
    bucket.put("rainy", "frames/a/003.png", bucket.get("rainy", "frames/a/006.png"))
    assert run(model).tally.counts == {"done": 1}
    assert len(list(iterate_results("s3://clean/out"))) == 30


def test_a_manifest_that_is_not_listed_whole_is_asked_for_again(
    bucket: S3Server, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifest, "PART_ROWS", 16)
    run(model)
    hidden = Fault("GET", r"^/clean/?$", hides=r"[^<]*/manifest/000000000016[^<]*")
    bucket.faults.append(hidden)
    with pytest.raises(StoreError, match="does not list all files"):
        run(model)
    hidden.met, hidden.times = 0, 1
    assert run(model).earlier == 30


def test_faults_that_stay_are_named_once(bucket: S3Server, model: Path) -> None:
    denied = Fault("GET", r"/a/003\.png", "403 Forbidden", "AccessDenied")
    down = Fault("GET", r"/a/006\.png")
    unwritable = Fault("PUT", r"/a/009\.png", "403 Forbidden", "AccessDenied")
    bucket.faults += [denied, down, unwritable]
    report = run(model)
    reasons = {failure.uri[-7:]: failure.reason for failure in report.tally.failures}
    assert set(reasons) == {"003.png", "006.png", "009.png"}
    assert "may not be read" in reasons["003.png"]
    assert "503" in reasons["006.png"]
    assert "cannot write s3://clean/out/a/009.png" in reasons["009.png"]
    # What is forbidden is not asked for again.
    assert (denied.met, down.met, unwritable.met) == (1, faults.ATTEMPTS, 1)


def test_an_object_that_disappears_is_one_failure(bucket: S3Server, model: Path) -> None:
    bucket.faults.append(Fault("GET", r"/a/003\.png", "404 Not Found", "NoSuchKey"))
    report = run(model)
    (failure,) = report.tally.failures
    assert (failure.error_class, failure.uri) == (
        "FileNotFoundError",
        "s3://rainy/frames/a/003.png",
    )


def test_a_store_without_conditions_gets_each_output_once(bucket: S3Server, model: Path) -> None:
    bucket.faults.append(
        Fault("PUT", "/", "501 Not Implemented", "NotImplemented", header="HTTP_IF_NONE_MATCH")
    )
    assert run(model).is_complete
    assert len(list_outputs(bucket)) == 30
    store = open_store("s3://clean/out")
    assert not store.create("a/000.png", b"another")
    assert bucket.get("clean", "out/a/000.png") != b"another"


@pytest.mark.parametrize(
    ("source", "fault", "message"),
    [
        ("s3://absent/frames", None, "there is no such folder or bucket"),
        ("s3://rainy/nothing/", None, "there are no inputs"),
        (
            "s3://rainy/frames",
            Fault("GET", r"^/rainy/?$", "403 Forbidden", "AccessDenied"),
            "ask for the permission to list it",
        ),
        (
            "s3://rainy/frames",
            Fault("GET", r"^/rainy/?$", "400 Bad Request", "AuthorizationHeaderMalformed"),
            "set AWS_REGION",
        ),
        (
            "s3://rainy/frames",
            Fault("GET", r"^/rainy/?$", "301 Moved Permanently", "PermanentRedirect"),
            "set AWS_REGION",
        ),
        (
            "s3://rainy/list.txt",
            Fault("GET", r"^/rainy/list", "403 Forbidden", "AccessDenied"),
            "ask for the permission",
        ),
    ],
)
def test_a_source_that_cannot_be_listed_is_one_error_and_leaves_nothing(
    source: str, fault: Fault | None, message: str, bucket: S3Server, model: Path
) -> None:
    bucket.put("rainy", "list.txt", b"frames/a/003.png")
    if fault is not None:
        bucket.faults.append(fault)
    with pytest.raises(StoreError, match=message):
        run(model, source)
    bucket.faults.clear()
    assert bucket.list_keys("clean") == []


@pytest.mark.parametrize(
    ("destination", "fault", "kind", "message"),
    [
        ("s3://absent/out", None, OutputError, "cannot write s3://absent/out/_crdnet/job.json"),
        (
            "s3://clean/out",
            Fault("PUT", r"^/clean/", "403 Forbidden", "AccessDenied"),
            OutputError,
            r"cannot write s3://clean/out/_crdnet/job.json: .*may be written to",
        ),
        (
            "s3://clean/out",
            Fault("GET", r"^/clean/?$", "403 Forbidden", "AccessDenied"),
            StoreError,
            "ask for the permission to list it",
        ),
        (
            "s3://clean/out",
            Fault("GET", r"^/clean/.*job.json", "403 Forbidden", "AccessDenied"),
            StoreError,
            "check the permission to read it",
        ),
    ],
)
def test_a_destination_that_cannot_be_used_is_one_error(
    destination: str,
    fault: Fault | None,
    kind: type[Exception],
    message: str,
    bucket: S3Server,
    model: Path,
) -> None:
    if fault is not None:
        bucket.faults.append(fault)
    with pytest.raises(kind, match=message):
        run(model, destination=destination)
    bucket.faults.clear()
    assert bucket.list_keys("clean") == []


def test_keys_are_taken_as_they_are(s3: S3Server, model: Path, images: Path) -> None:
    content = (images / "b/001.png").read_bytes()
    keys = ["a b.png", "50%.png", "%41.png", "a#1.png", "a+b.png", "é.png", "c?d.png", "[e].png"]
    for key in [*keys, "x.png/y.png", "x.png"]:
        s3.put("rainy", f"frames/{key}", content)
    s3.put("rainy", "frames/up/../z.png", content)
    report = run(model)
    assert set(list_outputs(s3)) == {f"out/{key}" for key in [*keys, "x.png/y.png", "x.png"]}
    (failure,) = report.tally.failures
    assert "leave the destination" in failure.reason
    s3.put("rainy", "list.txt", "\n".join(f"s3://rainy/frames/{key}" for key in keys).encode())
    assert run(model, "s3://rainy/list.txt", "s3://clean/list").is_complete
    listed = {key for key in s3.list_keys("clean") if key.startswith("list/rainy/")}
    assert listed == {f"list/rainy/frames/{key}" for key in keys}


def test_a_key_that_goes_on_behind_another_is_one_failure_in_a_folder(
    s3: S3Server, model: Path, images: Path, tmp_path: Path
) -> None:
    content = (images / "b/001.png").read_bytes()
    for key in ("x.png", "x.png/y.png"):
        s3.put("rainy", f"frames/{key}", content)
    for number, list_of_keys in enumerate((["x.png", "x.png/y.png"], ["x.png/y.png", "x.png"])):
        s3.put("rainy", "list.txt", "\n".join(f"frames/{key}" for key in list_of_keys).encode())
        job = tmp_path / f"{number}"
        report = run(model, "s3://rainy/list.txt", f"{job}", jobs=1)
        assert report.tally.counts == {"done": 1, "failed": 1}
        (failure,) = report.tally.failures
        assert failure.uri.endswith(list_of_keys[1])
        assert "cannot write" in failure.reason


def test_of_two_that_make_one_key_one_does(s3: S3Server, tmp_path: Path) -> None:
    for store in (open_store("s3://clean/x"), open_store(tmp_path / "x")):
        with ThreadPoolExecutor(8) as pool:
            made = list(pool.map(lambda n, store=store: store.create("key", b"%d" % n), range(8)))
        assert sum(made) == 1
        assert store.read("key") == b"%d" % made.index(True)


def test_a_listing_goes_on_after_a_key(bucket: S3Server, images: Path) -> None:
    for store in (open_store("s3://rainy/frames"), open_store(images)):
        found = [each.path for each in iterate_prefix(store, f"{store.root}/")]
        assert found == sorted(found, key=lambda path: path.split("/"))
        rest = [each.path for each in iterate_prefix(store, f"{store.root}/", found[9])]
        assert rest == found[10:]


def test_credentials_are_neither_shown_nor_stored(
    images: Path, model: Path, tmp_path: Path
) -> None:
    secret = "hunter2"
    urls = [f"https://user:{secret}@host/a.png", f"https://host/a.png?X-Amz-Signature={secret}&b=1"]
    (tmp_path / "a.txt").write_text("\n".join(urls))
    options = JobOptions(shard="1/1", model=model)
    report = run_job(tmp_path / "a.txt", tmp_path / "job", options)
    assert report.tally.counts == {"failed": 2}
    files = [path for path in (tmp_path / "job").rglob("*") if path.is_file()]
    assert not any(secret.encode() in path.read_bytes() for path in files)
    tables = [pq.read_table(path) for path in files if path.suffix == ".parquet"]
    assert not any(secret in str(table.to_pylist()) for table in tables)
    assert all("holds credentials" in failure.reason for failure in report.tally.failures)


def test_urls_are_shown_without_credentials() -> None:
    text = "cannot read sftp://me:word@host/a and https://h/b?sig=abc&x=1 now"
    assert hide_credentials(text) == "cannot read sftp://***@host/a and https://h/b?sig=***&x=1 now"
    assert not has_credentials("s3://bucket/a@b/c:d.png")


def test_faults_are_told_apart() -> None:
    assert is_passing(TimeoutError())
    assert is_passing(ConnectionResetError())
    assert is_passing(OSError(errno.EBUSY, "slow down"))
    assert not is_passing(FileNotFoundError())
    assert not is_passing(PermissionError())
    assert not is_passing(OSError(errno.ENOSPC, "full"))
    assert not is_passing(ValueError())
    assert describe_fault(OSError(errno.ENOSPC, "No space left on device")) == (
        "No space left on device"
    )


def test_results_are_rows_of_numbers_and_words(bucket: S3Server, model: Path) -> None:
    run(model)
    rows = list(iterate_results("s3://clean/out"))
    assert {row["width"] for row in rows} == {8}
    assert all(np.isfinite(row["intensity"]) and row["seconds"] > 0 for row in rows)
    assert all(row["bytes_read"] == len(bucket.get("rainy", row["uri"][11:])) for row in rows)
