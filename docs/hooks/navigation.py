"""The order of pages: sections are folders, in the order of ``extra.sections`` in ``mkdocs.yml``.

A page that is added to a folder appears by itself: after those that the section names, in the order of titles. A folder
without an index gets one, which lists its pages.
"""

import logging
import posixpath
import re
from collections.abc import Iterable, Mapping
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

log = logging.getLogger("mkdocs.hooks.navigation")

HOME = "index.md"
INDEXES = ("index.md", "README.md")


def arrange_pages(files: Files, config: MkDocsConfig) -> None:
    """Set the navigation, and add the indexes of sections that have none."""
    pages = [file for file in files.documentation_pages() if not file.inclusion.is_not_in_nav()]
    sections: Mapping[str, Any] = config.extra["sections"]
    folders = {file.src_uri.partition("/")[0] for file in pages if "/" in file.src_uri}
    nav: list[Any] = [{"Home": HOME}]
    for folder in [*sections, *sorted(folders - sections.keys())]:
        section = sections.get(folder, {})
        title = section.get("title", folder.replace("-", " ").capitalize())
        inside = [file for file in pages if file.src_uri.startswith(f"{folder}/")]
        if inside and not any(is_index(file, folder) for file in inside):
            content = write_index(title, section.get("summary", ""), order_pages(folder, inside, section))
            index = File.generated(config, f"{folder}/index.md", content=content)
            files.append(index)
            inside.append(index)
        if inside:
            nav.append({title: nest_pages(folder, order_pages(folder, inside, section))})
    config.nav = nav


def is_index(file: File, folder: str) -> bool:
    """Return whether a page is the index of a folder."""
    return posixpath.relpath(file.src_uri, folder) in INDEXES


def order_pages(folder: str, pages: Iterable[File], section: Mapping[str, Any]) -> list[File]:
    """Return the pages of a section: its index, those that it names, and others by title.

    A page in a folder below stands where the section names this folder; its index is the first of them.
    """
    first = [*INDEXES, *section.get("pages", ())]
    named = {posixpath.relpath(page.src_uri, folder).split("/")[0] for page in pages}
    for name in section.get("pages", ()):
        if name not in named:
            log.warning("mkdocs.yml: extra.sections.%s: %s: there is no such page", folder, name)

    def place(page: File) -> tuple[Any, ...]:
        name = posixpath.relpath(page.src_uri, folder)
        top = name.split("/")[0]
        order = first.index(top) if top in first else len(first)
        return order, top if "/" in name else "", posixpath.basename(name) not in INDEXES, read_title(page)

    return sorted(pages, key=place)


def nest_pages(folder: str, pages: Iterable[File]) -> list[Any]:
    """Return the pages of a section in order, those in folders below as sections with the title of their index."""
    nav: list[Any] = []
    below: dict[str, list[Any]] = {}
    for page in pages:
        name, _, inside = posixpath.relpath(page.src_uri, folder).partition("/")
        if not inside:
            nav.append(page.src_uri)
            continue
        if name not in below:
            below[name] = []
            nav.append({read_title(page): below[name]})
        below[name].append(page.src_uri)
    return nav


def write_index(title: str, summary: str, pages: Iterable[File]) -> str:
    """Return a page that lists the pages of a section, each with the first sentence of it."""
    items = []
    for page in pages:
        if page.src_uri.count("/") == 1 or posixpath.basename(page.src_uri) in INDEXES:
            link = f"**[{read_title(page)}]({page.src_uri.partition('/')[2]})**"
            items.append(f"{link}  \n{read_first_sentence(page.content_string)}")
    return "\n\n".join([f"# {title}", summary, *items]) + "\n"


def read_title(page: File) -> str:
    """Return the first heading of a page."""
    match = re.search(r"^# (.+)$", page.content_string, flags=re.M)
    return match[1].strip() if match else page.name


def read_first_sentence(text: str) -> str:
    """Return the first sentence of a page; nothing if it begins with something else than text, or a picture."""
    _, _, body = f"\n{text}".partition("\n# ")
    for paragraph in re.split(r"\n{2,}", body.partition("\n")[2].strip()):
        if paragraph.startswith(("![", "<!--")):
            continue
        if re.match(r"[#|<>:]|```|[-*] |\d+\.", paragraph):
            return ""
        sentence = re.split(r"(?<=[.!?])\s(?=[A-Z`])", " ".join(paragraph.split()))[0]
        return f"{sentence[:-1]}." if sentence.endswith(":") else sentence
    return ""
