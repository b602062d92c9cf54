"""The declared options: what the typed values have of them, what the help begins with, and the flags of each verb."""

from __future__ import annotations

import typing

import pytest

from engine.base.choices import PAINT_STYLES
from engine.base.errors import InputError
from engine.paint.painter import PRESETS
from plugin import cli
from plugin.arguments.command import Command
from plugin.arguments.commands import COMMANDS, submit_through
from plugin.arguments.engine_options import ENGINES, OPTIONS_OF_ENGINE
from plugin.arguments.option import Option
from plugin.arguments.options import Options
from plugin.arguments.parser import Parser
from plugin.arguments.table import FRAMES, LOOK, SHOT

_REPORTING = "--progress --debug"
_TASK = "--frames-dialect --path-mapping"
_TRAINING = "--seed --recipe --augment --settings --crisp --features --resume"
_RENDERED_WITH = "--tile --tensorrt --out-colorspace --depth --compression --no-stmaps --softness --carried"
_MATTES = "--matte --matte-use"
_SHOT = (
    "--plate --frames --frame --layer --keyframe --out --work --look --budget --colorspace --progress --fit-paintings "
    f"--unpainted {_MATTES} --vectors --backward-vectors --no-repaint --denoise --guides --steps {_TRAINING} --fresh "
    f"{_RENDERED_WITH} --overwrite --paint-colorspace --ocio --device --threads --max-image-gib --debug"
)

FLAGS = {
    "run": f"{_SHOT} --workers --engine",
    "desk": f"--plate --frames --frame --layer --keyframe --fit-paintings --unpainted {_MATTES} --no-repaint "
    "--denoise --port --no-browser --idle --work "
    "--look --out --budget --steps --seed --settings --crisp --features --colorspace --paint-colorspace --ocio "
    f"--device --threads --max-image-gib {_REPORTING}",
    "live": "--source --loop --rate --size --look --keyframe-at --keyframe --out --port --no-browser --duration "
    f"--frames --colorspace --ocio --device --threads --max-image-gib {_REPORTING}",
    "prepare": "--plate --frames --frame --layer --keyframe --overwrite --matte --matte-use "
    "--vectors --backward-vectors --no-repaint --denoise --guides --work "
    f"--colorspace --ocio --threads --max-image-gib --shard {_TASK} {_REPORTING}",
    "train": "--plate --frames --frame --layer --keyframe --fit-paintings --unpainted --look --work --budget --steps "
    f"{_TRAINING} --from --style --style-scale --style-strength --steadiness --colors "
    "--denoise --guides --colorspace --paint-colorspace --ocio --device --threads --max-image-gib "
    f"{_TASK} {_REPORTING}",
    "tune": "--plate --frames --frame --layer --keyframe --fit-paintings --work --reference "
    "--reference-colorspace --seconds "
    "--settings --full-grid --features --seed --no-stmaps --colorspace --paint-colorspace --ocio --device --threads "
    f"--max-image-gib {_REPORTING}",
    "render": f"--look --plate --frames --frame --layer --out --work {_MATTES} {_RENDERED_WITH} --overwrite --workers "
    f"--denoise --colorspace --ocio --device --threads --max-image-gib --shard --timeout {_TASK} --expect-look "
    f"--expect-stmaps --expect-prepared --resident {_REPORTING}",
    "submit": f"{_SHOT} --engine --chunk --frame-time --timeout --retries --gpu",
    "verify": f"--look --out --plate --frames --frame --layer --work {_MATTES} {_RENDERED_WITH} --denoise "
    f"--colorspace --ocio {_TASK} "
    f"--max-image-gib {_REPORTING}",
    "inspect": "--json --max-image-gib --debug",
    "key": f"--plate --frames --frame --layer --out --overwrite --colorspace --ocio --display --view --exposure "
    f"--max-image-gib {_REPORTING}",
    "paint": "--plate --frames --frame --layer --out --overwrite --style --exemplar --seed --features --iterations "
    "--style-scale --style-strength --style-layers --colors --matte --resume --work --colorspace --ocio --device "
    "--threads --max-image-gib --strokes --stroke-count --directions --pixel-iterations "
    f"{_REPORTING}",
    "sequence": "--plate --frames --frame --layer --out --overwrite --style --seed --features --iterations "
    "--style-scale --style-strength --style-layers --colors --matte --passes --long-term --strokes --stroke-count "
    "--preview --vectors --backward-vectors --resume --work --colorspace --ocio --device --threads "
    f"--max-image-gib {_REPORTING}",
    "suggest": "--plate --frames --frame --layer --keyframe --fit-paintings --count --out --json --work "
    "--colorspace --ocio "
    f"--max-image-gib {_REPORTING}",
    "report": "--plate --frames --frame --layer --out --look --keyframe --fit-paintings --work --page --json "
    f"{_MATTES} {_RENDERED_WITH} --denoise --colorspace --ocio --max-image-gib {_REPORTING}",
    "clean": f"--work --out --remove {_REPORTING}",
    "export": f"--to {_REPORTING}",
    "worker": "--socket --ask --idle --memory --threads --max-image-gib --debug",
    "install": f"--to {_REPORTING}",
    "uninstall": f"--to {_REPORTING}",
    "doctor": "--ocio --json --debug",
}
"""What people, farms and hosts have in their scripts: a flag is added here on purpose, and never lost by accident."""

