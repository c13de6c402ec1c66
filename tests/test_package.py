"""What `import adain_lit` does to the process of a caller: nothing, and fast."""

import subprocess
import sys

import adain_lit

CHECK = """
import os, sys
before = dict(os.environ)
import adain_lit
assert dict(os.environ) == before
assert "torch" not in sys.modules
adain_lit.load
assert "torch" in sys.modules
assert dict(os.environ) == before
"""


def test_import_changes_no_variable_and_loads_torch_only_when_it_is_needed() -> None:
    subprocess.run([sys.executable, "-c", CHECK], check=True)


def test_names_are_listed() -> None:
    assert {"Stylizer", "load", "__version__"} <= set(dir(adain_lit))
    assert adain_lit.Stylizer.__module__ == "adain_lit.inference.stylizer"
