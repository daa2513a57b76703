"""What DVC knows of results, by content: digests, ``dvc.lock``, its cache and its run cache.

All that is used of DVC beyond its documented interface is used here, and each name has a test that
says what a new release has moved. Nothing here takes DVC's locks on paths: a stage's command, which
asks here, runs while DVC itself holds them.
"""

import logging
from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.core.errors import InputError
from pipeline.workflow.units import Params


@dataclass(frozen=True)
class Making:
    """How the results of a stage, or of one job of it, were made."""

    params: Params
    deps: Mapping[str, str | None]
    """digest by path; None where nothing is"""
    outs: Mapping[str, str | None]


class DvcUnavailable(InputError):  # noqa: N818
    """DVC is not there, or cannot be used here."""


@contextmanager
def _unavailable() -> Iterator[None]:
    """Turn DVC's errors into DvcUnavailable."""
    try:
        from dvc.exceptions import DvcException  # noqa: PLC0415
    except ImportError:
        raise DvcUnavailable("DVC is not installed") from None
    try:
        yield
    except DvcException as error:
        raise DvcUnavailable(f"{error} (DVC, in {Path.cwd()})") from error


class Dvc:
    """DVC's knowledge of the working directory, which holds ``dvc.yaml``."""

    def __init__(self, *, without: Container[str]) -> None:
        """Open the repository. Raises DvcUnavailable.

        Args:
            without: stages that ``dvc.yaml`` does not list as it should: nothing is kept of them.
        """
        logging.getLogger("dvc").setLevel(logging.WARNING)
        with _unavailable():
            from dvc.repo import Repo  # noqa: PLC0415  takes a second to load

            self._repo: Any = Repo(str(Path.cwd()))
            loaded = self._repo.stage.load_all("dvc.yaml")
            # Once: it takes DVC a moment to read.
            lock = loaded[0].dvcfile._lockfile.load() if loaded else {}
        self._stages: dict[str, Any] = {
            stage.name: stage for stage in loaded if stage.name not in without
        }
        self._lock: dict[str, Any] = lock.get("stages", {})
        self._digests: dict[str, str | None] = {}
        self._sizes: dict[str, Any] = {}

    def close(self) -> None:
        """Let go of DVC's data bases."""
        self._repo.close()

    def digest(self, path: str) -> str | None:
        """Digest of a file or folder as DVC computes it; None if nothing is there. It is kept."""
        from dvc_data.hashfile.build import build  # noqa: PLC0415

        if path not in self._digests:
            place, found = Path.cwd() / path, None
            if place.exists():
                cache, files, ignored = self._repo.cache.local, self._repo.fs, self._repo.dvcignore
                built = build(cache, str(place), files, "md5", ignore=ignored, dry_run=True)
                self._sizes[path], found = built[1], built[2].hash_info.value
            self._digests[path] = found
        return self._digests[path]

    def take_for(self, path: str, digest: str | None) -> None:
        """Take a path for one of this digest, whatever is there."""
        self._digests[path] = digest

    def forget(self, path: str) -> None:
        """Have a path that was made again digested again."""
        self._digests.pop(path, None)

    def locked(self, name: str) -> Making | None:
        """What ``dvc.lock`` says of a stage, if it does."""
        entry = self._lock.get(name)
        return _making(entry) if entry else None

    def kept(self, name: str, params: Params) -> Making | None:
        """An earlier making from the same inputs and values, if DVC's cache has all of it."""
        entry = self._entry(name, params)
        return _making(entry) if entry else None

    def _entry(self, name: str, params: Params) -> Any:
        stage = self._stages.get(name)
        if stage is None or None in (deps := self._deps(stage)).values():
            return None
        self._fill(stage, params, deps)
        with _as_if_removable(stage):
            in_run_cache = self._repo.stage_cache._load(stage)
        for entry in filter(None, (self._lock.get(name), in_run_cache)):
            found = _making(entry)
            is_same = (found.params, found.deps) == (params, deps)
            if is_same and self._cached(stage, entry).outs_cached():
                return entry
        return None

    def _deps(self, stage: Any) -> dict[str, str | None]:
        paths = [dep.def_path for dep in stage.deps if dep.hash_name != "params"]
        return {path: self.digest(path) for path in paths}

    def _fill(self, stage: Any, params: Params, deps: Mapping[str, str | None]) -> None:
        """Tell a stage the values of its parameters, and the digests and sizes of its inputs."""
        from dvc_data.hashfile.hash_info import HashInfo  # noqa: PLC0415
        from dvc_data.hashfile.meta import Meta  # noqa: PLC0415

        for dep in stage.deps:
            # What DVC knows of it from dvc.lock holds its digest, too, and would be written again.
            dep.meta = self._sizes.get(dep.def_path) or Meta()
            if dep.hash_name == "params":
                # DVC itself keeps values where its types say a digest.
                values: Any = dict(params.get(dep.def_path, {}))
                dep.hash_info = HashInfo("params", values)
            else:
                dep.hash_info = HashInfo("md5", deps[dep.def_path])

    def _cached(self, stage: Any, entry: Any) -> Any:
        return self._repo.stage_cache._create_stage(entry, wdir=stage.wdir)

    def restore(self, name: str, kept: Making) -> None:
        """Put what :meth:`kept` found in its place; a store that is there is set aside."""
        from pipeline.store.planning import drop_redundant, set_aside  # noqa: PLC0415  zarr is slow

        entry = self._entry(name, kept.params)
        with _unavailable(), self._repo.lock:
            for out in self._cached(self._stages[name], entry).outs:
                wanted = kept.outs[out.def_path]
                if self.digest(out.def_path) == wanted:
                    continue
                is_store = out.def_path.endswith(".zarr")
                if is_store:
                    set_aside(out.fs_path)
                out.checkout(force=True)
                if is_store:
                    drop_redundant(out.fs_path)
                self.take_for(out.def_path, wanted)
                self._sizes[out.def_path] = out.meta

    def save(self, name: str, params: Params, *, into_lock: bool) -> None:
        """Keep a stage's results in the cache, and how they were made in the run cache.

        With ``into_lock`` ``dvc.lock`` says so, too. Stages that ``dvc.yaml`` does not list as it
        should are passed over.
        """
        stage = self._stages.get(name)
        if stage is None:
            return
        with _unavailable(), self._repo.lock:
            self._fill(stage, params, self._deps(stage))
            for out in stage.outs:
                out.save()
                self.take_for(out.def_path, out.hash_info.value)
                self._sizes[out.def_path] = out.meta
            stage.md5 = stage.compute_md5()
            for out in stage.outs:
                # Put back as a link, a file saves its space; as a copy, it would only be newer.
                links = self._repo.cache.local.cache_types[:1]
                out.commit(relink=links in (["hardlink"], ["symlink"]))
            with _as_if_removable(stage):
                self._repo.stage_cache.save(stage)
            if into_lock:
                stage.dump(update_pipeline=False)


@contextmanager
def _as_if_removable(stage: Any) -> Iterator[None]:
    """DVC's run cache passes over stages with outputs that persist."""
    for out in stage.outs:
        out.persist = False
    try:
        yield
    finally:
        for out in stage.outs:
            out.persist = True


def _making(entry: Mapping[str, Any]) -> Making:
    deps = {dep["path"]: dep.get("md5") for dep in entry.get("deps", [])}
    outs = {out["path"]: out.get("md5") for out in entry.get("outs", [])}
    return Making(entry.get("params", {}), deps, outs)
