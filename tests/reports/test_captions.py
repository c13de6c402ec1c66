"""Captions in image grids."""

from itertools import pairwise

import pytest

from adain_lit.reports import captions
from adain_lit.reports.captions import caption_font, wrap_text


def test_captions_break_between_words_where_they_can_and_keep_their_line_breaks() -> None:
    font = caption_font(13)
    lines = wrap_text("lambda 10\na label of many words and one_that_does_not_end" + "s" * 40, font, 120).splitlines()
    assert lines[0] == "lambda 10"
    assert all(font.getlength(line) <= 120 for line in lines)
    assert wrap_text("", font, 120) == ""


@pytest.mark.parametrize("width", [60, 90, 120, 160])
def test_names_of_files_break_after_what_joins_their_words(width: int) -> None:
    """Oracle: the lines joined are the name, and no line is longer than need be or cuts a number or a word."""
    font = caption_font(12)
    for name in ("art_nouveau-1000", "stained_glass-100|0", "suprematism-2", "photo.of.a.cat+wave"):
        lines = wrap_text(f"style {name}", font, width).splitlines()
        assert "".join(lines).replace(" ", "") == f"style{name}"
        assert all(font.getlength(line) <= width or "suprematism" in line for line in lines)
        for first, second in pairwise(lines[lines[0] == "style" :]):
            assert first[-1] in "_-|.+" or font.getlength("suprematism-") > width
            assert font.getlength(first + second) > width


def test_captions_are_drawn_without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(captions, "HAS_DEJAVU", False)
    caption_font.cache_clear()
    font = caption_font(31)
    caption_font.cache_clear()
    assert font.getlength("style") > 31
    assert wrap_text("alpha = 0.25", font, 150) == "alpha =\n0.25"
