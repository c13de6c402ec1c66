"""The files that W&B writes for offline runs, read without W&B's private reader: an oracle for what W&B was sent.

A ``run-<id>.wandb`` file opens with seven bytes (``:W&B``, a magic number, a version), then is a log in blocks of 32
KiB, the opening bytes included. Each chunk has a CRC-32 of its type and data, a length and a type; a record, one
protobuf message, is split over chunks if it does not fit its block; fewer than seven bytes at the end of a block are
padding. What follows the last whole chunk of a run that was killed is ignored.
"""

import json
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wandb.proto import wandb_internal_pb2

pb: Any = wandb_internal_pb2  # its types are made when it is loaded

FILE_HEADER = struct.pack("<4sHB", b":W&B", 0xBEE1, 0)
BLOCK_SIZE = 32 * 1024
CHUNK_HEADER = struct.Struct("<IHB")  # checksum, length, type
FULL, LAST = 1, 4  # 2 and 3 are the first and a middle part of a record


@dataclass
class OfflineRun:
    """What one offline run recorded; `exit_code` is None if it was never finished.

    `config` has the last value of each key, `metrics` the step metric of each ``define_metric``; nested keys of
    `history` are joined with dots.
    """

    run_id: str
    project: str = ""
    name: str = ""
    group: str = ""
    tags: tuple[str, ...] = ()
    config: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    metrics: dict[str, str | None] = field(default_factory=dict)
    exit_code: int | None = None


def offline_runs(folder: Path) -> list[OfflineRun]:
    """Every run below a folder, sorted by path: within one ``wandb`` folder, in the order they were started."""
    return [read_offline_run(path) for path in sorted(folder.rglob("*.wandb"))]


def read_offline_run(path: Path) -> OfflineRun:
    """Read a ``.wandb`` file."""
    run = OfflineRun(path.stem.removeprefix("run-"))
    for data in _records(path.read_bytes()):
        record = pb.Record.FromString(data)
        match record.WhichOneof("record_type"):
            case "run":  # written again, in full, whenever the name, the tags or the notes change
                of_run = record.run
                run.run_id, run.project, run.name = of_run.run_id, of_run.project, of_run.display_name
                run.group, run.tags = of_run.run_group, tuple(of_run.tags)
                _update_config(run.config, of_run.config)
            case "config":
                _update_config(run.config, record.config)
            case "history":
                row = {
                    ".".join(item.nested_key) or item.key: json.loads(item.value_json) for item in record.history.item
                }
                run.history.append(row)
            case "metric":
                run.metrics[record.metric.name or record.metric.glob_name] = record.metric.step_metric or None
            case "exit":
                run.exit_code = record.exit.exit_code
    run.config.pop("_wandb", None)
    return run


def _records(content: bytes) -> Iterator[bytes]:
    assert content.startswith(FILE_HEADER[: len(content)])
    parts: list[bytes] = []
    offset = len(FILE_HEADER)
    while offset + CHUNK_HEADER.size <= len(content):
        room = BLOCK_SIZE - offset % BLOCK_SIZE
        if room < CHUNK_HEADER.size:
            offset += room
            continue
        checksum, length, kind = CHUNK_HEADER.unpack_from(content, offset)
        offset += CHUNK_HEADER.size
        data = content[offset : offset + length]
        if len(data) < length:
            return
        assert zlib.crc32(bytes([kind]) + data) == checksum
        offset += length
        parts.append(data)
        if kind in (FULL, LAST):
            yield b"".join(parts)
            parts = []


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
