"""What DVC knows of how results were made, by the content of files.

A stage's *making* is: the values of its parameters, what it was made from, what came out, each file
by its digest. DVC keeps the last one in ``dvc.lock``, earlier ones in its run cache, and the files
in its cache. Nothing here takes DVC's locks on paths: a stage's command, which asks here, runs
while DVC itself holds them.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.core.errors import InputError
from pipeline.workflow.tracking import VERSIONS, Tracked

log = logging.getLogger(__name__)

Values = Mapping[str, Mapping[str, Any]]
"""Values of parameters by their dotted names, by file."""

PARAMS_FILE = "params.yaml"


@dataclass(frozen=True)
class Making:
    """How some files were made."""

    params: Values
    deps: Mapping[str, str | None]
    """digest by path; None where nothing is"""
    outs: Mapping[str, str | None]


class MakingsUnavailable(Exception):  # noqa: N818
    """DVC is not there, or cannot be used here."""


class Makings:
    """DVC's knowledge of one folder, which holds ``dvc.yaml``."""

    def __init__(self, stages: Mapping[str, Tracked]) -> None:
        """Open the working directory's DVC repository; raises MakingsUnavailable."""
        try:
            from dvc.exceptions import DvcException  # noqa: PLC0415  not needed without DVC
            from dvc.repo import Repo  # noqa: PLC0415
        except ImportError as error:
            raise MakingsUnavailable("DVC is not installed") from error
        try:
            logging.getLogger("dvc").setLevel(logging.WARNING)
            self._repo: Any = Repo(str(Path.cwd()))
            loaded = self._repo.stage.load_all("dvc.yaml")
        except DvcException as error:
            raise MakingsUnavailable(str(error)) from error
        self._stages: dict[str, Any] = {s.name: s for s in loaded if s.name in stages}
        self._locked = {name: _locked(self._stages[name]) for name in self._stages}
        self._digests: dict[str, str | None] = {}

    def close(self) -> None:
        """Let go of DVC's data bases."""
        self._repo.close()

    def misfit(self, stages: Mapping[str, Tracked], commands: Mapping[str, str]) -> str | None:
        """The first stage that ``dvc.yaml`` lists otherwise or not at all, if there is one."""
        for name, tracked in stages.items():
            stage = self._stages.get(name)
            if stage is None or stage.cmd != commands[name]:
                return name
            deps = {d.def_path for d in stage.deps if d.hash_name != "params"}
            outs = {out.def_path for out in stage.outs if out.persist}
            params = {
                (d.def_path, name)
                for d in stage.deps
                if d.hash_name == "params"
                for name in d.params
            }
            if deps != set(tracked.deps) or outs != set(tracked.outs):
                return name
            ours = {(PARAMS_FILE, p) for p in tracked.params}
            if params != ours | {(VERSIONS, v) for v in tracked.versions}:
                return name
        return None

    def locked(self, name: str) -> Making | None:
        """What ``dvc.lock`` says of a stage."""
        return self._locked[name]

    def present(self, name: str, params: Values) -> Making:
        """What a stage's files are now, with the values that it would be made with now."""
        stage = self._stages[name]
        deps = {d.def_path: self._digest(d) for d in stage.deps if d.hash_name != "params"}
        return Making(params, deps, {out.def_path: self._digest(out) for out in stage.outs})

    def _digest(self, item: Any) -> str | None:
        path = item.def_path
        if path not in self._digests:
            self._digests[path] = item.get_hash().value if item.exists else None
        return self._digests[path]

    def kept(self, name: str, now: Making) -> Making | None:
        """An earlier making from the same files and values, if DVC's cache has all of it."""
        stage = self._stages[name]
        locked = self._locked[name]
        if locked is not None and (locked.params, locked.deps) == (now.params, now.deps):
            cached = self._cached_stage(stage, _lock_entry(stage))
            if cached.outs_cached():
                return locked
        entry = self._run_cache_entry(stage, now)
        if entry is None or not self._cached_stage(stage, entry).outs_cached():
            return None
        return Making(now.params, now.deps, _outs_of(entry))

    def restore(self, name: str, making: Making) -> None:
        """Put what :meth:`kept` found back in its place.

        A store that stands there is set aside, with its values.
        """
        from pipeline.store.planning import drop_redundant, set_aside  # noqa: PLC0415  zarr takes time to load

        stage = self._stages[name]
        entry = self._run_cache_entry(stage, making)
        if making == self._locked[name]:
            entry = _lock_entry(stage)
        with self._locked_repo():
            for out in self._cached_stage(stage, entry).outs:
                if self._digests.get(out.def_path) == making.outs[out.def_path]:
                    continue
                is_store = out.def_path.endswith(".zarr")
                if is_store:
                    set_aside(out.fs_path)
                out.checkout(force=True)
                if is_store:
                    drop_redundant(out.fs_path)
                self._digests[out.def_path] = making.outs[out.def_path]

    def save(self, name: str, params: Values, *, into_lock: bool) -> Making:
        """Keep a stage's files in the cache, and how they were made.

        Args:
            name: the stage.
            params: the values that it was made with.
            into_lock: say so in ``dvc.lock`` too. Otherwise only the run cache knows of it.
        """
        stage = self._stages[name]
        with self._locked_repo():
            self._fill(stage, params)
            for out in stage.outs:
                out.save()
                self._digests[out.def_path] = out.hash_info.value
            stage.md5 = stage.compute_md5()
            for out in stage.outs:
                # Put back as a link, a file saves its space; as a copy, it would only be newer.
                links = self._repo.cache.local.cache_types[:1]
                out.commit(relink=links in (["hardlink"], ["symlink"]))
            with _as_if_removable(stage):
                self._repo.stage_cache.save(stage)
            made = _making_of(stage)
            if into_lock and made != self._locked[name]:
                stage.dump(update_pipeline=False)
                self._locked[name] = made
            return made

    @contextmanager
    def _locked_repo(self) -> Iterator[None]:
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
            raise MakingsUnavailable(str(error)) from error
        finally:
            self._repo.lock.unlock()

    def in_cache(self, file: Path) -> bool:
        """Whether a file's content is in DVC's cache."""
        from dvc_data.hashfile.hash import file_md5  # noqa: PLC0415

        return bool(self._repo.cache.local.exists(file_md5(str(file), self._repo.fs)))

    def _fill(self, stage: Any, params: Values) -> None:
        """Tell a stage the values of its parameters and the digests of what it is made from."""
        from dvc_data.hashfile.hash_info import HashInfo  # noqa: PLC0415

        for dep in stage.deps:
            if dep.hash_name == "params":
                # DVC itself keeps values where its types say a digest.
                values: Any = dict(params[dep.def_path])
                dep.hash_info = HashInfo("params", values)
            else:
                dep.save()

    def _run_cache_entry(self, stage: Any, now: Making) -> Any:
        if None in now.deps.values():
            return None
        self._fill(stage, now.params)
        with _as_if_removable(stage):
            return self._repo.stage_cache._load(stage)

    def _cached_stage(self, stage: Any, entry: Any) -> Any:
        return self._repo.stage_cache._create_stage(entry, wdir=stage.wdir)


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


def _lock_entry(stage: Any) -> Any:
    return stage.dvcfile._lockfile.load().get("stages", {}).get(stage.name)


def _locked(stage: Any) -> Making | None:
    entry = _lock_entry(stage)
    if not entry:
        return None
    deps = {dep["path"]: dep.get("md5") for dep in entry.get("deps", [])}
    return Making(entry.get("params", {}), deps, _outs_of(entry))


def _making_of(stage: Any) -> Making:
    params = {d.def_path: d.hash_info.value for d in stage.deps if d.hash_name == "params"}
    deps = {d.def_path: d.hash_info.value for d in stage.deps if d.hash_name != "params"}
    return Making(params, deps, {out.def_path: out.hash_info.value for out in stage.outs})


def _outs_of(entry: Mapping[str, Any]) -> dict[str, str | None]:
    outs: Sequence[Mapping[str, Any]] = entry.get("outs", [])
    return {out["path"]: out.get("md5") for out in outs}


def versions_and(values: Mapping[str, Any], versions: Mapping[str, Any]) -> Values:
    """Values of parameters and of versions, by file, as DVC records them."""
    return {name: v for name, v in ((PARAMS_FILE, values), (VERSIONS, versions)) if v}