ENGINE_FLAGS = {
    "dask": "--address --workers --tls-ca --tls-cert --tls-key --worker-path-mapping --dry-run --write-only",
    "slurm": "--program --partition --account --qos --gres --cpus --memory --at-once --sbatch --dry-run --write-only",
    "openjd": "--program --bundle --session --dry-run --write-only",
    "opencue": "--program --show --cue-shot --user --facility --service --tags --priority --memory "
    "--dry-run --write-only",
    "deadline10": "--program --pool --group --priority --dry-run --write-only",
}


def flags_of(options: tuple[Option, ...]) -> list[str]:
    return sorted(flag for option in options for flag in option.flags)


def every_command() -> list[Command]:
    return [*COMMANDS.values(), *(submit_through(engine) for engine in ENGINES)]


def test_the_flags_of_each_verb_stay() -> None:
    assert set(FLAGS) == set(COMMANDS) == set(cli.VERBS)
    for verb, flags in FLAGS.items():
        assert flags_of(COMMANDS[verb].options) == sorted(flags.split()), verb
    for engine, flags in ENGINE_FLAGS.items():
        assert flags_of(OPTIONS_OF_ENGINE[engine]) == sorted(flags.split()), engine
    assert set(ENGINE_FLAGS) == set(ENGINES) == set(OPTIONS_OF_ENGINE)


def test_each_option_has_a_typed_value_and_each_value_an_option() -> None:
    typed = typing.get_type_hints(Options)
    declared = {option.field: option for command in every_command() for option in command.options}
    assert set(typed) == set(declared)
    for field, option in declared.items():
        takes, kind = option.kind.takes, typed[field]
        lists = [str(argument) for argument in typing.get_args(kind) if "list[" in str(argument)]
        assert (kind is bool) == (takes == "nothing"), field
        assert bool(lists) == (takes in ("many", "pair")), field
        default = getattr(Options, field)
        assert default is (False if kind is bool else None) or (field, default) == ("progress", "auto")


def test_a_verb_reads_through_the_table() -> None:
    for verb in COMMANDS:
        assert cli._verb(verb).parser().command is COMMANDS[verb]


