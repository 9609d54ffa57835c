"""Check the arguments of pip, pipx or uv as far as that goes without a network: options, folders, names and extras."""

import re
import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

WITH_VALUE = ("--index-url", "--extra-index-url", "--python", "--with")
OPTIONS = (*WITH_VALUE, "-e", "--editable", "-y", "--yes", "--no-deps", "-U", "--upgrade", "-q", "--quiet")
SUBCOMMANDS = {
    "pip": (["install"], ["uninstall"], ["download"]),
    "pipx": (["install"], ["inject"], ["uninstall"]),
    "uv": (["tool", "install"], ["tool", "uninstall"], ["pip", "install"]),
}


def main(program: str, arguments: list[str]) -> None:
    if not any(arguments[: len(words)] == words for words in SUBCOMMANDS[program]):
        sys.exit(f"{program} {' '.join(arguments)}: not checked by this test")
    words = iter(arguments[2 if program == "uv" else 1 :])
    requirements = []
    for word in words:
        option, _, value = word.partition("=")
        if not word.startswith("-"):
            requirements.append(word)
        elif option not in OPTIONS:
            sys.exit(f"{word}: an unknown option of {program}")
        elif option in WITH_VALUE and not value:
            next(words)
    if not requirements:
        sys.exit(f"{program}: nothing to install")
    for requirement in requirements:
        check(requirement)


def check(requirement: str) -> None:
    """Exit with the reason if a requirement names a folder or an extra that does not exist."""
    folder, extras = re.fullmatch(r"([^\[]*)(?:\[(.*)\])?", requirement).groups()
    if folder.startswith((".", "/")):
        project = tomllib.loads((Path(folder) / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        unknown = set((extras or "").split(",")) - {"", *project.get("optional-dependencies", ())}
        if unknown:
            sys.exit(f"{requirement}: no such extra: {', '.join(sorted(unknown))}")
        return
    Requirement(requirement)


main(sys.argv[1], sys.argv[2:])
