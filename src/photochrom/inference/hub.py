"""Bundles on the Hugging Face hub, by addresses such as ``hf://owner/name@revision``; needs the extra ``hub``.

Model cards and ONNX networks are all that is downloaded: no code and no pickles. `bundle.load` checks their digests.
"""

import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from .._install import install_extra
from .bundle import CARD, HUB, Bundle, BundleError, encode_card

FILES = (CARD, "*.onnx")
LOG_IN = "log in (hf auth login) or set HF_TOKEN"


class Address(NamedTuple):
    """A repository ``owner/name`` of the hub and its revision (a commit, tag or branch), None for the main branch."""

    repository: str
    revision: str | None

    @classmethod
    def parse(cls, text: str) -> "Address":
        """Return the address in ``hf://owner/name`` or ``hf://owner/name@revision``. Raises BundleError."""
        match = re.fullmatch(rf"{HUB}([\w.-]+/[\w.-]+)(?:@([\w./-]+))?", text)
        if match is None:
            raise BundleError(f"{text}: write an address of the hub as hf://owner/name or hf://owner/name@revision")
        return cls(*match.groups())

    def __str__(self) -> str:
        return HUB + self.repository + (f"@{self.revision}" if self.revision else "")


def fetch(text: str) -> Path:
    """Return the folder of a bundle on the hub, which is downloaded at first use. Raises BundleError.

    An address without a revision stands for the commit that was downloaded last: it changes only by `pull`.
    """
    address = Address.parse(text)
    _, download = _library()
    with _hub_errors(address):
        try:
            return _snapshot(download, address, local_files_only=True)
        except FileNotFoundError:  # none on this machine, or not all of it
            return _snapshot(download, address)


def pull(text: str, again: bool = False) -> tuple[Path, Address]:
    """Download the present commit of a bundle, and return its folder and its address with that commit.

    ``again``: also the files that are there already. Raises BundleError.
    """
    address = Address.parse(text)
    api, download = _library()
    with _hub_errors(address):
        commit = api.model_info(address.repository, revision=address.revision).sha  # fails without a connection
        folder = _snapshot(download, address, force_download=again)
    return folder, Address(address.repository, commit)


def push(bundle: Bundle, text: str, documents: dict[str, bytes], private: bool = False) -> Address:
    """Upload a bundle, with further documents by name, as one commit, and return its address.

    A repository that does not exist is created. Networks of a former commit that the bundle lacks are deleted.
    Raises BundleError.
    """
    address = Address.parse(text)
    if address.revision:
        raise BundleError(f"{text}: leave out @{address.revision}; a bundle is pushed to the main branch")
    api, _ = _library()
    files = {CARD: encode_card(bundle.card), **documents}
    files |= {f"{name}.onnx": content for name, content in bundle.networks.items()}
    with tempfile.TemporaryDirectory() as folder, _hub_errors(address):
        for name, content in files.items():
            (Path(folder) / name).write_bytes(content)
        api.create_repo(address.repository, private=private, exist_ok=True)
        title = f"{bundle.card.name} of Photochrom {bundle.card.version}"
        commit = api.upload_folder(
            repo_id=address.repository, folder_path=folder, commit_message=title, delete_patterns=["*.onnx"]
        )
    return Address(address.repository, commit.oid)


def _snapshot(download: Any, address: Address, **options: Any) -> Path:
    folder = Path(download(address.repository, revision=address.revision, allow_patterns=list(FILES), **options))
    if not (folder / CARD).is_file():
        raise BundleError(f"{address}: the repository has no {CARD}, so it is not a Photochrom bundle")
    return folder


def _library() -> tuple[Any, Any]:
    """Return the interface of the hub and its function for downloads. Raises BundleError without the extra."""
    try:
        from huggingface_hub import HfApi, logging, snapshot_download
        from huggingface_hub.utils.tqdm import disable_progress_bars
    except ModuleNotFoundError:
        raise BundleError(f"models of the Hugging Face hub need more packages: {install_extra('hub')}") from None
    logging.set_verbosity_error()
    if not (sys.stderr and sys.stderr.isatty()):
        disable_progress_bars()
    return HfApi(), snapshot_download


@contextmanager
def _hub_errors(address: Address) -> Iterator[None]:
    """Raise a BundleError that names the address and the way out for each error of the hub."""
    from huggingface_hub import errors

    try:
        yield
    except errors.GatedRepoError:
        reason = f"its owner has to grant access, on the website of the hub; then {LOG_IN}"
    except errors.RepositoryNotFoundError:
        reason = f"no such repository on the hub, or a private one: {LOG_IN}"
    except errors.RevisionNotFoundError:
        reason = "the repository has no such revision; choose a commit, tag or branch that it has"
    except (errors.HfHubHTTPError, errors.LocalTokenNotFoundError) as error:
        status = getattr(getattr(error, "response", None), "status_code", 401)
        reason = f"not allowed; {LOG_IN}" if status in (401, 403) else _first_line(error)
    except errors.LocalEntryNotFoundError as error:
        reason = f"cannot be downloaded ({_first_line(error.__cause__ or error)})"
    except (errors.HFValidationError, OSError) as error:
        reason = _first_line(error)
    else:
        return
    raise BundleError(f"{address}: {reason}") from None


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
