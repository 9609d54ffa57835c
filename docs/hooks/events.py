"""What mkdocs calls while it builds the site: generated pages, the order of pages, formulas and links.

A page that says ``<!-- generated: NAME -->`` gets what the function of this name in `GENERATORS` writes from the code.
"""

import re
import tomllib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import bundle_format
import command_line
import formulas
import http_api
import links
import model_pages
import navigation
import notebooks
import recipe_keys
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
URLS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]
GENERATORS: dict[str, Callable[[], str]] = {
    "commands": command_line.write_commands,
    "recipe tables": recipe_keys.write_tables,
    "keys of model.json": bundle_format.write_card_keys,
    "procedures": bundle_format.write_procedures,
    "routes": http_api.write_routes,
    "schemas": http_api.write_schemas,
    "models": model_pages.write_table,
}
MARKER = r"^<!-- generated: (.+?) -->$"
ICON = ROOT / "src" / "photochrom" / "server" / "static" / "icon.svg"
LINKS = links.Links(URLS["Repository"])


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Add the addresses of the project, and our extensions of Markdown."""
    config.site_url = f"{URLS['Documentation']}/"
    config.copyright = f'<a href="{URLS["Repository"]}">Source code</a> under Apache-2.0'
    config.markdown_extensions += [formulas.Formulas(), LINKS]
    fence = {"name": "math", "class": "formula", "format": formulas.render_block}
    config.mdx_configs["pymdownx.superfences"] = {"custom_fences": [fence]}
    config.mdx_configs["toc"]["slugify"] = links.github_slug
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add generated files and notebooks, then set the navigation."""
    contents: dict[str, str | bytes] = {"assets/icon.svg": ICON.read_bytes()}
    contents |= {"reference/openapi.json": http_api.write_openapi(), **model_pages.write_pages()}
    for uri, content in contents.items():
        files.append(File.generated(config, uri, content=content))
    notebooks.add_notebooks(files, config)
    navigation.arrange_pages(files, config)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Fill in what is generated."""
    LINKS.page, LINKS.files = page, files
    if page.file.src_uri == navigation.HOME:
        page.meta["hide"] = ["navigation"]
    return re.sub(MARKER, lambda match: _generate(match[1]), markdown, flags=re.M)


@cache
def _generate(name: str) -> str:
    if name not in GENERATORS:
        raise PluginError(f"<!-- generated: {name} -->: choose one of {', '.join(GENERATORS)}")
    return GENERATORS[name]()
