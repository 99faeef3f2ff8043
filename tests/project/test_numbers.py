"""Every numeric option of every command, given numbers that make no sense."""

import importlib
import re

import click
import click.testing
import pytest

from mde_runtime.command import FOCAL_PX, Real, Several, Whole

DIGITS = "9" * 5000
NO_NUMBERS = ("nan", "-nan", "inf", "-inf", "1e999", DIGITS, f"-{DIGITS}", "1e", "1_000", "", "--", "0x10", "\udce9")
TOO_LARGE_A_COUNT = (str(10**30), str(2**31), "1.5")


def options_of(command: click.Command, path: tuple[str, ...] = ()):
    """Every option of a command and of the commands in it, with the words that lead to it."""
    for name, inner in getattr(command, "commands", {}).items():
        yield from options_of(inner, (*path, name))
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            yield path, parameter


@pytest.fixture
def main(command_module):
    """The command itself."""
    return importlib.import_module(command_module).main


@pytest.fixture
def end(main):
    """A function that calls a command with one option, and gives how it ended. Its files are none."""

    def run(path, option, value):
        required = [word for at, other in options_of(main) if at == path and other.required for word in other.opts[-1:]]
        files = [word for name in required for word in (name, "none")]
        arguments = [*path, f"{option.opts[-1]}={value}", *files, "none", "none"]
        return click.testing.CliRunner().invoke(main, arguments)

    return run


def numeric(main, kinds=(Whole, Real, Several)):
    return [(path, option) for path, option in options_of(main) if isinstance(option.type, kinds)]


def refuses(ended, option):
    last = ended.stderr.splitlines()[-1]
    return ended.exit_code == 2 and last.startswith("Error: Invalid value for") and option.opts[-1] in last


def test_what_is_no_number_is_wrong_usage(main, end):
    for path, option in numeric(main):
        for value in NO_NUMBERS:
            ended = end(path, option, value)
            assert refuses(ended, option), (path, option.name, value[:20], ended.stderr[-300:])
            assert max(map(len, ended.stderr.splitlines())) < 300


def test_a_count_that_no_machine_has_is_wrong_usage(main, end):
    for path, option in numeric(main, Whole):
        for value in TOO_LARGE_A_COUNT:
            if option.type.max is None or float(value) > option.type.max or "." in value:
                assert refuses(end(path, option, value), option), (path, option.name, value)


def test_a_negative_number_is_wrong_usage_where_it_means_nothing(main, end):
    for path, option in numeric(main, (Whole, Real)):
        if option.opts[-1] not in {"--scale", "--shift"}:  # of an affine map: any sign
            assert refuses(end(path, option, "-1"), option), (path, option.name)


def test_a_focal_length_is_the_same_number_in_every_command(main, end):
    for path, option in numeric(main, Real):
        if option.opts[-1] == "--focal-px":
            assert option.type is FOCAL_PX, path
            assert refuses(end(path, option, "0"), option), path


def test_one_bad_number_among_several_is_wrong_usage(main, end):
    for path, option in numeric(main, Several):
        _, separator, rest = option.type.example.partition(option.type.separator)
        for bad in NO_NUMBERS:
            assert refuses(end(path, option, bad + separator + rest), option), (path, option.name, bad[:20])
        for count in (1, 9):
            value = separator.join(["1"] * count)
            assert refuses(end(path, option, value), option), (path, option.name, value)


def test_a_sound_number_is_left_alone(main, end):
    for path, option in numeric(main):
        value = option.type.example if isinstance(option.type, Several) else str(max(1, option.type.min or 1))
        if isinstance(option.type, Real) and option.type.max == 1:
            value = "0.5"
        assert not refuses(end(path, option, value), option), (path, option.name)


def test_no_option_takes_numbers_in_any_other_way(main):
    others = [
        (path, option.name)
        for path, option in options_of(main)
        if type(option.type) is not click.types.BoolParamType
        and not option.count
        and (
            (
                isinstance(option.type, (click.types.IntParamType, click.types.FloatParamType))
                and not isinstance(option.type, (Whole, Real))
            )
            or re.search(r"\d", option.metavar or "")
        )
    ]
    assert others == []
