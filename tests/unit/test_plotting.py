"""What figures and printed tables have in common."""

import pytest

from pipeline.core.plotting import drawable, figure_style, signed


@pytest.mark.parametrize(
    ("value", "largest", "expected"),
    [
        (0.0034, 0.0047, "+0.0034"),
        (-0.0001, 0.0047, "-0.0001"),
        (0.31, 0.31, "+0.31"),
        (-0.001, 0.31, "0.00"),
        (12.3, 45.0, "+12"),
        (3.2, 4.5, "+3.2"),
        (2.5e-6, 9e-6, "+2.5e-06"),
        (0.0, 0.0, "0.0"),
        (1234567.0, 2e6, "+1.2e+06"),
    ],
)
def test_digits_follow_the_largest_number(value, largest, expected):
    assert signed(value, largest) == expected


def test_characters_that_no_font_has_are_boxes():
    with figure_style():
        assert drawable("café − ℓ∞ [x]") == "café − ℓ∞ [x]"
        assert drawable("a\U0001f9ff") == "a□"
