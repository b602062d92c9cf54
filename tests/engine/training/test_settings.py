"""``--settings`` of ``train``, ``run`` and ``submit``: recipe settings from a file, such as the search's best."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from engine.base.errors import InputError
from engine.training.job.recipe_settings import checked_settings, read_settings
from plugin.arguments.options import Options
from plugin.farm.plan import plan_from
from plugin.training import record as training_record
from tests.plugin.test_cli import KEY, PLATE, RUN, TRAIN, Cli
from tests.plugin.test_cli import cli as cli

BEST = "batch = 2\npatch = 128\nblocks = 9\nlearning_rate = 0.002\n"


def told(cli: Cli) -> object:
    """What the training process was given."""
    return json.loads((cli.folder / "work" / "job.json").read_text(encoding="utf-8"))["settings"]


def test_training_takes_what_the_search_wrote(cli: Cli) -> None:
    (cli.folder / "best.toml").write_text(BEST)
    assert cli(*TRAIN, "--settings", "best.toml").code == 0
    assert told(cli) == {"batch": 2, "patch": 128, "blocks": 9, "learning_rate": 0.002}
    assert cli(*TRAIN).code == 0 and told(cli) is None


def test_other_settings_are_another_training(cli: Cli) -> None:
    best, words = cli.folder / "best.toml", (*RUN, "--settings", "best.toml")
    best.write_text("blocks = 9\n")
    assert cli(*RUN).code == 0
    assert "already trained" not in cli(*words).out and told(cli) == {"blocks": 9}
    assert "already trained" in cli(*words).out
    # The values count, not the file.
    best.write_text("# found by hand\nblocks = 9.0\n")
    assert "already trained" in cli(*words).out
    best.write_text("blocks = 3\n")
    assert "already trained" not in cli(*words).out and told(cli) == {"blocks": 3}


def test_crisp_strokes_are_another_training(cli: Cli) -> None:
    def crisp() -> object:
        return json.loads((cli.folder / "work" / "job.json").read_text(encoding="utf-8"))["crisp"]

    assert cli(*RUN).code == 0 and crisp() is False
    assert "already trained" not in cli(*RUN, "--crisp").out and crisp() is True
    assert "already trained" in cli(*RUN, "--crisp").out
    assert "takes no crisp strokes; drop --crisp" in cli.refused(*TRAIN, "--recipe", "texler2020", "--crisp")


def test_a_look_by_another_revision_is_trained_again(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cli(*RUN).code == 0
    monkeypatch.setattr(training_record, "REVISION", training_record.REVISION + 1)
    assert "already trained" not in cli(*RUN).out
    assert "already trained" in cli(*RUN).out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("crop = 128", "unknown parameter crop (best.toml); known are batch, patch, blocks, learning_rate"),
        ("blocks = 0", "blocks is 0, a whole number of at least 1 is needed (best.toml)"),
        ("patch = 16", "patch is 16, a whole number of at least 32 is needed (best.toml)"),
        ("batch = 1.5", "batch is 1.5, a whole number of at least 1 is needed (best.toml)"),
        ("batch = inf", "batch is inf, a whole number of at least 1 is needed (best.toml)"),
        ("learning_rate = nan", "learning_rate is nan, a number between 0 and 1 is needed (best.toml)"),
        ("learning_rate = 1", "learning_rate is 1, a number between 0 and 1 is needed (best.toml)"),
        ("batch = true", "batch is True, one number is needed (best.toml)"),
        ("batch = [2, 3]", "batch is a list of values (best.toml); give it one value, or search the grid"),
        ("", "the settings file has no parameter (best.toml); known are batch"),
        ("batch = ", "the settings file is not TOML"),
        (None, "the settings file is missing (best.toml); check --settings"),
    ],
)
def test_what_is_no_setting_is_one_line(cli: Cli, text: str | None, message: str) -> None:
    if text is not None:
        (cli.folder / "best.toml").write_text(text)
    assert message in cli.refused(*TRAIN, "--settings", "best.toml")
    assert not (cli.folder / "work" / "job.json").exists()


def test_only_our_recipe_takes_settings(cli: Cli) -> None:
    (cli.folder / "best.toml").write_text(BEST)
    said = cli.refused(*TRAIN, "--settings", "best.toml", "--recipe", "texler2020")
    assert said == "the recipe texler2020 takes no settings; drop --settings or --recipe"


def test_a_farm_trains_with_the_file(cli: Cli) -> None:
    best = cli.folder / "best.toml"
    best.write_text(BEST)
    options = Options(plate="plate.%04d.png", frames="0-10", keyframes=[KEY[1]], out="out.%04d.exr", settings=best.name)
    train = plan_from(options).step("train")
    assert train is not None and train.command[train.command.index("--settings") + 1] == str(best)
    best.write_text("crop = 3")
    words = ("submit", *PLATE, "--frames", "0-10", *KEY, "--out", "out.%04d.exr", "--engine", "slurm")
    assert "unknown parameter crop" in cli.refused(*words, "--settings", "best.toml")


def test_the_trainer_checks_and_uses_them(tmp_path: Path) -> None:
    from engine.training.job.job import PaintedFrame, Settings, TrainingJob

    changed = asdict(Settings().with_values({"patch": 128, "blocks": 9}))
    assert changed == {**asdict(Settings()), "crop": 128, "blocks": 9}
    with pytest.raises(InputError, match="blocks is 0"):
        Settings().with_values({"blocks": 0})
    key = PaintedFrame(0, tmp_path / "p.png", None, None)

    def job(settings: dict[str, float], recipe: str = "paintover") -> TrainingJob:
        return TrainingJob(
            plate="p.%04d.png", frames="0", plate_colorspace=None, keyframes=(key,), work=tmp_path,
            look=tmp_path / "a.onnx", budget_s=None, steps=1, recipe=recipe, settings=settings,
        )  # fmt: skip

    assert job({"blocks": 9}).settings == {"blocks": 9}
    with pytest.raises(InputError, match="unknown parameter crop"):
        job({"crop": 128})
    with pytest.raises(InputError, match="takes no settings"):
        job({"blocks": 9}, "texler2020")


def test_a_file_may_name_some(tmp_path: Path) -> None:
    path = tmp_path / "best.toml"
    path.write_text("blocks = 9")
    assert read_settings(path) == {"blocks": 9} == checked_settings({"blocks": 9.0})
    assert isinstance(checked_settings({"blocks": 9.0})["blocks"], int)
