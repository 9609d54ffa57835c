"""Prepare a release: set the version everywhere, close the section of the changelog, build and check both packages.

python packaging/release.py 0.2.0    all of it; `just release 0.2.0` does the same
python packaging/release.py --build    build and check both packages alone
python packaging/release.py --copy    copy version and addresses into the files that repeat them
python packaging/release.py --notes 0.2.0    print the section of the changelog
python packaging/release.py --ready    fail if an address is still a placeholder

The version is in src/photochrom/_version.py, the addresses are in [project.urls] of pyproject.toml. Files that cannot
read them there repeat them; `COPIES` lists these places, and a test compares them.
"""

import argparse
import datetime
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
VERSION_FILE = "src/photochrom/_version.py"
VERSION = re.compile(r"\d+\.\d+\.\d+(?:(?:a|b|rc)\d+)?")
CHANGELOG = "CHANGELOG.md"
UNRELEASED = "## Unreleased"
PLACEHOLDER = "example.org"
LARGEST_UPLOAD = 100 << 20  # bytes of a file that PyPI accepts

# Places that repeat the version or an address: file, what is before the value and after it, and the name of the value.
COPIES = [
    ("photochrom-models/pyproject.toml", '\nversion = "', '"', "version"),
    ("photochrom-models/pyproject.toml", '\nDocumentation = "', '"', "Documentation"),
    ("photochrom-models/pyproject.toml", '\nRepository = "', '"', "Repository"),
    ("photochrom-models/pyproject.toml", '\nIssues = "', '"', "Issues"),
    ("photochrom-models/pyproject.toml", '\nChangelog = "', '"', "Changelog"),
    ("CITATION.cff", "\nversion: ", "\n", "version"),
    ("CITATION.cff", '\nurl: "', '"', "Documentation"),
    ("CITATION.cff", '\nrepository-code: "', '"', "Repository"),
    ("packaging/conda/recipe.yaml", '\n  version: "', '"', "version"),
    ("packaging/conda/recipe.yaml", "\n  homepage: ", "\n", "Repository"),
    ("packaging/conda/recipe.yaml", "\n  repository: ", "\n", "Repository"),
    ("packaging/conda/recipe.yaml", "\n  documentation: ", "\n", "Documentation"),
    ("packaging/systemd/photochrom.service", "\nDocumentation=", "\n", "Documentation"),
    ("docs/tutorials/first-photo.md", "\ngit clone --depth 1 ", "\n", "Repository"),
    (".github/ISSUE_TEMPLATE/config.yml", "\n    url: ", "\n", "Documentation"),
]


def read_version(root: Path = ROOT) -> str:
    """Return the version of the package."""
    text = (root / VERSION_FILE).read_text(encoding="utf-8")
    return re.findall(r'__version__ = "(.*)"', text)[0]


def read_addresses(root: Path = ROOT) -> dict[str, str]:
    """Return the addresses in [project.urls], by their labels."""
    return tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]


def find_copies(root: Path = ROOT) -> Iterator[tuple[str, re.Pattern[str], str, str]]:
    """Yield for each of `COPIES` the file, a pattern of its place, what is there, and what should be there."""
    values = {"version": read_version(root), **read_addresses(root)}
    for file, before, after, name in COPIES:
        pattern = re.compile(f"({re.escape(before)})(.*?)(?={re.escape(after)})")
        places = pattern.findall((root / file).read_text(encoding="utf-8"))
        if len(places) != 1:
            raise SystemExit(f"{file}: {before.strip()} is there {len(places)} times, not once")
        yield file, pattern, places[0][1], values[name]


def copy_values(root: Path = ROOT) -> list[str]:
    """Write version and addresses into the files that repeat them, and return the files that changed."""
    changed = []
    for file, pattern, value, expected in list(find_copies(root)):
        if value != expected:
            path = root / file
            text = path.read_text(encoding="utf-8")
            path.write_text(pattern.sub(lambda match, new=expected: match[1] + new, text), encoding="utf-8")
            changed.append(file)
    return sorted(set(changed))


def set_version(version: str, root: Path = ROOT) -> None:
    """Set the version of both packages. Raises SystemExit for one that is malformed or lower than the present one."""
    if not VERSION.fullmatch(version):
        raise SystemExit(f"{version}: not a version such as 0.2.0 or 0.2.0rc1")
    present = read_version(root)
    if version_key(version) < version_key(present):
        raise SystemExit(f"{version} is lower than the present version, {present}")
    path = root / VERSION_FILE
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace(f'"{present}"', f'"{version}"'), encoding="utf-8")


