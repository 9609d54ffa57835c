"""Options that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

Model = Annotated[str, typer.Option(help="A name that `photochrom models` lists, or the path of a bundle.")]
Sets = Annotated[list[str] | None, typer.Option("--set", help="TABLE.KEY=VALUE over the recipe's; repeatable.")]
Out = Annotated[Path | None, typer.Option("-o", "--out", help="What to write; named after the input if not given.")]
Size = Annotated[int | None, typer.Option(min=32, max=2048, help="Short side, in pixels, that the model sees.")]
