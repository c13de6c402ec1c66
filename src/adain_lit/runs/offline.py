"""The files that W&B writes for offline runs.

A ``run-<id>.wandb`` file opens with seven bytes (``:W&B``, a magic number, a version) and then is a log in blocks of
32 KiB, the opening bytes counted in. Each chunk has a CRC-32 of its type and data, a length and a type; a record, one
protobuf message, is split over chunks where it does not fit its block; fewer than seven bytes at the end of a block are
padding. W&B writes full blocks at once and the rest some 15 s later: a run killed early has only the opening bytes.

A record cut off at the end of the file is left out; all else that does not fit is an error, but for damage to the
length of the very last chunk, which looks like a cut.
"""

import json
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wandb.proto import wandb_internal_pb2

from adain_lit.errors import InputError

pb: Any = wandb_internal_pb2  # whose types are made when it is loaded

FILE_HEADER = struct.pack("<4sHB", b":W&B", 0xBEE1, 0)
BLOCK_SIZE = 32 * 1024
CHUNK_HEADER = struct.Struct("<IHB")  # checksum, length, type
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4


@dataclass(frozen=True)
class OfflineRun:
    """What one offline run recorded.

    Attributes:
        run_id: from the file's name where the run was killed before its first record reached the disk.
        project: project.
        name: display name.
        group: group.
        tags: tags.
        config: the last value of each key, without W&B's own ``_wandb``.
        history: the logged rows; nested keys are joined with dots: ``{"a": {"b": 1}}`` is ``{"a.b": 1}``.
        metrics: name or pattern of each ``define_metric``, and its step metric.
        exit_code: None if the run was never finished.
    """

    run_id: str
    project: str
    name: str
    group: str
    tags: tuple[str, ...]
    config: dict[str, Any]
    history: list[dict[str, Any]]
    metrics: dict[str, str | None]
    exit_code: int | None


def read_offline_run(path: Path) -> OfflineRun:
    """Read a ``.wandb`` file, or the one in an ``offline-run-*`` folder.

    Raises:
        InputError: if there is none, or if it is damaged elsewhere than at its end.
    """
    if path.is_dir():
        files = sorted(path.glob("*.wandb"))
        if len(files) != 1:
            raise InputError(f"{path} holds {len(files)} .wandb files; an offline run has one")
        path = files[0]
    run = pb.RunRecord(run_id=path.stem.removeprefix("run-"))
    config: dict[str, Any] = {}
    history: list[dict[str, Any]] = []
    metrics: dict[str, str | None] = {}
    exit_code: int | None = None
    for data in _records(path):
        record = pb.Record.FromString(data)
        match record.WhichOneof("record_type"):
            case "run":  # written again, in full, whenever the name, the tags or the notes change
                run = record.run
                _update_config(config, run.config)
            case "config":
                _update_config(config, record.config)
            case "history":
                row = {".".join(item.nested_key) or item.key: _value(item) for item in record.history.item}
                history.append({"_step": record.history.step.num} | row)
            case "metric":
                metrics[record.metric.name or record.metric.glob_name] = record.metric.step_metric or None
            case "exit":
                exit_code = record.exit.exit_code
    config.pop("_wandb", None)
    names = (run.run_id, run.project, run.display_name, run.run_group, tuple(run.tags))
    return OfflineRun(*names, config, history, metrics, exit_code)


def offline_runs(folder: Path) -> list[OfflineRun]:
    """Every run below a folder, sorted by path: within one ``wandb`` folder, in the order they were started."""
    return [read_offline_run(path) for path in sorted(folder.rglob("*.wandb"))]


def _records(path: Path) -> Iterator[bytes]:
    """The records of a file, without one that is cut off at its end."""
    parts: list[bytes] = []
    for kind, data in _chunks(path):
        if (kind in (MIDDLE, LAST)) != bool(parts):
            raise InputError(f"{path} is damaged: chunk of type {kind} out of order; leave that run out")
        parts.append(data)
        if kind in (FULL, LAST):
            yield b"".join(parts)
            parts = []


def _chunks(path: Path) -> Iterator[tuple[int, bytes]]:
    """Type and data of each whole chunk, up to where the file is cut off."""
    content = path.read_bytes()
    if not content.startswith(FILE_HEADER[: len(content)]):
        raise InputError(f"{path} is no W&B run file; give one that wandb wrote offline")
    offset = len(FILE_HEADER)
    while offset + CHUNK_HEADER.size <= len(content):
        room = BLOCK_SIZE - offset % BLOCK_SIZE
        if room < CHUNK_HEADER.size:
            offset += room
        elif chunk := _chunk_at(content, offset):
            yield chunk
            offset += CHUNK_HEADER.size + len(chunk[1])
        else:
            size = CHUNK_HEADER.size + CHUNK_HEADER.unpack_from(content, offset)[1]
            cut_off = len(content) - offset < size <= room
            if cut_off and not any(_chunk_at(content, later) for later in range(offset + 1, len(content))):
                return
            raise InputError(f"{path} is damaged at byte {offset}; leave that run out")


def _chunk_at(content: bytes, offset: int) -> tuple[int, bytes] | None:
    """Type and data of the chunk that starts here, None unless it is whole, within its block and has its checksum."""
    start = offset + CHUNK_HEADER.size
    if start > len(content):
        return None
    checksum, length, kind = CHUNK_HEADER.unpack_from(content, offset)
    data = content[start : start + length]
    fits = kind in (FULL, FIRST, MIDDLE, LAST) and len(data) == length <= BLOCK_SIZE - start % BLOCK_SIZE
    return (kind, data) if fits and zlib.crc32(bytes([kind]) + data) == checksum else None


def _value(item: Any) -> Any:
    """The value of a history item: JSON, or a field of its type."""
    kind = item.WhichOneof("value")
    if kind in (None, "json"):
        return json.loads(item.json or item.value_json)
    return None if kind == "none" else getattr(item, kind)


def _update_config(config: dict[str, Any], change: Any) -> None:
    """Apply a record's updates and removals."""
    for item in (*change.update, *change.remove):
        *outer, last = item.nested_key or [item.key]
        target = config
        for key in outer:
            target = target.setdefault(key, {})
        target.pop(last, None)
        if item.value_json:
            target[last] = json.loads(item.value_json)
