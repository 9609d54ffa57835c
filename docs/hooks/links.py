"""Links of pages: to files outside the site they become addresses in the repository, to notebooks and folders pages.

In the repository and on its web page the same links lead to the files themselves.
"""

import posixpath
from pathlib import Path
from urllib.parse import urlsplit
from xml.etree.ElementTree import Element

from markdown import Markdown
from markdown.extensions import Extension
from markdown.treeprocessors import Treeprocessor
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
DOCS = "docs"
BEFORE_MKDOCS = 1  # priority; mkdocs resolves links between pages at 0


class Links(Extension):
    """The extension of Markdown that corrects links, with the page that is being rendered."""

    page: Page
    files: Files

    def __init__(self, repository: str) -> None:
        super().__init__()
        self.repository = repository

    def extendMarkdown(self, md: Markdown) -> None:
        """Register what corrects links."""
        processor = LinkProcessor(md)
        processor.links = self
        md.treeprocessors.register(processor, "links-to-repository", BEFORE_MKDOCS)

    def resolve(self, target: str) -> str:
        """Return what the page has to link to in place of the target; a target that does not exist stays."""
        parts = urlsplit(target)
        if parts.scheme or parts.netloc or not parts.path or parts.path.startswith("/"):
            return target
        folder = posixpath.dirname(f"{DOCS}/{self.page.file.src_uri}")
        path = posixpath.normpath(posixpath.join(folder, parts.path))
        anchor = f"#{parts.fragment}" if parts.fragment else ""
        page = self._find_page(path)
        if page:
            return posixpath.relpath(f"{DOCS}/{page}", folder) + anchor
        in_repository = ROOT / path
        if path.startswith("..") or not in_repository.exists():
            return target  # mkdocs reports it
        kind = "tree" if in_repository.is_dir() else "blob"
        return f"{self.repository}/{kind}/main/{path}{anchor}"

    def _find_page(self, path: str) -> str:
        """Return the file of the site for a path in the repository, or nothing."""
        uri = posixpath.relpath(path, DOCS)
        candidates = [uri, f"{uri}/index.md", f"{uri}/README.md"]
        if uri.endswith(".ipynb"):
            candidates.insert(0, uri.removesuffix(".ipynb") + ".md")
        for candidate in candidates:
            file = self.files.get_file_from_path(posixpath.normpath(candidate))
            if file and file.inclusion.is_included():
                return file.src_uri
        return ""


class LinkProcessor(Treeprocessor):
    """Corrects the links and pictures of a page."""

    links: Links

    def run(self, root: Element) -> None:
        """Change the tree of a page."""
        for element in root.iter():
            for attribute in ("href", "src"):
                target = element.get(attribute)
                if target:
                    element.set(attribute, self.links.resolve(target))


def github_slug(heading: str, separator: str) -> str:
    """Return the anchor of a heading as GitHub names it, so that links to headings work in both places."""
    kept = [letter for letter in heading.strip().lower() if letter.isalnum() or letter in "_- "]
    return "".join(kept).replace(" ", separator)
