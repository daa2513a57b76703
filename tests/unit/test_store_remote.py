"""Stores behind URLs are read, verified, shown and listed like those on a disk."""

import json
import os
import re
import shutil
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fsspec
import numpy as np
import pytest
import s3
import xarray
from players import RECORD, value_of
from typer.testing import CliRunner, Result

from pipeline.core.errors import InputError
from pipeline.store import (
    CoalitionStore,
    DamagedShard,
    DamagedStore,
    MissingInstance,
    UnreachableStore,
    open_store,
    plan,
    verify,
)
from pipeline.store.access import MOST_SIZES_ASKED
from pipeline.store.cli import app
from pipeline.store.stored_game import StoredGame
from pipeline.store.verification import examine

NAMES = ["v0", "v1", "v2"]


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@dataclass
class Site:
    """A web server that serves the files of a directory."""

    folder: Path
    url: str = ""
    failing: set[str] = field(default_factory=set)
    """Ends of the paths that it fails to serve."""
    listing: bool = True
    status: int = 500
    """Status of what it fails to serve."""
    requests: int = 0


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

        def send_head(self):
            site.requests += 1
            if any(self.path.endswith(end) for end in site.failing):
                self.send_error(site.status)
                return None
            return super().send_head()

        def list_directory(self, path):
            if site.listing:
                return super().list_directory(path)
            self.send_error(403)
            return None

    class Server(ThreadingHTTPServer):
        # fsspec asks for several files at once.
        request_queue_size = 64

    server = Server(("127.0.0.1", 0), partial(Handler, directory=str(tmp_path)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    site.url = f"http://127.0.0.1:{server.server_port}"
    yield site
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def store(tmp_path: Path) -> CoalitionStore:
    """Two of three instances done; several chunks in a shard."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.store.layout.CHUNK_BYTES", 20)
        store = plan(tmp_path / "frames" / "trn.zarr", RECORD, NAMES, NAMES)
    assert store._values.chunks == (1, 2, 2)
    for name in NAMES[:2]:
        store.write(name, value_of(name))
    return store


Publish = Callable[[CoalitionStore, str], None]


@pytest.fixture
def publish(request: pytest.FixtureRequest) -> Publish:
    """Copies a store to its URL, unless that shows the store itself."""

    def copy(store: CoalitionStore, url: str) -> None:
        protocol, _, place = url.partition("://")
        if protocol == "s3":
            request.getfixturevalue("service").put(store.path, place)
        if protocol == "memory":
            memory = fsspec.filesystem("memory")
            if memory.exists(place):
                memory.rm(place, recursive=True)
            memory.put(store.path, f"/{place}", recursive=True)

    return copy


@pytest.fixture(params=["http", "s3", "file", "memory"])
def url(request: pytest.FixtureRequest, store: CoalitionStore, publish: Publish) -> Iterator[str]:
    """The store by its URL; in a bucket or in memory it is a copy."""
    match request.param:
        case "s3":
            url = f"s3://{request.getfixturevalue('service').bucket()}/frames/trn.zarr"
            publish(store, url)
            yield url
        case "http":
            yield f"{request.getfixturevalue('site').url}/frames/trn.zarr"
        case "file":
            yield f"file://{store.path}"
        case _:
            memory = fsspec.filesystem("memory")
            publish(store, "memory://site/frames/trn.zarr")
            yield "memory://site/frames/trn.zarr"
            memory.rm("/site", recursive=True)


def call(*arguments: str | Path, width: int = 120) -> Result:
    environment = {"COLUMNS": str(width), "TERM": "dumb"}
    return CliRunner().invoke(app, [str(a) for a in arguments], env=environment)


@pytest.mark.usefixtures("per_shard")
def test_values_behind_a_url(url: str) -> None:
    store = open_store(url)
    assert store.done().tolist() == [True, True, False]
    assert store.is_done("v1") and not store.is_done("v2")
    np.testing.assert_array_equal(store.read("v1"), value_of("v1"))
    both = np.stack([value_of("v1"), value_of("v0")])
    np.testing.assert_array_equal(store.read_many(["v1", "v0"]), both)
    with pytest.raises(MissingInstance, match="'v2' has not been evaluated; 2 of 3 have"):
        store.read("v2")
    masks = np.array([5, 0])
    np.testing.assert_array_equal(StoredGame(store, "v1")(masks), value_of("v1")[masks])
    assert verify(store) == []
    for attempt in (lambda: store.write("v2", value_of("v2")), lambda: store.erase("v0")):
        with pytest.raises(InputError, match="reading only"):
            attempt()
    assert open_store(f"{url}/").path == url


@pytest.mark.usefixtures("per_shard")
@pytest.mark.parametrize("url", ["http", "s3", "file"], indirect=True)
def test_what_is_done_later_is_seen(url: str, store: CoalitionStore, publish: Publish) -> None:
    behind = open_store(url)
    assert not behind.done()[2] and not behind.is_done("v2")
    store.write("v2", value_of("v2"))
    publish(store, url)
    assert behind.is_done("v2")
    assert behind.done().all()
    np.testing.assert_array_equal(behind.read("v2"), value_of("v2"))


@pytest.mark.parametrize("url", ["http", "s3", "file"], indirect=True)
def test_damage_behind_a_url_is_found(
    per_shard: int, url: str, store: CoalitionStore, publish: Publish
) -> None:
    path = Path(store.path)
    content = bytearray(store.shard("v1").read_bytes())
    before = sum(map(len, store.chunks_of("v0"))) if per_shard > 1 else 0
    content[before + 5] ^= 1
    store.shard("v1").write_bytes(content)
    shutil.copy(store.shard("v0"), path / "values" / "c.9.0.0")
    (path / "values" / "notes.txt").write_text("mine")
    (path / "values" / "c.0.0.12.partial").write_text("")
    (path / "more").mkdir()
    (path / "more" / "deep.txt").touch()
    (path / ".DS_Store").touch()
    metadata = json.loads((path / "output" / "zarr.json").read_text())
    (path / "output" / "zarr.json").write_text(json.dumps({**metadata, "fill_value": "x"}))
    (path / "instance" / "zarr.json").unlink()
    publish(store, url)
    behind = open_store(url)
    found = verify(behind)
    on_disk = {(d.instance, d.index) for d in verify(open_store(path))}
    assert {(d.instance, d.index) for d in found} == on_disk
    reasons = "\n".join(damage.reason for damage in found)
    assert len(found) == 6
    for text in ("values/notes.txt: not part", "more: not part", "values shard 9", "'v1'"):
        assert text in reasons
    assert "output/zarr.json: differs" in reasons and "instance/zarr.json: " in reasons
    with pytest.raises(DamagedShard, match="copy it there again"):
        behind.read("v1")
    with pytest.raises(DamagedShard, match="'v1'"):
        behind.read_many([0, 1])
    np.testing.assert_array_equal(behind.read("v0"), value_of("v0"))
    result = call("verify", url)
    assert result.exit_code == 1 and "6 damaged" in result.output
    assert result.output.endswith(f"to mend: copy a sound store to {url} again\n")


def test_damaged_metadata_behind_a_url(site: Site, store: CoalitionStore) -> None:
    url = f"{site.url}/frames/trn.zarr"
    (Path(store.path) / "instance" / "c.0").unlink()
    with pytest.raises(DamagedStore, match="Copy it there again"):
        open_store(url)
    (Path(store.path) / "zarr.json").write_text("{")
    with pytest.raises(DamagedStore, match=r"trn\.zarr: damaged"):
        open_store(url)
    result = call("verify", url)
    assert result.exit_code == 1 and f"copy a sound store to {url}" in result.output


def test_a_server_that_fails_is_no_damage(site: Site, store: CoalitionStore) -> None:
    url = f"{site.url}/frames/trn.zarr"
    behind = open_store(url)
    site.failing = {"c.1.0.0"}
    for attempt in (lambda: behind.read("v1"), lambda: behind.read_many([0, 1])):
        with pytest.raises(UnreachableStore, match=r"trn\.zarr: cannot be read"):
            attempt()
    with pytest.raises(UnreachableStore):
        verify(behind)
    result = call("verify", url)
    assert result.exit_code == 1 and "not verified: " in result.output
    assert "damaged" not in result.output and "to mend" not in result.output
    site.failing = {"zarr.json"}
    with pytest.raises(UnreachableStore):
        open_store(url)


def test_a_server_that_lists_nothing(per_shard: int, site: Site, store: CoalitionStore) -> None:
    site.listing = False
    url = f"{site.url}/frames/trn.zarr"
    behind = open_store(url)
    np.testing.assert_array_equal(behind.read("v1"), value_of("v1"))
    assert behind.is_done("v0") and not behind.is_done("v2")
    with pytest.raises(MissingInstance, match=r"'v2' has not been evaluated\. Evaluate"):
        behind.read("v2")
    with pytest.raises(UnreachableStore):
        behind.done()
    result = call("show", url)
    assert result.exit_code == 0
    assert "unknown done of 3" in result.output
    assert re.search(r"size on disk +unknown", result.output)
    summary = json.loads(call("show", url, "--json").output)
    assert summary["bytes"] is None and summary["instances_done"] is None
    result = call("verify", url)
    assert result.exit_code == 0
    assert f"{url}: 2 of 3 instances done, sound; its files cannot be listed" in result.output
    store.shard("v1").write_bytes(store.shard("v1").read_bytes()[:-1])
    result = call("verify", url)
    assert result.exit_code == 1
    assert f"damaged: {url}: instance v1: " in result.output
    # Without the index of a shard of several, it is unknown which of them are done.
    what = "2 of 3 instances done, 1 damaged" if per_shard == 1 else "3 of 3 instances done, 3 dam"
    assert f"{url}: {what}" in result.output
    store.shard("v1").unlink()
    what = "1 of 3 instances done, sound" if per_shard == 1 else "0 of 3 instances done, sound"
    assert f"{url}: {what}; its files" in call("verify", url).output
    result = call("list", site.url)
    assert result.exit_code == 1 and "cannot be read" in result.output


def test_a_listing_of_something_else_is_not_taken_for_one(
    site: Site, store: CoalitionStore
) -> None:
    (Path(store.path) / "values" / "index.html").write_text("<p>nothing to see</p>")
    behind = open_store(f"{site.url}/frames/trn.zarr")
    with pytest.raises(UnreachableStore, match="cannot be listed"):
        behind.done()
    np.testing.assert_array_equal(behind.read("v1"), value_of("v1"))


def test_show_and_list_by_url(url: str, store: CoalitionStore) -> None:
    size = sum(p.stat().st_size for p in Path(store.path).rglob("*") if p.is_file())
    here = json.loads(call("show", store.path, "--json").output)
    there = json.loads(call("show", url, "--json").output)
    assert there == {**here, "path": url} and there["bytes"] == size
    root = url.removesuffix("/frames/trn.zarr")
    by_name = call("show", "frames/trn", "--root", root, "--json")
    assert json.loads(by_name.output) == there
    assert "2 done of 3" in call("show", url).output
    result = call("list", root)
    assert result.exit_code == 0
    assert "frames/trn " in result.output and "2/3" in result.output
    for asked in (root, f"{root}/"):
        assert json.loads(call("list", asked, "--json").output) == [there]
    result = call("verify", "--root", root)
    assert result.exit_code == 0 and f"{url}: 2 of 3 instances done, sound" in result.output


NO_SERVER = "http://127.0.0.1:9/trn.zarr"


@pytest.mark.parametrize(
    ("url", "kind", "match"),
    [
        (NO_SERVER, UnreachableStore, "cannot be read: Cannot connect.*check the address"),
        ("http://host.invalid/x.zarr", UnreachableStore, "cannot be read"),
        ("memory://nothing/trn.zarr", InputError, "no zarr group there"),
        ("s3://bucket/trn.zarr", InputError, "not installed: Install s3fs.*uv sync --extra s3"),
        ("gs://bucket/trn.zarr", InputError, "not installed: Please install gcsfs.*pip install"),
        ("nonsense://x/trn.zarr", InputError, "not a URL that can be read.*nonsense"),
        ("https://", InputError, "names no place"),
        ("s3://", InputError, "names no place"),
    ],
)
def test_urls_without_a_store(
    url: str, kind: type[InputError], match: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in ("s3fs", "gcsfs"):
        monkeypatch.setitem(sys.modules, package, None)
    for protocol in ("s3", "gs"):
        # fsspec keeps what it has imported.
        loaded = sys.modules["fsspec.registry"]._registry
        monkeypatch.delitem(loaded, protocol, raising=False)
    with pytest.raises(kind, match=match) as caught:
        open_store(url)
    assert str(caught.value).startswith(url)
    assert not isinstance(caught.value, DamagedStore)
    for command in ("show", "verify"):
        assert_refused(f"{re.escape(url)}.*{match}", command, url)
    assert_refused(re.escape(url), "list", url)


def assert_refused(match: str, *arguments: str | Path) -> None:
    """A command says in one line what is wrong."""
    result = call(*arguments, width=400)
    assert result.exit_code == 1
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert re.search(match, result.output), result.output
    assert result.output.count("\n") == 1
    assert "damaged" not in result.output


@pytest.mark.usefixtures("per_shard")
@pytest.mark.parametrize("status", [401, 403, 500])
def test_a_server_that_refuses(site: Site, store: CoalitionStore, status: int) -> None:
    site.failing, site.status = {""}, status
    url = f"{site.url}/frames/trn.zarr"
    for arguments in (
        ("show", url),
        ("show", "frames/trn", "--root", site.url),
        ("verify", url),
        ("verify", "frames/trn", "--root", site.url),
        ("list", site.url),
        ("export", url, "--instance", "v0", "--output", "cat", "--shapiq", "game.npz"),
    ):
        assert_refused(f"cannot be read: {status}.*check the address", *arguments)


def test_no_server_is_not_a_missing_store() -> None:
    assert_refused("cannot be read: Cannot connect", "show", "frames/trn", "--root", NO_SERVER)


@pytest.fixture
def in_bucket(service: s3.Service, store: CoalitionStore) -> str:
    """URL of a bucket with the store."""
    bucket = service.bucket()
    service.put(store.path, f"{bucket}/frames/trn.zarr")
    return f"s3://{bucket}"


@pytest.fixture
def reconnecting() -> Iterator[None]:
    """Connections are made with the variables of this test."""
    s3.forget_connections()
    yield
    s3.forget_connections()


def test_s3_has_no_such_store(in_bucket: str) -> None:
    assert_refused("no zarr group there", "show", f"{in_bucket}/frames/tnr.zarr")
    assert_refused("no zarr group there", "verify", "s3://no-such-bucket/trn.zarr")
    assert_refused("frames/tnr: no store there", "show", "frames/tnr", "--root", in_bucket)
    assert_refused("no directory that can be listed", "list", f"{in_bucket}/none")
    assert_refused("no directory that can be listed", "list", "s3://no-such-bucket")
    assert_refused("cannot be read: .*Invalid bucket name", "show", "s3://No Bucket/trn.zarr")


def test_s3_that_refuses(in_bucket: str, service: s3.Service) -> None:
    service.forbidden = {"HEAD", "GET"}
    store = f"{in_bucket}/frames/trn.zarr"
    for arguments in (("show", store), ("verify", store), ("list", in_bucket)):
        assert_refused("cannot be read: (Forbidden|Access Denied); check.*your rights", *arguments)
    assert_refused("cannot be read: Forbidden", "show", "frames/trn", "--root", in_bucket)


@pytest.mark.parametrize(
    ("variables", "match"),
    [
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "Could not connect to the endpoint URL"),
        ({"AWS_ENDPOINT_URL": "nonsense"}, "Invalid endpoint: nonsense"),
        ({"AWS_PROFILE": "nobody"}, "profile .nobody. could not be found"),
        (
            {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""},
            "Unable to locate credentials; set AWS_ACCESS_KEY_ID.* FSSPEC_S3_ANON=true",
        ),
    ],
)
def test_s3_that_is_set_up_wrongly(
    service: s3.Service,
    variables: dict[str, str],
    match: str,
    reconnecting: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in variables.items():
        if value:
            monkeypatch.setenv(name, value)
        else:
            monkeypatch.delenv(name)
    for command in ("show", "verify"):
        assert_refused(f"cannot be read: .*{match}", command, "s3://bucket/frames/trn.zarr")


def test_a_public_bucket_needs_no_credentials(
    service: s3.Service,
    store: CoalitionStore,
    reconnecting: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bucket = service.bucket(public=True)
    service.put(store.path, f"{bucket}/trn.zarr", ACL="public-read")
    s3.forget_connections()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    # fsspec reads its variables when it is imported.
    monkeypatch.setitem(fsspec.config.conf, "s3", {"anon": "true"})
    assert "2 done of 3" in call("show", f"s3://{bucket}/trn.zarr").output


@pytest.mark.usefixtures("per_shard")
def test_s3_whose_files_may_not_be_listed(in_bucket: str, service: s3.Service) -> None:
    service.forbidden = {f"GET /{in_bucket.removeprefix('s3://')}?list-type"}
    url = f"{in_bucket}/frames/trn.zarr"
    assert "unknown done of 3" in call("show", url).output
    np.testing.assert_array_equal(open_store(url).read("v1"), value_of("v1"))


def test_showing_takes_as_many_requests_for_many_instances(
    site: Site, service: s3.Service, tmp_path: Path
) -> None:
    bucket, counts = service.bucket(), []
    for count in (3, MOST_SIZES_ASKED + 20):
        names = [f"v{i}" for i in range(count)]
        store = plan(tmp_path / f"frames/of-{count}.zarr", RECORD, names, names)
        for name in names:
            store.write(name, value_of(name))
        place = f"{bucket}/{count}.zarr"
        service.put(store.path, place)
        service.requests.clear()
        assert f"{count} done of {count}" in call("show", f"s3://{place}").output
        in_bucket = len(service.requests)
        site.requests = 0
        output = call("show", f"{site.url}/frames/of-{count}.zarr").output
        assert f"{count} done of {count}" in output
        counts.append((in_bucket, site.requests))
    (_, sizes_too), few = counts
    assert few[0] == counts[0][0] <= 13
    assert few[1] <= 9 < sizes_too
    assert re.search(r"size on disk +unknown", output)


@pytest.mark.parametrize("kept", [0, 1, 30])
def test_truncated_shards_behind_a_url(
    per_shard: int, kept: int, url: str, store: CoalitionStore, publish: Publish
) -> None:
    path = store.shard("v1")
    path.write_bytes(path.read_bytes()[:kept])
    publish(store, url)
    behind = open_store(url)
    damaged = [damage.instance for damage in verify(behind)]
    assert damaged == (["v1"] if per_shard == 1 else NAMES)
    with pytest.raises(DamagedShard, match="'v1'"):
        behind.read("v1")


@pytest.mark.parametrize("status", [416, 500])
def test_a_server_that_sends_no_part_of_an_empty_shard(
    per_shard: int, site: Site, store: CoalitionStore, status: int
) -> None:
    behind = open_store(f"{site.url}/frames/trn.zarr")
    site.failing, site.status = {"c.0.0.0"}, status
    if per_shard > 1 and status == 416:
        # Its instances count as done, so that verification reads them.
        assert behind.done_in(0).all()
    else:
        with pytest.raises(UnreachableStore, match=str(status)):
            behind.done_in(0)


def test_a_damaged_instance_among_many_is_found_in_few_requests(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.store.planning.instances_per_shard", lambda *_: 100)
    names = [f"v{i}" for i in range(400)]
    store = plan(tmp_path / "frames/of-400.zarr", RECORD, names, names)
    store.write_many({i: value_of(name) for i, name in enumerate(names)})
    behind = open_store(f"{site.url}/frames/of-400.zarr")
    path, (chunk,) = store.shard("v234"), store.chunks_of("v234")
    path.write_bytes(path.read_bytes().replace(chunk, chunk[::-1], 1))
    site.requests = 0
    (damage,) = verify(behind)
    assert damage.instance == "v234"
    assert site.requests < 50


@pytest.mark.parametrize("several", [1, 4])
def test_verifying_reads_several_shards_at_once(
    several: int, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = "pipeline.store.planning.instances_per_shard"
    monkeypatch.setattr(module, lambda *_: several)
    names = [f"v{i}" for i in range(23)]
    store = plan(tmp_path / "frames/of-23.zarr", RECORD, names, names)
    store.write_many({i: value_of(name) for i, name in enumerate(names) if i != 9})
    behind, groups = open_store(f"{site.url}/frames/of-23.zarr"), []
    read = behind.read_many
    monkeypatch.setattr(behind, "read_many", lambda some: groups.append(len(some)) or read(some))
    for site.listing in (True, False):
        groups.clear()
        found = examine(behind)
        assert (found.damages, found.done, found.listed) == ([], 22, site.listing)
        # Only an index tells which are done where nothing is listed.
        assert groups == [23 if several == 1 and not site.listing else 22]


def test_xarray_opens_a_store_by_its_url(url: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        data = xarray.open_zarr(url)
    assert data["values"].dims == ("instance", "coalition", "output")
    assert data["instance"].values.tolist() == NAMES
    np.testing.assert_array_equal(data["values"][1], value_of("v1"))
    assert np.isnan(data["values"][2]).all()


@pytest.mark.usefixtures("per_shard")
def test_a_game_is_exported_from_a_url(url: str, tmp_path: Path) -> None:
    target = tmp_path / "game.npz"
    given = ("--instance", "v1", "--output", "dog", "--shapiq")
    result = call("export", url, *given, target)
    assert result.exit_code == 0
    with np.load(target) as file:
        np.testing.assert_array_equal(file["values"], value_of("v1")[:, 1].astype(float))


def test_nothing_is_written_to_a_url(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "here"
    place.mkdir()
    monkeypatch.chdir(place)
    match = "must be on a disk; URLs .* are only read"
    given = ("--instance", "v1", "--output", "dog", "--shapiq")
    assert_refused(match, "export", url, *given, f"{url}/game.npz")
    assert_refused(match, "import", "mine/games", "game.npz", "--root", url)
    assert_refused(match, "import", "mine/games", f"{url}/game.npz")
    assert_refused(match, "prune", "--root", url)
    assert_refused(match, "prune", "--receipts", url)
    with pytest.raises(InputError, match=match):
        plan(url, RECORD, NAMES, NAMES)
    assert not [*place.iterdir()]


def test_lost_masks_behind_a_url(url: str, store: CoalitionStore, publish: Publish) -> None:
    record = replace(RECORD, n_coalitions=2)
    masks = np.array([[0, 3], [5, 7], [0, 0]], dtype=np.uint64)
    shutil.rmtree(store.path)
    sampled = plan(store.path, record, NAMES, NAMES, masks=masks)
    publish(sampled, url)
    behind = open_store(url)
    assert verify(behind) == []
    np.testing.assert_array_equal([behind.masks(name) for name in NAMES], masks)
    for name in ("v1", "v2"):
        sampled.shard(name, "masks").unlink()
    publish(sampled, url)
    assert [damage.instance for damage in verify(open_store(url))] == ["v1", "v2"]
    with pytest.raises(DamagedShard, match=r"'v2'.*is gone; copy it there again"):
        behind.masks("v2")


def test_a_site_without_that_store(site: Site) -> None:
    with pytest.raises(InputError, match="no zarr group there"):
        open_store(f"{site.url}/frames/tnr.zarr")
    result = call("show", "frames/tnr", "--root", site.url)
    assert result.exit_code == 1 and "frames/tnr: no store there" in result.output
    result = call("list", f"{site.url}/none")
    assert result.exit_code == 1 and "no directory that can be listed" in result.output
    assert "no stores" in call("list", site.url).output
