"""The command line as Markdown: every command with arguments and options, from the objects that print ``--help``."""

import inspect
from collections.abc import Iterator
from typing import Any

from schemas import as_code, define, format_number
from typer.main import get_command

from photochrom.cli.main import app

PROGRAM = "photochrom"


def write_commands() -> str:
    """Return a section for each command, those of groups too."""
    return "\n\n".join(write_command(name, command) for name, command in walk(get_command(app), PROGRAM))


def walk(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Yield each command below a group with its whole name; the program itself first."""
    yield name, command
    for part, inner in getattr(command, "commands", {}).items():
        if not inner.hidden:
            yield from walk(inner, f"{name} {part}")


def write_command(name: str, command: Any) -> str:
    """Return the section of a command: usage, help, arguments and options."""
    context = command.make_context(name, [], resilient_parsing=True)
    usage = " ".join([name, *command.collect_usage_pieces(context)])
    parts = [f"## {name}", inspect.cleandoc(command.help or ""), f"```text\n{usage}\n```"]
    for parameter in command.get_params(context):
        if not getattr(parameter, "hidden", False):
            parts.append(write_parameter(name, parameter, context))
    return "\n\n".join(parts)


def write_parameter(command: str, parameter: Any, context: Any) -> str:
    """Return the definition of an argument or an option."""
    is_option = parameter.param_type_name == "option"
    is_flag = getattr(parameter, "is_flag", False)
    if is_option:
        names = ", ".join([*parameter.opts, *parameter.secondary_opts])
        term = names if is_flag else f"{names} {parameter.make_metavar(context).strip('[]')}"
    else:
        term = parameter.make_metavar(context)
    longest = max(parameter.opts, key=len)
    anchor = f"{command.replace(' ', '-')}-{longest.strip('-').lower()}"
    return define(term, anchor, ", ".join(facts_of(parameter, is_flag)), getattr(parameter, "help", "") or "")


def facts_of(parameter: Any, is_flag: bool) -> list[str]:
    """Return range, choices, default and environment variable of a parameter, each in words."""
    facts = []
    low, high = getattr(parameter.type, "min", None), getattr(parameter.type, "max", None)
    if low is not None and high is not None:
        facts.append(f"{format_number(low)} to {format_number(high)}")
    elif low is not None:
        facts.append(f"at least {format_number(low)}")
    choices = getattr(parameter.type, "choices", ())
    if choices:
        facts.append(" or ".join(map(as_code, choices)))
    if parameter.required:
        facts.append("required")
    default = parameter.default
    if not is_flag and not callable(default) and isinstance(default, int | float | str) and default != "":
        facts.append(f"default {as_code(default)}")
    if getattr(parameter, "envvar", None):
        facts.append(f"environment variable `{parameter.envvar}`")
    if getattr(parameter, "multiple", False):
        facts.append("repeatable")
    return facts
