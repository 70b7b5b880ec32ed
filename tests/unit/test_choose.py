"""What stands for "auto" is said as it was."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.shared_runs import paint

from fovea.data import open_source
from fovea.errors import InputError, UnknownName, WeightsError
from fovea.models.backbone import create_backbone, read_backbone
from fovea.models.hub import HubFile, Unreachable
from fovea.models.passport import Passport
from fovea.models.weights import find, save_weights
from fovea.selection.choose import choose
from fovea.training.method import Method
from fovea.training.settings import TrainSettings


@pytest.mark.parametrize(
    ("image_size", "variant", "why"),
    [
        (None, "180", "since the pictures' shorter side is about 96 px"),
        (48, "28", "since --image-size is 48"),
        (160, "180", "since --image-size is 160"),
    ],
)
def test_the_note_on_convnets_variant_says_whose_size_it_follows(tmp_path: Path, image_size: int | None, variant: str, why: str) -> None:
    data = paint(tmp_path, {"disc": 4, "cross": 4}, size_px=96)
    with open_source(data) as source:
        settings = TrainSettings(data=str(data), strategy="scratch", image_size=image_size)
        plan = choose(settings, source)
    assert f"convnet's variant for {variant} px, {why}" in plan.notes


def test_a_network_is_made_with_the_options_behind_its_name(tmp_path: Path) -> None:
    data = paint(tmp_path, {"disc": 4, "cross": 4}, size_px=32)
    with open_source(data) as source:
        plan = choose(
            TrainSettings(data=str(data), strategy="scratch", backbone="minception:batch_norm=false", image_size=56, dropout=0.3), source
        )
    backbone = plan.network.body.backbone
    assert (backbone.made_as, backbone.made_with["batch_norm"]) == ("minception", False)
    assert plan.passport.options["batch_norm"] is False, "or the weights of the run would not load again"
    assert plan.network.head.dropout.p == 0.3


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("convnet", ("convnet", {})),
        ("convnet:variant=28", ("convnet", {"variant": "28"})),
        (
            "minception:batch-norm=False:dropout=0.3:second_kernel=1",
            ("minception", {"batch_norm": False, "dropout": 0.3, "second_kernel": 1}),
        ),
    ],
)
def test_options_are_read(text: str, expected: tuple[str, dict[str, object]]) -> None:
    assert read_backbone(text) == expected


def test_an_option_that_a_network_has_not_is_named() -> None:
    with pytest.raises(InputError, match="no option 'batchnorm'") as caught:
        read_backbone("minception:batchnorm=false")
    assert "batch_norm" in caught.value.fix


def test_options_that_the_weights_contradict_are_refused(tmp_path: Path) -> None:
    data = paint(tmp_path, {"disc": 4, "cross": 4}, size_px=32)
    kept = create_backbone("convnet", variant="28")
    passport = Passport(
        name="kept", sha256="", licence="", trained_on="", image_size_px=28, score="", backbone="convnet", options={"variant": "28"}
    )
    save_weights(kept, tmp_path / "kept.safetensors", passport)
    settings = TrainSettings(
        data=str(data), strategy="finetune", backbone="convnet:variant=180", weights=str(tmp_path / "kept.safetensors")
    )
    with open_source(data) as source, pytest.raises(InputError, match="variant 28, and 180 was asked for"):
        choose(settings, source)


def test_an_optimizer_brings_the_rate_of_its_size() -> None:
    default = Method(epochs=1, lr=1e-4)
    assert TrainSettings(data="x", optimizer="sgd").method(default).lr == pytest.approx(1e-2)
    assert TrainSettings(data="x", optimizer="sgd", lr=0.5).method(default).lr == 0.5
    assert TrainSettings(data="x", optimizer="adam").method(default).lr == 1e-4


@pytest.mark.parametrize("hub", [True, False])
def test_packaged_weights_serve_where_no_others_are_at_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hub: bool) -> None:
    passport = Passport(name="small", sha256="", licence="", trained_on="", image_size_px=32, score="", backbone="fovea_tiny")
    monkeypatch.setattr(
        find, "PACKAGED", save_weights(create_backbone("fovea_tiny"), tmp_path / "packaged" / "fovea_tiny.safetensors", passport).parent
    )
    other = save_weights(create_backbone("mobilenet_v2"), tmp_path / "fetched.safetensors", replace(passport, backbone="mobilenet_v2"))

    def fetch(file: HubFile, **_: object) -> Path:
        if not hub:
            raise Unreachable("no network")
        return other

    monkeypatch.setattr(find, "fetch", fetch)
    data = paint(tmp_path / "data", {"disc": 4, "cross": 4}, size_px=32)
    with open_source(data) as source:
        plan = choose(TrainSettings(data=str(data), image_size=32), source)
        if not hub:
            with pytest.raises(WeightsError, match="no weights for 'mobilenet_v2' are at hand"):  # and not hours from nothing
                choose(TrainSettings(data=str(data), backbone="mobilenet_v2", image_size=32), source)
    assert (plan.backbone_name, plan.strategy) == ("mobilenet_v2" if hub else "fovea_tiny", "probe")
    assert any(("came from the hub" if hub else "come with Fovea") in note for note in plan.notes)


def test_a_part_of_weights_needs_weights_and_may_answer_otherwise(tmp_path: Path) -> None:
    data = paint(tmp_path / "data", {"disc": 4, "cross": 4}, size_px=32)
    passport = Passport(
        name="kept",
        sha256="",
        licence="",
        trained_on="",
        image_size_px=32,
        score="",
        backbone="fovea_tiny",
        golden=(1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0),
    )
    file = str(save_weights(create_backbone("fovea_tiny"), tmp_path / "kept.safetensors", passport))
    with open_source(data) as source:
        for strategy in ("finetune", "scratch"):
            plan = choose(
                TrainSettings(data=str(data), strategy=strategy, weights=file, weights_pattern="blocks.[01].*", image_size=32), source
            )
            assert (plan.backbone_name, plan.passport.golden) == ("fovea_tiny", ())
        with pytest.raises(InputError, match="there are none to take it of"):
            choose(TrainSettings(data=str(data), strategy="scratch", weights_pattern="convs.*", backbone="convnet"), source)


@pytest.mark.parametrize("option", ["strategy", "task"])
def test_where_auto_may_be_asked_for_the_list_names_it(option, tmp_path):
    paint(tmp_path / "data", {"disc": 4, "cross": 4}, size_px=32)
    with open_source(str(tmp_path / "data")) as source, pytest.raises(UnknownName, match=rf"no {option} is called 'magic'") as caught:
        choose(TrainSettings(data=str(tmp_path / "data"), **{option: "magic"}), source)
    assert "auto" in caught.value.expected
