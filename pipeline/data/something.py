"""The label files of Something-Something V2, and the paths of its clips.

Layout under a root directory: ``20bn-something-something-v2/<id>.webm`` (or ``.mp4``, or any other
suffix), and ``labels.json``, ``train.json``, ``validation.json`` and ``test.json`` in ``labels/``.
The older names (``something-something-v2-train.json``, in ``labels/`` or beside it) and gzipped
files are read too.
"""

import csv
import difflib
import gzip
import io
import json
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.core.errors import InputError

SPLITS = ("train", "validation", "test")
VIDEOS = "20bn-something-something-v2"
PARAMETER = "frames.dataset.root"

SUFFIXES = {
    *(".webm", ".mp4", ".avi", ".mkv", ".mov", ".m4v", ".mpg", ".mpeg", ".ts", ".flv", ".wmv"),
    *(".3gp", ".ogv", ".gif"),
}
"""Suffixes of videos, to distinguish them from other files of the same name."""


@dataclass(frozen=True, slots=True)
class Clip:
    """One row of a split.

    Attributes:
        id: the clip's id, unique within its split and safe as a file name.
        path: its video; ``<id>.webm`` if there is none.
        label: its class number, or None in a split without labels.
        caption: what happens in it, in words; empty without labels.
        template: the name of its class, without brackets; empty without labels.
    """

    id: str
    path: Path
    label: int | None
    caption: str
    template: str


def read_classes(root: str | Path) -> tuple[str, ...]:
    """Read the names of the classes: templates without brackets, in the order of their numbers.

    Raises:
        InputError: the file is missing, or :func:`classes_from` rejects it.
    """
    return classes_from(_find(Path(root), "labels"))


