"""Run the notebooks of this folder and store their outputs: python docs/notebooks/execute.py [NAME.ipynb ...]."""

import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).parent
LIMIT = 300  # seconds for one cell, and for one notebook


def execute(path: Path) -> nbformat.NotebookNode:
    """Return a notebook with the outputs of a run in its folder, and nothing else that changes from run to run.

    Raises CellExecutionError for the first cell that fails, CellTimeoutError for one that takes too long.
    """
    notebook = nbformat.read(path, as_version=4)
    # Prints that arrive in pieces are joined: how many there are depends on the speed of the machine.
    resources = {"metadata": {"path": str(path.parent)}}
    NotebookClient(
        notebook, timeout=LIMIT, kernel_name="python3", resources=resources, record_timing=False, coalesce_streams=True
    ).execute()
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for cell in notebook.cells:
        cell.metadata = {}
    return notebook


def main() -> None:
    for path in [Path(name) for name in sys.argv[1:]] or sorted(FOLDER.glob("*.ipynb")):
        start = time.monotonic()
        notebook = execute(path)
        nbformat.write(notebook, path)
        print(f"{path.name}: {time.monotonic() - start:.0f} s, {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
