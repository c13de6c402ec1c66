"""The configuration of a run as people leave it: damaged, and made to harm."""

from pathlib import Path

import pytest

from adain_lit.errors import InputError
from adain_lit.runs.settings import read_settings

ALIASES = "".join(f"a{i}: &a{i} [{','.join(['x' if i == 0 else f'*a{i - 1}'] * 9)}]\n" for i in range(10))
DAMAGED = {
    "aliases": (ALIASES, "it has YAML aliases, which no run writes"),
    "no keys": ("- 1\n- 2", "it has no keys"),
    "cut short": ("model: {lr: 1", "expected"),
    "tag": ("a: !!python/object/apply:os.system [touch executed]", "could not determine a constructor"),
    "nested": ("a: " + "[" * 400_000 + "]" * 400_000, "nested more than 50 levels deep"),
    "large": ("a: 1\n" + "#" * 1_000_000, "1000005 bytes"),
    "binary": ("\x00\x01", "special characters are not allowed"),
}


@pytest.mark.parametrize(("text", "reason"), DAMAGED.values(), ids=DAMAGED)
def test_damaged_configuration_is_one_line(
    text: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one with aliases is 400 bytes, and kept `report` busy for ever."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        read_settings(path)
    assert str(caught.value).startswith(f"{path} is damaged (")
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
    assert [*tmp_path.iterdir()] == [path]