def classes_from(path: str | Path) -> tuple[str, ...]:
    """Read the names of the classes from a labels.json (or .json.gz), or a table of them.

    A table (.csv) has the columns ``name`` and ``id``, like Play Fair's.

    Raises:
        InputError: the file is missing or malformed, the numbers are not 0 to C - 1, or two classes
            have the same name once the brackets are gone.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: there is no such file of class names; give a labels.json")
    content = _class_table(path) if path.suffix.lower() == ".csv" else _parse(path)
    if not isinstance(content, dict) or not content:
        raise InputError(
            f"{path}: found {_kind(content)}; expected an object that maps at least one template"
            " to its class number"
        )
    by_number: dict[int, str] = {}
    template_of: dict[str, str] = {}
    for template, number in content.items():
        digits = isinstance(number, str) and number.isascii() and number.isdigit()
        # For very long strings of digits, Python's conversion raises an error of its own.
        if not digits or len(number) > 9:
            raise InputError(
                f"{path}: class {template!r} has the number {number!r}; expected digits in a"
                ' string, like "17"'
            )
        if int(number) in by_number:
            raise InputError(
                f"{path}: classes {by_number[int(number)]!r} and {template!r} both have the number"
                f" {number}; each number may be used once"
            )
        name = _without_brackets(template)
        if name in template_of:
            raise InputError(
                f"{path}: classes {template_of[name]!r} and {template!r} have the same name without"
                " brackets; each name may be used once"
            )
        template_of[name] = template
        by_number[int(number)] = name
    count = len(by_number)
    missing = sorted(set(range(count)) - by_number.keys())
    if missing:
        beyond = sorted(by_number.keys() - set(range(count)))
        raise InputError(
            f"{path}: {count} classes must be numbered 0 to {count - 1}; {missing[0]} is missing,"
            f" and {beyond[0]} ({by_number[beyond[0]]!r}) is out of range"
        )
    return tuple(by_number[number] for number in range(count))


def _class_table(path: Path) -> dict[str, str]:
    try:
        rows = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8")))
        if not {"name", "id"} <= set(rows.fieldnames or ()):
            raise InputError(f"{path}: has columns {rows.fieldnames}; expected name and id")
        names = [(row["name"], row["id"]) for row in rows]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as a table: {error}") from None
    twice = [name for name, count in Counter(name for name, _ in names).items() if count > 1]
    if twice:
        raise InputError(f"{path}: class {twice[0]!r} occurs twice; each name may be used once")
    return dict(names)


def read_split(root: str | Path, split: str) -> list[Clip]:
    """Read the clips of ``"train"``, ``"validation"`` or ``"test"``, in the order of the file.

    The list includes clips without a video; decoding them fails (see :func:`require_videos`).

    Raises:
        InputError: a file is missing or malformed, the split is empty, an id is repeated, not safe
            as a file name or has two videos, or a template has no class.
    """
    if split not in SPLITS:
        raise InputError(f"split {split!r} does not exist; choose one of {', '.join(SPLITS)}")
    root = Path(root)
    path = _find(root, split)
    rows = _parse(path)
    if not isinstance(rows, list):
        raise InputError(f"{path}: found {_kind(rows)}; expected an array of clips")
    if not rows:
        raise InputError(f"{path}: the split is empty; expected at least one clip")
    classes = read_classes(root)
    number_of = {template: number for number, template in enumerate(classes)}
    videos = video_files(root)
    clips: list[Clip] = []
    entry_of: dict[str, int] = {}
    for entry, row in enumerate(rows):
        where = f"{path}: entry {entry}"
        if not isinstance(row, dict):
            raise InputError(f"{where}: found {_kind(row)}; expected an object with an id")
        clip_id = _checked_id(_text(row, "id", where), where)
        where = f"{where} (id {clip_id!r})"
        if clip_id in entry_of:
            raise InputError(
                f"{where}: entry {entry_of[clip_id]} has the same id; ids must be unique"
            )
        entry_of[clip_id] = entry
        label, caption, template = None, "", ""
        if split != "test" or "template" in row:
            caption = _text(row, "label", where)
            template = _without_brackets(_text(row, "template", where))
            label = number_of.get(template)
            if label is None:
                raise InputError(
                    f"{where}: template {template!r} has no class{_nearest(template, classes)};"
                    " add it to the labels file or correct the entry"
                )
        clips.append(Clip(clip_id, video_of(clip_id, root, videos), label, caption, template))
    return clips


def is_plain_folder(root: Path) -> bool:
    """Whether a folder has neither labels nor a folder of videos, but videos itself."""
    labelled = any(path.exists() for path in _candidates(root, "labels"))
    if labelled or (root / VIDEOS).exists() or not root.is_dir():
        return False
    return any(path.suffix.lower() in SUFFIXES for path in root.iterdir())


def read_folder(root: Path) -> list[Clip]:
    """The videos of a folder without labels, in the order of their names.

    Raises InputError if two of them have the same name without suffix.
    """
    files = video_files(root)
    found = []
    for name, paths in files.items():
        if any(path.suffix.lower() in SUFFIXES for path in paths):
            found.append(Clip(name, video_of(name, root, files), None, "", ""))
    return found


def video_files(root: Path) -> dict[str, list[Path]]:
    """The files in the folder of videos, by name without suffix."""
    found: dict[str, list[Path]] = {}
    folder = root if is_plain_folder(root) else root / VIDEOS
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        found.setdefault(path.stem, []).append(path)
    return found


def video_of(clip_id: str, root: Path, files: Mapping[str, Sequence[Path]]) -> Path:
    """The video of a clip, ``<id>.webm`` if there is none.

    Args:
        clip_id: its name without suffix.
        root: root of the data set.
        files: result of :func:`video_files` for the root.

    Raises:
        InputError: there are two videos.
    """
    found = files.get(clip_id, ())
    if len(found) > 1:
        found = [path for path in found if path.suffix.lower() in SUFFIXES]
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise InputError(f"{root / VIDEOS}: {names} are videos of one id; keep one of them")
    return found[0] if found else root / VIDEOS / f"{clip_id}.webm"


def require_videos(clips: Sequence[Clip], root: Path, split: str) -> None:
    """Raise InputError if none of the clips has a video; the message says what is there instead."""
    if any(clip.path.exists() for clip in clips):
        return
    folder = root / VIDEOS
    every = [path for paths in video_files(root).values() for path in paths]
    kinds = Counter(f"*{path.suffix}" for path in every).most_common(3)
    others = " and ".join(f"{number:,} files {kind}" for kind, number in kinds)
    there = f"there are {others}, but none is named by an id" if kinds else "the folder is empty"
    raise InputError(
        f"{folder}: {len(clips):,} of {len(clips):,} videos of the {split} split are missing; "
        f"{there if folder.is_dir() else 'there is no such folder'}. Put them there as "
        f"<id>.webm, <id>.mp4 or the like, such as {clips[0].path.name}, or set {PARAMETER}"
    )


def read_action_intervals(root: Path) -> dict[str, tuple[int, int]]:
    """Read the interval of the action of each clip, where it is known.

    Returns:
        For each id the first and the last frame of the action, both inclusive, as numbers of
        encoded frames. Empty if there is no ``labels/action_intervals.json``. Clips in which
        nothing happens are missing.

    Raises:
        InputError: the file is malformed.
    """
    path = root / "labels" / "action_intervals.json"
    if not path.exists():
        return {}
    content = _parse(path)
    if not isinstance(content, dict):
        raise InputError(f"{path}: found {_kind(content)}; expected an object of ids")
    intervals: dict[str, tuple[int, int]] = {}
    for clip_id, value in content.items():
        match value:
            # bool is a subclass of int in Python, but true is not a frame number.
            case [int(first), int(last)] if 0 <= first <= last and bool not in map(type, value):
                intervals[clip_id] = (first, last)
            case _:
                raise InputError(
                    f"{path}: id {clip_id!r} has the interval {value!r}; expected"
                    " [first frame, last frame] with 0 <= first <= last"
                )
    return intervals


def read_order_pairs(root: Path) -> list[tuple[str, str]]:
    """Read which pairs of classes differ only in the order of the frames, where it is known.

    Returns:
        Names of classes, in pairs. Empty if there is no ``labels/order_pairs.json``.

    Raises:
        InputError: the file is malformed.
    """
    path = root / "labels" / "order_pairs.json"
    if not path.exists():
        return []
    content = _parse(path)
    pairs: list[tuple[str, str]] = []
    for value in content if isinstance(content, list) else [content]:
        match value:
            case [str(first), str(second)]:
                pairs.append((first, second))
            case _:
                raise InputError(f"{path}: found {value!r}; expected [class name, class name]")
    return pairs


def label_files(root: Path) -> list[Path]:
    """The label files of a data set: classes, splits with labels, and optional further files.

    Raises:
        InputError: a required file is missing.
    """
    needed = [_find(root, name) for name in ("labels", "train", "validation")]
    extra = [root / "labels" / f"{name}.json" for name in ("action_intervals", "order_pairs")]
    return needed + [path for path in extra if path.exists()]


def _candidates(root: Path, name: str) -> list[Path]:
    old = f"something-something-v2-{name}.json"
    plain = [root / "labels" / f"{name}.json", root / "labels" / old, root / old]
    return [p for path in plain for p in (path, path.with_name(path.name + ".gz"))]


def _find(root: Path, name: str) -> Path:
    candidates = _candidates(root, name)
    for path in candidates:
        if path.is_file():
            return path
    looked = ", ".join(str(path.relative_to(root)) for path in candidates)
    raise InputError(
        f"{root}: no {name!r} file of Something-Something V2; looked for {looked}."
        f" Put the dataset there, or set {PARAMETER} to the directory that holds it"
    )


def _parse(path: Path) -> Any:
    try:
        data = path.read_bytes()
        return json.loads(gzip.decompress(data) if path.suffix == ".gz" else data)
    except json.JSONDecodeError as error:
        raise InputError(
            f"{path}: not valid JSON at line {error.lineno}, column {error.colno}: {error.msg};"
            " correct it, or copy the file again"
        ) from None
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read: {error}; copy the file again") from None


def _text(row: dict[str, Any], key: str, where: str) -> str:
    if key not in row:
        found = ", ".join(map(repr, row)) or "no keys"
        raise InputError(f"{where}: key {key!r} is missing (found {found})")
    value = row[key]
    if not isinstance(value, str):
        raise InputError(f"{where}: {key!r} is {value!r}; expected a string")
    return value


def _checked_id(clip_id: str, where: str) -> str:
    # The id becomes a file name: it must not lead out of the videos' directory.
    bad = next((part for part in ("/", "\\", "..", "\0") if part in clip_id), None)
    if bad is not None:
        raise InputError(f"{where}: id {clip_id!r} contains {bad!r}; ids are plain file names")
    if not clip_id.strip():
        raise InputError(f"{where}: id {clip_id!r} is empty; ids are plain file names")
    try:
        clip_id.encode()
    except UnicodeEncodeError:
        raise InputError(f"{where}: id {clip_id!r} is not valid Unicode") from None
    return clip_id


def _without_brackets(template: str) -> str:
    return template.replace("[", "").replace("]", "")


def _nearest(template: str, classes: Sequence[str]) -> str:
    near = difflib.get_close_matches(template, classes, n=1, cutoff=0.0)
    return f" (the nearest is {near[0]!r})" if near else ""


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "an array", str: "a string", type(None): "null"}
    empty = "empty " if isinstance(value, dict | list) and not value else ""
    name = names.get(type(value), "a number or a truth value")
    return name.replace(" ", f" {empty}", 1) if empty else name