@pytest.mark.parametrize("verb", ["run", "submit"])
def test_the_help_of_a_whole_shot_begins_with_ten_options(verb: str) -> None:
    first = COMMANDS[verb].options[1:11]
    assert {option.group for option in first} == {"the job"} != {COMMANDS[verb].options[11].group}
    needed = "--plate --frames --keyframe --out --work --look --budget --progress"
    assert set(needed.split()) <= {option.flag for option in first}
    text = Parser(COMMANDS[verb]).format_help()
    assert text.index("\nthe job:") < text.index("\nthe paintings:") and text.count("\nthe job:") == 1


def test_groups_of_a_help_are_whole() -> None:
    """argparse would print a title once for all, and so far from where it is declared."""
    for command in every_command():
        titles = [option.group for option in command.options if option is not SHOT]
        places = [title for title, before in zip(titles, [None, *titles], strict=False) if title != before]
        assert len(set(places)) == len(places), command.verb
        assert all(titles), command.verb


def test_an_option_has_one_meaning() -> None:
    """A field's words mean the same in every verb, so that a value may be handed from one to another."""
    kinds: dict[str, set[object]] = {}
    for command in every_command():
        for option in command.options:
            kinds.setdefault(option.field, set()).add(option.kind)
    assert {field for field, found in kinds.items() if len(found) > 1} <= {"path", "engine"}


@pytest.mark.parametrize(
    ("verb", "typed", "said"),
    [
        ("render", "--overwrit", "unknown option --overwrit; see paintover render --help"),
        ("render", "--overwrites", "unknown option --overwrites; see paintover render --help"),
        ("run", "--frsh", "unknown option --frsh; see paintover run --help"),
        ("run", "--depht", "unknown option --depht; did you mean --depth?"),
        ("paint", "--overwite", "unknown option --overwite; see paintover paint --help"),
        ("render", "--no-guides", "--no-guides is no longer an option; use --no-stmaps"),
        ("run", "--no-guides", "--no-guides is no longer an option; use --no-stmaps"),
    ],
)
def test_what_a_wrong_flag_is_told(verb: str, typed: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        Parser(COMMANDS[verb]).read([typed])
    assert str(caught.value) == f"{verb}: {said}"


@pytest.mark.parametrize(
    ("engine", "words", "said"),
    [
        ("slurm", ("--cpus", "0"), "--cpus 0 is too small, the least is 1; give 1 or more"),
        ("slurm", ("--at-once", "few"), "--at-once 'few' is not a whole number; give 1 or more"),
        (
            "opencue",
            ("--priority", "high"),
            "submit: --priority 'high' is not a whole number; see paintover submit --help",
        ),
    ],
)
def test_a_wrong_number_is_told_in_words(engine: str, words: tuple[str, ...], said: str) -> None:
    with pytest.raises(InputError) as caught:
        Parser(submit_through(engine)).read(["--engine", engine, *words])
    assert str(caught.value) == said


def test_no_typing_error_leads_to_what_destroys() -> None:
    for verb, command in COMMANDS.items():
        for option in command.options:
            if not option.destroys:
                continue
            for typed in (option.flag[:-1], option.flag + "e", option.flag.replace("r", "", 1), option.flag[:-3]):
                with pytest.raises(InputError) as caught:
                    Parser(command).read([typed])
                assert f"did you mean {option.flag}?" not in str(caught.value), verb


def test_lengths_exclude_each_other_from_two_groups() -> None:
    for words in (["--budget", "60s", "--steps", "5"], ["--steps", "5", "--budget", "60s"]):
        with pytest.raises(InputError, match=f"argument {words[2]}: not allowed with argument {words[0]}"):
            Parser(COMMANDS["run"]).read(words)


def test_names_that_must_start_fast_are_those_of_the_painter() -> None:
    assert tuple(PRESETS) == PAINT_STYLES


def test_declarations_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="render has --look, look twice"):
        Command("render", "", (LOOK, FRAMES, LOOK), ())
    with pytest.raises(ValueError, match="are no flags"):
        LOOK.but(flags=("look",))
    with pytest.raises(ValueError, match="takes no other"):
        Option("a", (), COMMANDS["inspect"].options[1].kind, "", "")
