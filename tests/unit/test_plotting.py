"""What figures and printed tables have in common."""

import pytest
from matplotlib import pyplot as plt

from pipeline.core.digits import apart, signed, significant, with_error
from pipeline.core.plotting import drawable, figure_style, save


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


@pytest.mark.parametrize(
    ("value", "digits", "expected"),
    [
        (0.4, 2, "0.4"),
        (0.000123456, 3, "0.000123"),
        (1234.5, 3, "1230"),
        (99_999.9, 3, "100000"),
        (1.6e-7, 2, "1.6e-07"),
        (2.5e8, 3, "2.5e+08"),
        (0.0, 3, "0"),
    ],
)
def test_a_lone_number_has_significant_digits(value, digits, expected):
    assert significant(value, digits) == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((0.3351, 0.3349, 0.3), ["0.3351", "0.3349", "0.3000"]),
        ((0.5, 0.25), ["0.500", "0.250"]),
        ((1 / 3, 1 / 3 + 1e-12), ["0.333", "0.333"]),
        ((0.33512341, 0.33512342), ["0.33512341", "0.33512342"]),
        ((0.335, 0.0001, 0.0), ["0.3350", "0.0001", "0.0000"]),
        ((0.335, 1e-7), ["0.335", "1.00e-07"]),
        ((1e-12, 2e-12), ["1.00e-12", "2.00e-12"]),
        ((250_000.0, 250_100.0), ["250000", "250100"]),
        ((None, 12.34, float("nan"), 1.0), ["–", "12.3", "–", "1.0"]),
        ((0.05, 5e-17), ["0.0500", "0.0000"]),
        ((), []),
    ],
)
def test_numbers_that_are_compared_are_told_apart(values, expected):
    assert apart(*values) == expected


def test_numbers_that_are_compared_may_have_signs():
    assert apart(0.02, -0.01, 0.0, digits=2, sign="+") == ["+0.020", "-0.010", "0.000"]


@pytest.mark.parametrize(
    ("value", "error", "expected"),
    [
        (0.334, 0.0012, "0.3340 ± 0.0012"),
        (2.604, 0.0998, "2.60 ± 0.10"),
        (3.1, 45.0, "3 ± 45"),
        (-0.0001, 0.012, "0.000 ± 0.012"),
        (123_456.0, 1234.0, "123456 ± 1234"),
        (1.6e-7, 2e-8, "(1.60 ± 0.20)e-07"),
        (-1.2e9, 3e7, "(-1.200 ± 0.030)e+09"),
        (0.125, None, "0.1250"),
        (0.125, float("nan"), "0.1250"),
        (0.125, 3e-17, "0.1250"),
        (0.0, 0.0, "0.000"),
        (None, None, "–"),
        (float("nan"), 0.1, "–"),
    ],
)
def test_an_error_has_two_digits(value, error, expected):
    assert with_error(value, error) == expected


def test_a_number_with_an_error_may_have_a_sign():
    assert with_error(0.5, 0.1, "+") == "+0.50 ± 0.10"
    assert with_error(0.5, None, "+") == "+0.5000"


def test_characters_that_no_font_has_are_boxes():
    with figure_style():
        assert drawable("café − ℓ∞ [x]") == "café − ℓ∞ [x]"
        assert drawable("a\U0001f9ff") == "a□"


def drawn(path, noise):
    """The bytes of a figure of two parts, of which one was laid out by hand."""
    with figure_style():
        figure = plt.figure()
        left, right = figure.subfigures(1, 2)
        left.subplots().plot([0, 1, 3])
        right.subplots().plot([0, 1, 3])
        figure.get_layout_engine().execute(figure)
        figure.set_layout_engine("none")
        right.bbox_relative.x1 -= noise
        x, y, width, height = left.axes[0].get_position(original=True).bounds
        left.axes[0].set_position([x, y, width - noise, height], which="original")
        save(figure, path)
    return path.read_bytes(), path.with_suffix(".svg").read_bytes()


def test_the_last_digits_of_a_layout_change_no_file(tmp_path):
    """They depend on where objects lie in memory."""
    first = drawn(tmp_path / "first.png", 0)
    assert drawn(tmp_path / "again.png", 1e-15) == first
    assert drawn(tmp_path / "other.png", 1e-2) != first
