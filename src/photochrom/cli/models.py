"""The commands about models: list, show, verify, pull from the Hugging Face hub and push to it."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .console import count, exit_on, fail, loading, notify
from .options import MODEL

if TYPE_CHECKING:
    from ..inference.bundle import Bundle, ModelCard

EXAMPLES = "Folder or zip of color photos, for the picture of examples."

models = typer.Typer(invoke_without_command=True, rich_markup_mode=None)


@models.callback()
def list_models(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print complete model cards as JSON.")] = False,
) -> None:
    """List the installed models; show, verify, download and publish models."""
    if context.invoked_subcommand:
        if as_json:
            fail(f"--json goes after the command: photochrom models {context.invoked_subcommand} --json", 2)
        return
    from dataclasses import asdict

    from .._install import MODELS, install_models
    from ..inference.bundle import installed, model_packages

    paths, packages = installed(), model_packages()
    cards, problems = _read_cards(paths, packages)
    if as_json:
        typer.echo(json.dumps({name: asdict(card) for name, card in cards.items()}, indent=2))
    else:
        for name, card in cards.items():
            typer.echo(_summarize(name, card, paths[name]))
        typer.echo("More about one: photochrom models show NAME")
        if MODELS not in packages:
            typer.echo(f"More models: {install_models()}")
    if problems:
        fail("\n".join(problems), 1)


def _read_cards(
    paths: Mapping[str, Path], packages: Mapping[str, list[Path]]
) -> tuple[dict[str, "ModelCard"], list[str]]:
    """Return the card of each installed model, and what is wrong with others and with packages of models."""
    from ..inference.bundle import BundleError, read_card

    cards, problems = {}, []
    for name, path in paths.items():
        try:
            cards[name] = read_card(path)
        except BundleError as error:
            problems.append(str(error))
    for package, folders in packages.items():
        if not any(folder.is_dir() for folder in folders):
            problems.append(f"{package}: its folder of models is missing; install it again")
    return cards, problems


@models.command()
def show(
    model: Annotated[str, typer.Argument(help=MODEL)] = "default",
    as_json: Annotated[bool, typer.Option("--json", help="Print the complete model card as JSON.")] = False,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Write README.md, and the picture, to this new folder.")
    ] = None,
    examples: Annotated[Path | None, typer.Option(help=EXAMPLES)] = None,
) -> None:
    """Show the model card: use, limits, training data and terms, measurements, cost of training."""
    with loading():
        from dataclasses import asdict

        from ..imaging.atomic import atomic_path
        from ..inference.bundle import load
        from ..training.bundle_writer import require_free
    if as_json and out is not None:
        fail("--json prints the card: leave out --out", 2)
    if examples and out is None:
        fail("--examples needs a folder to write to: --out", 2)
    with exit_on(ValueError, OSError, code=1):
        bundle = load(model)
        if as_json:
            typer.echo(json.dumps(asdict(bundle.card), indent=2))
        elif out is None:
            _print_markdown(_documents(bundle, model, None)["README.md"].decode())
        else:
            require_free(out)
            with atomic_path(out) as folder:
                folder.mkdir()
                for name, content in _documents(bundle, model, examples).items():
                    (folder / name).write_bytes(content)
            typer.echo(out)


@models.command()
def verify(names: Annotated[list[str] | None, typer.Argument(metavar="[MODEL]...", help=MODEL)] = None) -> None:
    """Check that the networks of models match their digests and can be run; all installed models by default."""
    with loading():
        from ..inference.bundle import installed
        from ..inference.onnx import load_model
    failures = 0
    for name in names or installed():
        try:
            card, _, _ = load_model(name, threads=None, device="cpu", sampler={})
            typer.echo(f"{name}: {count(len(card.networks), 'network')} verified, weights {card.weights}")
        except ValueError as error:
            failures += 1
            notify(str(error))
    if failures:
        raise typer.Exit(1)


@models.command()
def pull(
    address: Annotated[str, typer.Argument(help="hf://owner/name or hf://owner/name@revision.")],
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Write the bundle to this new folder too.")] = None,
) -> None:
    """Download the present version of a model from the Hugging Face hub, and check it."""
    with loading():
        from ..inference import hub
        from ..inference.bundle import BundleError, load
        from ..training.bundle_writer import save_bundle
    with exit_on(ValueError, OSError, code=1):
        folder, source = hub.pull(address)
        try:
            bundle = load(folder)
        except BundleError:  # perhaps a download of before was damaged
            folder, source = hub.pull(address, again=True)
            bundle = load(folder)
        if out is not None:
            save_bundle(out, bundle.card, bundle.networks)
            typer.echo(out)
    typer.echo(f"{source}: {count(len(bundle.networks), 'network')} verified, weights {bundle.card.weights}")


@models.command()
def push(
    model: Annotated[str, typer.Argument(help=MODEL)],
    address: Annotated[str, typer.Argument(help="hf://owner/name; a repository that does not exist is created.")],
    examples: Annotated[Path | None, typer.Option(help=EXAMPLES)] = None,
    private: Annotated[bool, typer.Option("--private", help="Create a private repository.")] = False,
) -> None:
    """Upload a model and its model card to the Hugging Face hub (log in with `hf auth login`, or set HF_TOKEN)."""
    with loading():
        from ..inference import hub
        from ..inference.bundle import load
        from ..inference.model_card import front_matter
    with exit_on(ValueError, OSError, code=1):
        bundle = load(model)
        documents = _documents(bundle, model, examples, address)
        documents["README.md"] = front_matter(bundle.card).encode() + documents["README.md"]
        typer.echo(hub.push(bundle, address, documents, private))


def _documents(bundle: "Bundle", model: str, examples: Path | None, source: str = "") -> dict[str, bytes]:
    """Return the model card as README.md and, if there are photos, the picture that it shows.

    ``source``: what readers of the card give to `--model`; ``model`` by default.
    """
    from ..imaging.sources import find_images
    from ..inference.colorizer import Colorizer
    from ..inference.model_card import PICTURE, draw_examples, markdown

    sizes = {name: len(content) for name, content in bundle.networks.items()}
    pictures = {}
    if examples is not None:
        photos = {str(image): image.open() for image in find_images(examples)}
        pictures[PICTURE] = draw_examples(Colorizer(model), photos)
    text = markdown(bundle.card, sizes, PICTURE if pictures else "", source or model)
    return {"README.md": text.encode(), **pictures}


def _summarize(name: str, card: "ModelCard", path: Path) -> str:
    from ..inference.bundle import DEFAULT

    files = [path] if path.is_file() else path.iterdir()
    megabytes = sum(file.stat().st_size for file in files) / 1e6
    label = "  (default)" if name == DEFAULT else "  (for study)" if card.use == "study" else ""
    lines = [f"{name}{label}", f"{card.family}, {megabytes:.1f} MB, {card.licence}", card.summary]
    return "\n  ".join(lines)


def _print_markdown(text: str) -> None:
    """Print Markdown: with its tables drawn on a terminal, as it is for a pipe."""
    if not sys.stdout.isatty():
        typer.echo(text, nl=False)
        return
    from rich.console import Console
    from rich.markdown import Markdown

    Console().print(Markdown(text))
