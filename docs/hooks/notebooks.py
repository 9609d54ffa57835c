"""Notebooks as pages, with the outputs that they were saved with; they are not run here."""

import posixpath
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files


def add_notebooks(files: Files, config: MkDocsConfig) -> None:
    """Add a page for each notebook, and a file for each picture among its outputs."""
    for file in list(files):
        if file.src_uri.endswith(".ipynb") and file.abs_src_path:
            for uri, content in render_notebook(Path(file.abs_src_path), file.src_uri).items():
                files.append(File.generated(config, uri, content=content))


def render_notebook(path: Path, uri: str) -> dict[str, str | bytes]:
    """Return the page of a notebook and its pictures, by their place in the site."""
    from nbconvert import MarkdownExporter  # which takes a second to import

    folder, name = posixpath.split(uri.removesuffix(".ipynb"))
    resources = {"output_files_dir": f"{name}_files", "unique_key": name}
    text, rendered = MarkdownExporter().from_filename(str(path), resources=resources)
    title, rest = text.lstrip().partition("\n")[::2]
    download = f'<p><a href="{name}.ipynb" download>Download this notebook</a></p>'
    outputs = {posixpath.join(folder, output): content for output, content in rendered["outputs"].items()}
    return {f"{folder}/{name}.md": f"{title}\n\n{download}\n{rest}", **outputs}
