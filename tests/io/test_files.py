"""What is left on the disk by writers that failed and commands that were killed."""

import errno
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from adain_lit.io.files import temporary_folder, write_atomically

HOLDS = """
import sys, time
from adain_lit.io.files import temporary_folder
with temporary_folder("adain_test_") as folder:
    (folder / "upload.jpg").touch()
    print(folder, flush=True)
    time.sleep(600)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such locks")
def test_folder_of_a_killed_process_is_removed_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    command = [sys.executable, "-c", HOLDS]
    killed, alive = (subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2))
    folders = []
    for process in (killed, alive):
        assert process.stdout is not None
        folders.append(Path(process.stdout.readline().strip()))
    (tmp_path / "adain_test_of_a_user").mkdir()
    killed.kill()
    killed.wait()
    assert folders[0].exists()
    with temporary_folder("adain_test_") as own:
        assert set(tmp_path.iterdir()) == {folders[1], own, tmp_path / "adain_test_of_a_user"}
        assert (folders[1] / "upload.jpg").exists()
    alive.kill()
    alive.wait()
    assert not own.exists()


def test_failed_writer_that_keeps_its_file_open_takes_no_space(tmp_path: Path) -> None:
    """torch's is such a one: a disk that it has filled would stay full until the error is forgotten."""
    files = []

    def write(temporary: Path) -> None:
        files.append(temporary.open("wb", buffering=0))
        files[0].write(bytes(100_000))
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left on device"):
        write_atomically(tmp_path / "last.ckpt", write)
    assert os.fstat(files[0].fileno()).st_size == 0
    files[0].close()
