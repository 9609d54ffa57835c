"""Run the notebooks of this folder and store their outputs.

python docs/notebooks/execute.py [docs/notebooks/NAME.ipynb ...]
"""

import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).parent
LIMIT = 900  # seconds for one cell, so that a busy machine does not end it
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def execute(path: Path) -> nbformat.NotebookNode:
    """Return a notebook with the outputs of a run in its folder.

    It has no metadata that would change from run to run. Raises CellExecutionError
    for the first cell that fails, CellTimeoutError for one that takes too long.
    """
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=LIMIT,
        kernel_name=KERNEL["name"],
        resources={"metadata": {"path": str(path.parent)}},
        record_timing=False,
        coalesce_streams=True,  # however many pieces a print arrives in
    )
    client.execute()
    notebook.metadata = {
        "kernelspec": KERNEL,
        "language_info": {"name": "python"},
    }
    for cell in notebook.cells:
        cell.metadata = {}
    return notebook


def main() -> None:
    for path in map(Path, sys.argv[1:] or sorted(FOLDER.glob("*.ipynb"))):
        start = time.monotonic()
        nbformat.write(execute(path), path)
        size = path.stat().st_size / 1000
        print(f"{path.name}: {time.monotonic() - start:.0f} s, {size:.0f} kB")


if __name__ == "__main__":
    main()
