"""The documentation site: formulas, links and the order of pages, and that every page works without a network."""

import json
import os
import re
import subprocess
import sys
import tomllib
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml

pytest.importorskip("mkdocs", reason="the extra docs is not installed")
pytest.importorskip("latex2mathml", reason="the extra docs is not installed")

ROOT = Path(__file__).parent.parent
HOOKS = ROOT / "docs" / "hooks"
sys.path.insert(0, str(HOOKS))

import formulas  # noqa: E402
import links  # noqa: E402
import notebooks  # noqa: E402

WIDTHS = (1440, 390)


def build(folder, *options):
    """What `mkdocs build --strict` says about the site of a folder, and whether it succeeded."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder / "site"), *options]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=environment)
    return done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def small_site(tmp_path):
    """Builds a site of some pages, with the settings of the real one, and returns the text of a page of it."""

    def build_pages(pages, shown="index", sections=None):
        config = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
        config |= {"hooks": [str(HOOKS / "events.py")], "plugins": [], "watch": []}
        config["extra"] = {"sections": sections or {}}
        for name, text in {"index.md": "# Home\n", **pages}.items():
            path = tmp_path / "docs" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        for name in ("iframe-worker.js", "site.css"):
            path = tmp_path / "docs" / "assets" / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes((ROOT / "docs" / "assets" / name).read_bytes())
        (tmp_path / "mkdocs.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
        is_built, messages = build(tmp_path)
        page = tmp_path / "site" / f"{shown}.html"
        html = page.read_text(encoding="utf-8") if is_built else ""
        return re.sub(r".*<article[^>]*>(.*)</article>.*", r"\1", html, flags=re.S), messages

    return build_pages


FORMULAS = r"""# Formulas

The noise $\epsilon_\theta(x_t, t)$ and $`a_1 * b * c_1`$ cost $5 or $6, and `$folder` is no *formula*: \$a\$.

```sh
cp "$folder/$name" $other
```

```math
\begin{aligned}
\log p &\ge \mathbb{E}_q[x] \\ &= 1
\end{aligned}
```

| metric | |
|---|---|
| distance | $\lVert x \rVert_2$ |
"""


def test_formulas_become_mathml_and_prices_and_code_stay(small_site):
    html, messages = small_site({"index.md": FORMULAS})
    assert html, messages
    text = re.sub(r"<math.*?</math>", "FORMULA", html, flags=re.S)
    text = re.sub(r"<[^>]*>", "", text)
    assert "The noise FORMULA and FORMULA cost $5 or $6, and $folder is no formula: $a$." in text
    assert 'cp "$folder/$name" $other' in text.replace("&quot;", '"')
    assert html.count('display="block"') == 1
    assert html.count("<math") == text.count("FORMULA") == 4
    assert "<mtable" in html
    assert "<script" not in html


@pytest.mark.parametrize(("formula", "signs"), [("(20, -60) = -1", 2), ("-x", 0), ("a - b", 0), ("f(a) - |b| - c", 0)])
def test_signs_and_differences_have_the_spaces_of_tex(formula, signs):
    """A browser takes a minus at the beginning for a sign by itself."""
    assert formulas.to_mathml(formula).count('form="prefix"') == signs


def test_an_unknown_command_in_a_formula_ends_the_build(small_site):
    html, messages = small_site({"index.md": "# Home\n\n$\\unheard{x}$ and $\\begin{unknown} a & b \\end{unknown}$\n"})
    assert not html
    assert r"\unheard: not known; write it with other commands" in messages
    assert r"\begin{unknown}: not known; write it with other commands" in messages


LINKS = """# Links

