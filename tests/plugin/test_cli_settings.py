"""``--settings`` of ``train``, ``run`` and ``submit``: recipe settings from a file, such as the search's best."""

from __future__ import annotations

import json

import pytest

from engine.shot.keyframes import Keyframe
from plugin.arguments.options import Options
from plugin.farm.plan import plan_from
from plugin.training import record as training_record
from tests.support.command_line import KEY, PLATE, RUN, TRAIN, Cli

BEST = "batch = 2\npatch = 128\nblocks = 9\nlearning_rate = 0.002\n"


def told(cli: Cli) -> object:
    """What the training process was given."""
    return json.loads((cli.folder / "work" / "job.json").read_text(encoding="utf-8"))["settings"]


def test_training_takes_what_the_search_wrote(cli: Cli) -> None:
    (cli.folder / "best.toml").write_text(BEST)
    assert cli(*TRAIN, "--settings", "best.toml").code == 0
    assert told(cli) == {"batch": 2, "patch": 128, "blocks": 9, "learning_rate": 0.002}
    assert cli(*TRAIN).code == 0 and told(cli) is None


@pytest.mark.slow
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


@pytest.mark.slow
def test_crisp_strokes_are_another_training(cli: Cli) -> None:
    def crisp() -> object:
        return json.loads((cli.folder / "work" / "job.json").read_text(encoding="utf-8"))["crisp"]

    assert cli(*RUN).code == 0 and crisp() is False
    assert "already trained" not in cli(*RUN, "--crisp").out and crisp() is True
    assert "already trained" in cli(*RUN, "--crisp").out
    assert "takes no crisp strokes; drop --crisp" in cli.refused(*TRAIN, "--recipe", "texler2020", "--crisp")


@pytest.mark.slow
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
    painted = [Keyframe.parse(KEY[1])]
    options = Options(plate="plate.%04d.png", frames="0-10", keyframes=painted, out="out.%04d.exr", settings=best.name)
    train = plan_from(options).step("train")
    assert train is not None and train.command[train.command.index("--settings") + 1] == str(best)
    best.write_text("crop = 3")
    words = ("submit", *PLATE, "--frames", "0-10", *KEY, "--out", "out.%04d.exr", "--engine", "slurm")
    assert "unknown parameter crop" in cli.refused(*words, "--settings", "best.toml")
