"""Captions in image grids."""

import pytest

from adain_lit.reports import captions
from adain_lit.reports.captions import caption_font, wrap_text


def test_captions_break_between_words_where_they_can_and_keep_their_line_breaks() -> None:
    font = caption_font(13)
    lines = wrap_text("lambda 10\na label of many words and one_that_does_not_end" + "s" * 40, font, 120).splitlines()
    assert lines[0] == "lambda 10"
    assert all(font.getlength(line) <= 120 for line in lines)
    assert wrap_text("", font, 120) == ""


def test_captions_are_drawn_without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(captions, "HAS_DEJAVU", False)
    caption_font.cache_clear()
    font = caption_font(31)
    caption_font.cache_clear()
    assert font.getlength("style") > 31
    assert wrap_text("alpha = 0.25", font, 150) == "alpha =\n0.25"