def version_key(version: str) -> tuple[int, int, int, str, int]:
    """Return what orders versions: 0.2.0a1, 0.2.0rc1, 0.2.0, 0.10.0."""
    numbers, kind, number = re.fullmatch(r"([\d.]+?)(?:(a|b|rc)(\d+))?", version).groups()  # type: ignore[union-attr]
    major, minor, patch = map(int, numbers.split("."))
    return major, minor, patch, kind or "~", int(number or 0)  # "~" comes after all letters


def read_notes(version: str, root: Path = ROOT) -> str:
    """Return what the changelog says of a version, without the heading; "" if it has no such section."""
    text = (root / CHANGELOG).read_text(encoding="utf-8") + "\n## "
    heading = UNRELEASED if version == "Unreleased" else rf"## {re.escape(version)} - \d{{4}}-\d\d-\d\d"
    match = re.search(rf"^{heading}\n(.*?)(?=^## )", text, flags=re.M | re.S)
    return match[1].strip() if match else ""


def close_section(version: str, date: datetime.date, root: Path = ROOT) -> None:
    """Turn the section "Unreleased" into that of a version, unless that exists. Raises SystemExit for an empty one."""
    if read_notes(version, root):
        return
    if not read_notes("Unreleased", root):
        raise SystemExit(f'{CHANGELOG}: "Unreleased" is empty; say what changed')
    path = root / CHANGELOG
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace(UNRELEASED, f"{UNRELEASED}\n\n## {version} - {date}", 1), encoding="utf-8")


def check_addresses(root: Path = ROOT) -> None:
    """Raise SystemExit if an address is a placeholder."""
    unset = [label for label, address in read_addresses(root).items() if PLACEHOLDER in address]
    if unset:
        raise SystemExit(f"pyproject.toml: [project.urls] has placeholders ({', '.join(unset)}); fill them in")


def build(root: Path = ROOT) -> list[Path]:
    """Build and check the wheels and source archives of both packages, and return them."""
    folder = root / "dist"
    shutil.rmtree(folder, ignore_errors=True)
    for package in (root, root / "photochrom-models"):
        run("-m", "build", "--outdir", folder, package)
    files = sorted(folder.iterdir())
    run("-m", "twine", "check", "--strict", *files)
    run("-m", "check_wheel_contents", *folder.glob("*.whl"))
    for file in files:
        if file.stat().st_size > LARGEST_UPLOAD:
            raise SystemExit(f"{file.name}: {file.stat().st_size >> 20} MB; PyPI accepts 100 MB")
    return files


def run(*arguments: object) -> None:
    """Run a module of Python. Raises SystemExit with its exit code if it fails."""
    process = subprocess.run([sys.executable, *map(str, arguments)], check=False)
    if process.returncode:
        raise SystemExit(process.returncode)


def build_all() -> None:
    """Build and check both packages, and print the sizes of their files."""
    for file in build():
        print(f"{file.relative_to(ROOT)}  {file.stat().st_size / 1e6:.1f} MB")


def release(version: str) -> None:
    """Prepare a release of both packages, and print what is left to do."""
    set_version(version)
    close_section(version, datetime.datetime.now(datetime.UTC).date())
    copy_values()
    build_all()
    if any(PLACEHOLDER in address for address in read_addresses().values()):
        print("\nFirst: fill in [project.urls] of pyproject.toml and run this again; release.yml refuses placeholders.")
    print(f"""
Next:
  git commit -a -m "release: {version}"
  git tag -a v{version} -m "Photochrom {version}"
  git push --follow-tags
release.yml then tests, builds again, publishes both packages, makes the GitHub release and the documentation site.""")


def main() -> None:
    """Read the command line and do what it says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("version", nargs="?")
    parser.add_argument("--notes", metavar="VERSION")
    parser.add_argument("--build", action="store_true")
    parser.add_argument("--copy", action="store_true")
    parser.add_argument("--ready", action="store_true")
    arguments = parser.parse_args()
    if arguments.version:
        release(arguments.version)
    elif arguments.notes:
        print(read_notes(arguments.notes) or sys.exit(f"{CHANGELOG}: no section of {arguments.notes}"))
    elif arguments.build:
        build_all()
    elif arguments.copy:
        print("\n".join(copy_values()) or "nothing to change")
    elif arguments.ready:
        check_addresses()
    else:
        parser.error("give a version")


if __name__ == "__main__":
    main()
