"""The lines of a batch: one JSON object each, with ranges and grids expanded.

    {"prompt": "a cat moving right on a beach", "seed": "0..19"}
    {"name": "cars", "prompt": ["a red car", "a blue car"], "cfg": [3, 4], "steps": 12}
    {"task": "extend", "video": "cat.mp4", "prompt": "a cat", "seconds": 1}
    {"shots": [["a panda in a meadow", 2], ["a panda on a beach", 2]]}
    {"workflow": "text_to_video", "set": {"SoraSampler.seed": "0..3"}}

A list stands for one job with each of its values; so does "FIRST..LAST" where a whole number is wanted. Of settings
that are lists themselves (`LISTS`), `grid` holds what is tried. Empty lines and lines that begin with # are passed by.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from ..errors import SoraError, expect
from ..words import short
from .tasks import LISTS, WHOLE, WORKFLOW, check_names, task_of

MOST_JOBS = 100_000  # of one batch
LONGEST = 1 << 20  # bytes of a line
_RANGE = re.compile(r"\s*(\d{1,20})\s*\.\.\s*(\d{1,20})\s*")
_HALF = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Broken:
    """A line that is no job."""

    line: int
    why: str


@dataclass(frozen=True)
class Draft:
    """One job as a line asks for it: each setting has one value."""

    line: int
    task: str
    fields: Mapping[str, Any]
    varied: tuple[tuple[str, Any], ...] = field(default=())  # what differs from the line's other jobs, for its name


def read_batch(path: Path) -> tuple[list[Draft], list[Broken]]:
    """Read a batch. Raises SoraError for a file that cannot be read, holds no line, or asks for too many jobs."""
    drafts: list[Draft] = []
    broken: list[Broken] = []
    for number, line in _lines(path):
        try:
            for draft in expand(number, _parse(line)):
                drafts.append(draft)
                expect(
                    len(drafts) <= MOST_JOBS,
                    f"{path.name}, line {number}: more than {MOST_JOBS} jobs. Cut the batch into several files.",
                )
        except _LineError as error:
            broken.append(Broken(number, str(error)))
    expect(bool(drafts or broken), f"{path} holds no jobs: write one JSON object on each line.")
    return drafts, broken


class _LineError(SoraError):
    """What is wrong with one line."""


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the lines that hold something, with their numbers. A line is never longer than LONGEST in memory."""
    try:
        with path.open("rb") as file:
            for number in itertools.count(1):
                line = file.readline(LONGEST + 1)
                if not line:
                    return
                while len(line) > LONGEST and not line.endswith(b"\n"):
                    rest = file.readline(LONGEST)
                    if not rest or rest.endswith(b"\n"):
                        break
                text = line.removeprefix(b"\xef\xbb\xbf").strip() if number == 1 else line.strip()
                if text and not text.startswith(b"#"):
                    yield number, text
    except OSError as error:
        raise SoraError(f"The batch {path} cannot be read ({error.strerror}): check its name and rights.") from error


def _parse(line: bytes) -> dict[str, Any]:
    """Read one line. Raises _LineError that says where JSON ends."""
    if len(line) > LONGEST:
        raise _LineError(f"it is longer than {LONGEST >> 20} MiB. Write several lines.")
    try:
        fields = json.loads(line.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_constant)
    except UnicodeDecodeError:
        raise _LineError("it is not UTF-8: save the file as UTF-8.") from None
    except json.JSONDecodeError as error:
        raise _LineError(
            f"it is no JSON ({error.msg}, character {error.pos + 1}): write one object, {{...}}."
        ) from None
    except RecursionError:
        raise _LineError("it is nested too deeply: make it flatter.") from None
    except ValueError as error:  # digits beyond Python's limit
        raise _LineError(f"it cannot be read ({short(str(error))}): write another value.") from None
    if not isinstance(fields, dict):
        raise _LineError(f"it is {short(fields)}: write one object, {{...}}.")
    # JSON may write down half of a character that takes two escapes, and no file can hold it.
    if b"\\ud" in line.lower() and _HALF.search(json.dumps(fields, ensure_ascii=False)):
        raise _LineError("a text holds half of a character (\\ud800 to \\udfff alone): write the whole one.")
    return fields


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _LineError(f"it says {short(twice)} twice: leave one of them out.")
    return made


