"""A griffe extension: the ``Example:`` of a docstring is a section of examples, as ``Examples:`` is."""

import re
from typing import Any

import griffe


class ExampleSections(griffe.Extension):
    """Griffe's Google parser would take ``Example:`` for an admonition and read ``>>>`` as quotations."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rename the section before the docstring is parsed."""
        if obj.docstring:
            obj.docstring.value = re.sub(r"^Example:$", "Examples:", obj.docstring.value, flags=re.MULTILINE)
