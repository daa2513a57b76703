"""An S3 service on this computer, by moto, which notes and can refuse requests."""

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import s3fs
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

KEY, SECRET = "somebody", "secret"


@dataclass
class Service:
    """An S3 service."""

    url: str = ""
    requests: list[str] = field(default_factory=list)
    """Method and address of every request."""
    forbidden: set[str] = field(default_factory=set)
    """Beginnings of requests that are answered by 403."""
    buckets: int = 0

    def bucket(self, *, public: bool = False) -> str:
        """A new bucket's name. ``public``: what is put there can be read without credentials."""
        self.buckets += 1
        name = f"bucket-{self.buckets}"
        self._files().mkdir(name, acl="public-read" if public else "private")
        return name

    def put(self, folder: str | Path, place: str, **more: str) -> None:
        """Make a place in a bucket hold exactly what a folder holds.

        ``more``: arguments of the service, such as ``ACL``.
        """
        files = self._files()
        if files.exists(place):
            files.rm(place, recursive=True)
        files.put(f"{folder}/", f"{place}/", recursive=True, **more)

    def _files(self) -> s3fs.S3FileSystem:
        return s3fs.S3FileSystem(
            endpoint_url=self.url, key=KEY, secret=SECRET, use_listings_cache=False
        )


@contextmanager
def serving() -> Iterator[Service]:
    service = Service()
    moto = DomainDispatcherApplication(create_backend_app)

    def answer(environ, start_response):
        query = f"?{environ['QUERY_STRING']}" if environ["QUERY_STRING"] else ""
        request = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}{query}"
        service.requests.append(request)
        if not request.startswith(tuple(service.forbidden)):
            return moto(environ, start_response)
        text = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
        start_response("403 Forbidden", [("Content-Length", str(len(text)))])
        return [b"" if request.startswith("HEAD") else text]

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server("127.0.0.1", 0, answer, threaded=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    service.url = f"http://127.0.0.1:{server.server_port}"
    yield service
    forget_connections()
    server.shutdown()
    server.server_close()
    thread.join()


def use(service: Service, patch: pytest.MonkeyPatch, folder: Path) -> None:
    """Set the variables by which users choose a service and say who they are.

    ``folder``: an empty one, for files in which they may say so instead.
    """
    settings = folder / "settings"
    settings.touch()
    for name in [*os.environ]:
        if name.startswith(("AWS_", "FSSPEC_")):
            patch.delenv(name)
    for name, value in {
        "AWS_ENDPOINT_URL": service.url,
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": str(settings),
        "AWS_SHARED_CREDENTIALS_FILE": str(settings),
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_MAX_ATTEMPTS": "1",
        "NO_PROXY": "127.0.0.1",
    }.items():
        patch.setenv(name, value)
    service.requests.clear()
    service.forbidden.clear()


def forget_connections() -> None:
    """Let fsspec connect anew, with the variables as they are then."""
    s3fs.S3FileSystem.clear_instance_cache()