[a file](../README.md#test-and-contribute), [a folder](../recipes), [a script](pictures/make.py), [a section](how-to/),
[a page](how-to/a.md#a-b--c) and `[code](../README.md)`.
"""


def test_links_to_the_repository_and_to_sections_work(small_site):
    html, messages = small_site({"index.md": LINKS, "how-to/a.md": "# A\n\n## A: b & c\n"})
    assert html, messages
    urls = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]
    repository = urls["Repository"]
    targets = re.findall(r'href="([^"]*)">(?=a )', html)
    assert targets == [
        f"{repository}/blob/main/README.md#test-and-contribute",
        f"{repository}/tree/main/recipes",
        f"{repository}/blob/main/docs/pictures/make.py",
        "how-to/index.html",
        "how-to/a.html#a-b--c",
    ]


def test_broken_links_end_the_build(small_site):
    targets = ["gone.md", "../gone.toml", "how-to/a.md#gone", "/how-to/a.md", "gone.jpg"]
    text = "".join(f"[link]({target})\n" for target in targets)
    html, messages = small_site({"index.md": f"# Home\n\n{text}", "how-to/a.md": "# A\n"})
    assert not html
    assert f"Aborted with {len(targets)} warnings in strict mode" in messages
    assert all(f"link '{target}'" in messages for target in targets)


def test_pages_appear_without_being_listed(small_site, tmp_path):
    pages = {
        "how-to/b.md": "# A second\n\nText (Li et al. 2020). More.\n",
        "how-to/c.md": "# First\n",
        "more-pages/d.md": "# Another\n",
    }
    sections = {"how-to": {"title": "Guides", "summary": "Tasks.", "pages": ["c.md"]}}
    html, _ = small_site(pages, "how-to/index", sections)
    whole = (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    assert re.findall(r'<strong><a href="(.*?)">(.*?)</a>', html) == [("c.html", "First"), ("b.html", "A second")]
    assert re.search(r"A second</a></strong><br\s*/?>\s*Text \(Li et al. 2020\)\.</p>", html)
    assert re.findall(r'md-tabs__link">\s*(.*?)\s*<', whole) == ["Home", "Guides", "More pages", "Reference"]


def test_a_section_that_names_a_missing_page_ends_the_build(small_site):
    html, messages = small_site({"how-to/b.md": "# B\n"}, sections={"how-to": {"pages": ["gone.md"]}})
    assert not html
    assert "extra.sections.how-to: gone.md: there is no such page" in messages


def test_github_and_the_site_have_the_same_anchors():
    assert links.github_slug("How it's done: A & B (2020), `code`", "-") == "how-its-done-a--b-2020-code"


def test_notebooks_become_pages_with_their_pictures(tmp_path):
    picture = {"output_type": "display_data", "data": {"image/png": "iVBORw0KGgo="}, "metadata": {}}
    cells = [
        {"cell_type": "markdown", "metadata": {}, "source": "# Title\n\nText."},
        {"cell_type": "code", "metadata": {}, "source": "1 + 1", "execution_count": 1, "outputs": [picture]},
    ]
    notebook = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 4}
    path = tmp_path / "first.ipynb"
    path.write_text(json.dumps(notebook), encoding="utf-8")
    files = notebooks.render_notebook(path, "notebooks/first.ipynb")
    text = files.pop("notebooks/first.md")
    (uri,) = files
    assert text.startswith('# Title\n\n<p><a href="first.ipynb" download>')
    assert "1 + 1" in text
    assert f"]({uri.removeprefix('notebooks/')})" in text
    assert files[uri] == b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The whole site."""
    folder = tmp_path_factory.mktemp("documentation")
    is_built, messages = build(folder, "--config-file", str(ROOT / "mkdocs.yml"))
    assert is_built, messages
    return folder / "site"


class Targets(HTMLParser):
    """Collects what a page links to and loads."""

    def __init__(self, page):
        super().__init__()
        self.targets = []
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        self.targets += [value for name, value in attrs if name in ("href", "src") and value]


def pages_of(site):
    """All pages but the one for errors, whose links are those of the published site."""
    return [page for page in sorted(site.rglob("*.html")) if page.name != "404.html"]


def test_every_link_inside_the_site_has_a_target(site):
    missing = []
    for page in pages_of(site):
        for target in Targets(page).targets:
            parts = urlsplit(target)
            if parts.path and not parts.scheme and not (page.parent / unquote(parts.path)).exists():
                missing.append(f"{page.relative_to(site)}: {target}")
    assert not missing


@pytest.mark.slow
def test_every_page_works_from_a_file_at_two_widths(site):
    from browsing import CHROMIUM, launch_browser

    if not CHROMIUM:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    problems = []
    with launch_browser() as browser:
        page = browser.new_page()
        page.on("console", lambda message: problems.append(f"{page.url}: {message.text}"))
        page.on("pageerror", lambda error: problems.append(f"{page.url}: {error}"))
        page.on("requestfailed", lambda request: problems.append(f"{page.url}: {request.url} is missing"))
        page.on("request", lambda request: problems.append(request.url) if is_remote(request.url) else None)
        for path in pages_of(site):
            for width in WIDTHS:
                page.set_viewport_size({"width": width, "height": 900})
                if width == WIDTHS[0]:
                    page.goto(path.as_uri())
                if page.evaluate("document.documentElement.scrollWidth") > width:
                    problems.append(f"{page.url}: is wider than {width} pixels")
            if page.evaluate("[...document.images].some(image => !image.naturalWidth)"):
                problems.append(f"{page.url}: a picture is not shown")
        page.set_viewport_size({"width": WIDTHS[0], "height": 900})
        page.locator(".md-search__input").click()
        page.get_by_text("Type to start searching").wait_for()  # the index is loaded
        for query, title in (("saturation", "photochrom colorize"), ("weight_decay", "[optimizer]")):
            page.locator(".md-search__input").fill("")
            page.locator(".md-search__input").press_sequentially(query)  # it listens to keys
            page.locator(".md-search-result__item", has_text=title).first.wait_for()
    assert not problems


def is_remote(address):
    return urlsplit(address).scheme not in ("file", "data", "blob", "about")
