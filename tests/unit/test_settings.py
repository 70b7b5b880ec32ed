"""What may be asked of a training, and how what may not be is refused."""

import re

import pytest

from fovea.errors import InputError, told_of
from fovea.training.settings import TrainSettings, checked

SETTINGS = {
    "epochs": (0, "a whole number, at least 1 and at most 100,000"),
    "lr": (float("nan"), "a number, more than 0 and less than 100"),
    "image_size": (8, "a whole number, at least 16 and at most 2,048"),
    "coverage": (2.0, "a number, more than 0 and less than 1"),
    "seed": (-1, "a whole number, at least 0 and less than 4,294,967,296"),
    "clip_norm": (0, "a number, more than 0"),
    "batch_size": ("a", "a whole number"),
    "monitor": ("x", "one of loss, accuracy"),
    "budget": (3, "a text"),
    "compile": ("maybe", "true or false"),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_are_refused_in_plain_words(name):
    value, expected = SETTINGS[name]
    with pytest.raises(InputError) as caught:
        checked(data="x", **{name: value})
    option = f"--{name.replace('_', '-')}"
    assert (caught.value.problem, caught.value.expected) == (f"{option} cannot be {value!r}", expected)
    assert caught.value.fix == f"give {option} such a value, or leave it out"


@pytest.mark.parametrize("name", TrainSettings.model_fields)
def test_no_setting_is_refused_in_the_words_of_a_library(name):
    refused = []
    for value in (object(), [object()], -1e9, "no such thing"):
        try:
            checked(**{"data": "x", name: value})
        except InputError as error:
            refused.append(error)
    assert refused
    for error in refused:
        assert not re.search("(?i)input|valid|another value|instance", error.expected), error


def test_a_setting_that_there_is_not_names_the_near_ones():
    with pytest.raises(InputError, match="there is no option --epoch") as caught:
        checked(data="x", epoch=3)
    assert caught.value.fix == "did you mean epochs?"


def test_a_file_of_settings_is_refused_in_plain_words():
    for content, told in (
        ({"epochs": -3}, "epochs is -3, and may be a number, at least 1"),
        ({}, "data is nothing, and may be a value, and there is none"),
    ):
        with pytest.raises(ValueError, match="validation error") as caught:
            TrainSettings.model_validate(content if not content else {"data": "x"} | content)
        assert told_of(caught.value) == told
    assert told_of(ValueError("no JSON\nat all")) == "no JSON"