def _no_constant(name: str) -> NoReturn:
    raise _LineError(f"it holds {name}, which is no number.")


def expand(line: int, fields: dict[str, Any]) -> Iterator[Draft]:
    """Yield the jobs of one line, the last setting changing fastest. Raises _LineError for what asks for none."""
    try:
        task = task_of(fields)
        grid = fields.get("grid") or {}
        expect(isinstance(grid, Mapping), f'grid is {short(grid)}: write {{"cfg": [3, 4]}}.')
        for name, values in grid.items():
            fits = isinstance(values, (list, str)) and len(values) > 0
            expect(fits, f"grid has {short(values)} for {name!r}: write a list of values.")
            expect(name not in fields, f"{name!r} stands in the line and in its grid: leave one of them out.")
            expect(name not in ("grid", "task", "name"), f"{name!r} cannot be tried in a grid.")
        check_names(task, {**{key: value for key, value in fields.items() if key != "grid"}, **grid})
        axes = {name: _values(name, value, name not in LISTS) for name, value in fields.items() if name != "grid"}
        axes |= {name: _values(name, values, True) for name, values in grid.items()}
        if task == WORKFLOW:
            given = axes.pop("set", [{}])[0]
            expect(isinstance(given, Mapping), f'set is {short(given)}: write {{"NODE.INPUT": value}}.')
            axes |= {f"set {name}": _values(name, value, True, ranges=True) for name, value in given.items()}
        count = 1
        for values in axes.values():
            count *= len(values)
        expect(count <= MOST_JOBS, f"it makes {count} jobs, at most {MOST_JOBS} go into a batch. Cut it.")
    except SoraError as error:
        raise _LineError(str(error)) from None
    varied = [name for name, values in axes.items() if len(values) > 1]
    for values in itertools.product(*axes.values()):
        chosen = dict(zip(axes, values, strict=True))
        made = {name: value for name, value in chosen.items() if not name.startswith("set ")}
        if task == WORKFLOW:
            made["set"] = {name[4:]: value for name, value in chosen.items() if name.startswith("set ")}
        yield Draft(line, task, made, tuple((name.removeprefix("set "), chosen[name]) for name in varied))


def _values(name: str, value: Any, grid: bool, ranges: bool = False) -> Any:
    """List the values of a setting: one, those of a list where `grid`, or those of a range."""
    if grid and isinstance(value, list):
        expect(bool(value), f"{name} is an empty list: give it a value, or leave it out.")
        parts = [_values(name, part, False, ranges) for part in value]
        # Counted before they are listed: a line has room for ranges of more jobs than memory has.
        count = sum(len(part) for part in parts)
        expect(count <= MOST_JOBS, f"{name} stands for {count} values, at most {MOST_JOBS} jobs go into a batch.")
        return list(itertools.chain.from_iterable(parts))
    whole = name in WHOLE or (ranges and isinstance(value, str))
    if whole and isinstance(value, str):
        match = _RANGE.fullmatch(value)
        if match is None and ranges and name not in WHOLE:
            return [value]
        expect(match is not None, f'{name} is {short(value)}: write a whole number, or a range such as "0..19".')
        first, last = (int(part) for part in match.groups()) if match else (0, 0)
        expect(first <= last, f"{name} is {value!r}: a range goes from the smaller number to the larger.")
        expect(last - first < MOST_JOBS, f"{name} is {value!r}: at most {MOST_JOBS} jobs go into a batch.")
        return range(first, last + 1)
    return [value]
