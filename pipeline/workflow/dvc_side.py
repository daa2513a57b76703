"""What DVC knows of results, by content: digests, ``dvc.lock``, its cache and its run cache.

All that is used of DVC beyond its documented interface is used here alone, and each has a test that
says what a new release has moved. Nothing here takes DVC's locks on paths: a stage's command, which
asks here, runs while DVC itself holds them.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.core.errors import InputError
from pipeline.workflow.units import Params


@dataclass(frozen=True)
class Making:
    """How the results of a stage, or of a part of it, were made."""

    params: Params
    deps: Mapping[str, str | None]
    """digest by path; None where nothing is"""
    outs: Mapping[str, str | None]


class DvcUnavailable(Exception):  # noqa: N818
    """DVC is not there, or cannot be used here."""


class Dvc:
    """DVC's knowledge of the working directory, which holds ``dvc.yaml``."""

    def __init__(self) -> None:
        """Open the repository. Raises DvcUnavailable."""
        try:
            from dvc.exceptions import DvcException  # noqa: PLC0415  takes a second to load
            from dvc.repo import Repo  # noqa: PLC0415
        except ImportError as error:
            raise DvcUnavailable("DVC is not installed") from error
        logging.getLogger("dvc").setLevel(logging.WARNING)
        try:
            self._repo: Any = Repo(str(Path.cwd()))
            loaded = self._repo.stage.load_all("dvc.yaml")
        except DvcException as error:
            raise DvcUnavailable(str(error)) from error
        self._stages: dict[str, Any] = {stage.name: stage for stage in loaded}
        self._digests: dict[str, str | None] = {}

    def close(self) -> None:
        """Let go of DVC's data bases."""
        self._repo.close()

    def digest(self, path: str) -> str | None:
        """Digest of a file or folder as DVC computes it; None if nothing is there.

        It is computed once, and again after :meth:`forget`.
        """
        if path not in self._digests:
            self._digests[path] = self._digest_now(path)
        return self._digests[path]

    def _digest_now(self, path: str) -> str | None:
        from dvc_data.hashfile.build import build  # noqa: PLC0415

        place = Path.cwd() / path
        if not place.exists():
            return None
        cache, files, ignored = self._repo.cache.local, self._repo.fs, self._repo.dvcignore
        _, _, found = build(cache, str(place), files, "md5", ignore=ignored, dry_run=True)
        return str(found.hash_info.value)

    def take_for(self, path: str, digest: str | None) -> None:
        """Take a path for one of this digest, whatever is there."""
        self._digests[path] = digest

    def forget(self, path: str) -> None:
        """Have a path that was made anew digested again."""
        self._digests.pop(path, None)

    def locked(self, name: str) -> Making | None:
        """What ``dvc.lock`` says of a stage, if it does."""
        entry = self._lock_entry(name)
        return _making(entry) if entry else None

    def _lock_entry(self, name: str) -> Any:
        if name not in self._stages:
            return None
        return self._stages[name].dvcfile._lockfile.load().get("stages", {}).get(name)

    def kept(self, name: str, params: Params) -> Making | None:
        """An earlier making from the same inputs and values, if DVC's cache has all of it."""
        entry = self._entry(name, params)
        return _making(entry) if entry else None

    def _entry(self, name: str, params: Params) -> Any:
        stage = self._stages.get(name)
        deps = {} if stage is None else self._deps(stage)
        if stage is None or None in deps.values():
            return None
        for entry in (self._lock_entry(name), self._run_cache_entry(stage, params, deps)):
            found = _making(entry) if entry else None
            is_same = found is not None and (found.params, found.deps) == (params, deps)
            if is_same and self._cached(stage, entry).outs_cached():
                return entry
        return None

    def restore(self, name: str, making: Making) -> None:
        """Put what :meth:`kept` found in its place.

        A store that is there is set aside, with its values.
        """
        from pipeline.store.planning import drop_redundant, set_aside  # noqa: PLC0415  zarr is slow to load

        entry = self._entry(name, making.params)
        with self._holding():
            for out in self._cached(self._stages[name], entry).outs:
                wanted = making.outs[out.def_path]
                if self.digest(out.def_path) == wanted:
                    continue
                is_store = out.def_path.endswith(".zarr")
                if is_store:
                    set_aside(out.fs_path)
                out.checkout(force=True)
                if is_store:
                    drop_redundant(out.fs_path)
                self.take_for(out.def_path, wanted)

    def save(self, name: str, params: Params, *, into_lock: bool) -> None:
        """Keep a stage's results in the cache, and how they were made.

        Args:
            name: the stage.
            params: the values that it was made with.
            into_lock: say so in ``dvc.lock`` too. Otherwise only the run cache knows of it.
        """
        stage = self._stages[name]
        with self._holding():
            _fill(stage, params, self._deps(stage))
            for out in stage.outs:
                out.save()
                self.take_for(out.def_path, out.hash_info.value)
            stage.md5 = stage.compute_md5()
            for out in stage.outs:
                # Put back as a link, a file saves its space; as a copy, it would only be newer.
                links = self._repo.cache.local.cache_types[:1]
                out.commit(relink=links in (["hardlink"], ["symlink"]))
            with _as_if_removable(stage):
                self._repo.stage_cache.save(stage)
            if into_lock:
                stage.dump(update_pipeline=False)

    def is_cached(self, file: Path) -> bool:
        """Whether a file's content is in DVC's cache."""
        return bool(self._repo.cache.local.exists(self._digest_now(str(file))))

    def _deps(self, stage: Any) -> dict[str, str | None]:
        paths = [dep.def_path for dep in stage.deps if dep.hash_name != "params"]
        return {path: self.digest(path) for path in paths}

    def _run_cache_entry(self, stage: Any, params: Params, deps: Mapping[str, str | None]) -> Any:
        _fill(stage, params, deps)
        with _as_if_removable(stage):
            return self._repo.stage_cache._load(stage)

    def _cached(self, stage: Any, entry: Any) -> Any:
        return self._repo.stage_cache._create_stage(entry, wdir=stage.wdir)

    @contextmanager
    def _holding(self) -> Iterator[None]:
        from dvc.exceptions import DvcException  # noqa: PLC0415
        from dvc.lock import LockError  # noqa: PLC0415

        try:
            self._repo.lock.lock()
        except LockError as error:
            raise InputError(
                f"DVC is at work in {Path.cwd()}; wait until it has finished ({error})"
            ) from error
        try:
            yield
        except DvcException as error:
            raise DvcUnavailable(str(error)) from error
        finally:
            self._repo.lock.unlock()


def _fill(stage: Any, params: Params, deps: Mapping[str, str | None]) -> None:
    """Tell a stage the values of its parameters and the digests of its inputs."""
    from dvc_data.hashfile.hash_info import HashInfo  # noqa: PLC0415

    for dep in stage.deps:
        if dep.hash_name == "params":
            # DVC itself keeps values where its types say a digest.
            values: Any = dict(params[dep.def_path])
            dep.hash_info = HashInfo("params", values)
        else:
            dep.hash_info = HashInfo("md5", deps[dep.def_path])


@contextmanager
def _as_if_removable(stage: Any) -> Iterator[None]:
    """DVC's run cache passes over stages with outputs that persist."""
    persistent = [out for out in stage.outs if out.persist]
    for out in persistent:
        out.persist = False
    try:
        yield
    finally:
        for out in persistent:
            out.persist = True


def _making(entry: Mapping[str, Any]) -> Making:
    deps = {dep["path"]: dep.get("md5") for dep in entry.get("deps", [])}
    outs = {out["path"]: out.get("md5") for out in entry.get("outs", [])}
    return Making(entry.get("params", {}), deps, outs)
