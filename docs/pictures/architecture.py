"""Draw the packages of Photochrom and their imports, from the code itself (needs the extra dev).

python docs/pictures/architecture.py

The rows are the layers of `pyproject.toml`, which `lint-imports` checks. An arrow that follows from others is left out.
"""

import tomllib
from pathlib import Path

import grimp

ROOT = Path(__file__).parents[2]
PICTURE = Path(__file__).with_suffix(".svg")
# The middle of each box, in boxes from the left: so that no arrow crosses a box.
COLUMNS = {
    **{"cli": 2.5, "study": 1, "survey": 2.5},
    **{"training": 0, "evaluation": 1.4, "server": 2.75, "cluster": 4},
    **{"video": 2.5, "inference": 2.75, "models": 0, "imaging": 2.9, "backbones": 1.15, "core": 1},
}
BOX_WIDTH, BOX_HEIGHT, COLUMN, ROW, MARGIN = 112, 34, 140, 72, 16
HEAVY, LIGHT, INK = "#f6d9b8", "#d6e6f5", "#1f2933"

Imports = dict[str, set[str]]


def read_layers() -> list[list[str]]:
    """Return the packages of each layer, the highest first."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (layers,) = (c["layers"] for c in project["tool"]["importlinter"]["contracts"] if c["type"] == "layers")
    return [layer.replace("|", ":").replace(" ", "").split(":") for layer in layers]


def read_imports(packages: list[str]) -> tuple[Imports, set[str]]:
    """Return the packages that each package imports, and those that import torch."""
    graph = grimp.build_graph("photochrom", include_external_packages=True, cache_dir=None)
    for package in packages:
        graph.squash_module(f"photochrom.{package}")
    imports, heavy = {}, set()
    for package in packages:
        modules = graph.find_modules_directly_imported_by(f"photochrom.{package}")
        names = {module.removeprefix("photochrom.") for module in modules}
        imports[package] = names & set(packages) - {package}
        if "torch" in names:
            heavy.add(package)
    return imports, heavy


def find_all_below(package: str, imports: Imports) -> set[str]:
    """Return the packages that a package imports, directly or through others."""
    below = set(imports[package])
    for other in imports[package]:
        below |= find_all_below(other, imports)
    return below


def without_implied(imports: Imports) -> Imports:
    """Leave out the imports that follow from others."""
    kept = {}
    for package, others in imports.items():
        implied = set().union(*(find_all_below(other, imports) for other in others))
        kept[package] = others - implied
    return kept


def draw(layers: list[list[str]], imports: Imports, heavy: set[str]) -> str:
    """Return the picture as SVG."""
    places = {}
    for row, layer in enumerate(layers):
        for package in layer:
            places[package] = (MARGIN + BOX_WIDTH / 2 + COLUMNS[package] * COLUMN, MARGIN + row * ROW)
    width = MARGIN * 2 + BOX_WIDTH + max(COLUMNS.values()) * COLUMN
    height = MARGIN * 2 + (len(layers) - 1) * ROW + BOX_HEIGHT + 34
    arrows = [draw_arrow(places[package], places[other]) for package in places for other in sorted(imports[package])]
    boxes = [draw_box(package, x, y, package in heavy) for package, (x, y) in places.items()]
    return "\n".join([HEAD.format(width=width, height=height), *arrows, *boxes, draw_legend(height), "</svg>", ""])


HEAD = f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {{width:g}} {{height:g}}" \
font-family="sans-serif" font-size="15" fill="{INK}">
<title>The packages of Photochrom and their imports</title>
<defs><marker id="head" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">\
<path d="M0 0.5 8 4 0 7.5z"/></marker></defs>
<rect width="100%" height="100%" rx="8" fill="#fff"/>"""


def draw_arrow(start: tuple[float, float], end: tuple[float, float]) -> str:
    """Return an arrow from the bottom of a box to the top of another."""
    (x1, y1), (x2, y2) = start, end
    line = f'x1="{x1:g}" y1="{y1 + BOX_HEIGHT:g}" x2="{x2:g}" y2="{y2 - 1:g}"'
    return f'<line {line} stroke="{INK}" stroke-opacity="0.75" marker-end="url(#head)"/>'


def draw_box(name: str, x: float, y: float, is_heavy: bool) -> str:
    """Return a box with its name; the color says whether it imports torch."""
    color = HEAVY if is_heavy else LIGHT
    box = f'<rect x="{x - BOX_WIDTH / 2:g}" y="{y:g}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="6" fill="{color}"/>'
    return f'{box}<text x="{x:g}" y="{y + 22:g}" text-anchor="middle">{name}</text>'


def draw_legend(height: float) -> str:
    """Return what the colors mean, in the last line."""
    parts = []
    for x, color, text in ((MARGIN, HEAVY, "imports torch"), (MARGIN + 150, LIGHT, "does not")):
        y = height - MARGIN - 14
        parts.append(f'<rect x="{x}" y="{y:g}" width="14" height="14" rx="3" fill="{color}"/>')
        parts.append(f'<text x="{x + 22}" y="{y + 12:g}" font-size="13">{text}</text>')
    return "".join(parts)


def make_picture() -> str:
    """Return the picture of the code as it is."""
    layers = read_layers()
    packages = [package for layer in layers for package in layer]
    imports, heavy = read_imports(packages)
    return draw(layers, without_implied(imports), heavy)


if __name__ == "__main__":
    PICTURE.write_text(make_picture(), encoding="utf-8")
