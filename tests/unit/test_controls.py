"""Controls, handled without a front end: what they show follows what is chosen."""

import pytest

from medattn import controls


def test_recorded_runs_are_explored():
    experiment, reference, picture, caption = controls.explore_runs().children
    first = bytes(picture.value)
    assert first.startswith(b"\x89PNG")
    assert "difference from " + reference.value in caption.value
    reference.value = reference.options[1]
    second = bytes(picture.value)
    assert second != first and "difference from " + reference.value in caption.value
    experiment.index = 0 if experiment.index else 1
    assert bytes(picture.value) not in (first, second)
    assert reference.value in experiment.value


def test_of_nothing_recorded_there_is_nothing_to_explore(tmp_path):
    with pytest.raises(ValueError, match="medattn runs record"):
        controls.explore_runs(tmp_path)
