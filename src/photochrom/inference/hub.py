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
from .bundle import CARD, HUB, Bundle, BundleError, encode_card, read_card

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
    with _hub(address):
        try:
            return _download(address, local_files_only=True)
        except FileNotFoundError:  # none on this machine, or not all of it
            return _download(address)


def pull(text: str, again: bool = False) -> tuple[Path, Address]:
    """Download the present commit of a bundle, and return its folder and its address with that commit.

    ``again``: also the files that are there already. Raises BundleError.
    """
    address = Address.parse(text)
    with _hub(address) as hub:
        # This fails without a connection, where a download would find the files of before.
        hub.model_info(address.repository, revision=address.revision)
        folder = _download(address, force_download=again)
    return folder, Address(address.repository, folder.name)


def with_commit(text: str) -> str:
    """Return the address with the commit that `fetch` returns, so that other machines use the same."""
    return str(Address(Address.parse(text).repository, fetch(text).name))


def push(bundle: Bundle, text: str, documents: dict[str, bytes], private: bool = False) -> Address:
    """Upload a bundle, with further documents by name, as one commit, and return its address.

    A repository that does not exist is created. Networks of a former commit that the bundle lacks are deleted.
    Raises BundleError, also for a public repository where it is to be private.
    """
    address = Address.parse(text)
    if address.revision:
        raise BundleError(f"{text}: leave out @{address.revision}; a bundle is pushed to the main branch")
    files = {CARD: encode_card(bundle.card), **documents}
    files |= {f"{name}.onnx": content for name, content in bundle.networks.items()}
    with tempfile.TemporaryDirectory() as folder, _hub(address) as hub:
        for name, content in files.items():
            (Path(folder) / name).write_bytes(content)
        hub.create_repo(address.repository, private=private, exist_ok=True)
        if private and not hub.model_info(address.repository).private:
            raise BundleError(
                f"{text}: this repository exists and is public; make it private on the website of the hub"
            )
        title = f"{bundle.card.name} of Photochrom {bundle.card.version}"
        commit = hub.upload_folder(
            repo_id=address.repository, folder_path=folder, commit_message=title, delete_patterns=["*.onnx"]
        )
    return Address(address.repository, commit.oid)


def _download(address: Address, **options: Any) -> Path:
    """Return the folder of a commit with its card and the networks that the card names, and no other files.

    Raises FileNotFoundError with ``local_files_only`` where one of them is not on this machine.
    """
    from huggingface_hub import snapshot_download

    folder = Path(snapshot_download(address.repository, revision=address.revision, allow_patterns=[CARD], **options))
    is_local = options.get("local_files_only", False)
    if not (folder / CARD).is_file():
        if is_local:
            raise FileNotFoundError
        raise BundleError(f"{address}: the repository has no {CARD}, so it is not a Photochrom bundle")
    networks = [f"{name}.onnx" for name in read_card(folder).networks]
    if not is_local:
        snapshot_download(address.repository, revision=folder.name, allow_patterns=networks, **options)
    elif not all((folder / network).is_file() for network in networks):
        raise FileNotFoundError
    return folder


@contextmanager
def _hub(address: Address) -> Iterator[Any]:
    """Give the interface of the hub, and raise a BundleError that names the address and the way out for its errors."""
    try:
        from huggingface_hub import HfApi, errors, logging
        from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars
    except ModuleNotFoundError:
        raise BundleError(f"models of the Hugging Face hub need more packages: {install_extra('hub')}") from None
    verbosity, is_quiet = logging.get_verbosity(), are_progress_bars_disabled()
    logging.set_verbosity_error()
    if not (sys.stderr and sys.stderr.isatty()):
        disable_progress_bars()
    try:
        yield HfApi()
        return
    except BundleError:
        raise
    except errors.GatedRepoError:
        reason = f"its owner has to grant access, on the website of the hub; then {LOG_IN}"
    except errors.RepositoryNotFoundError:
        reason = f"no such repository on the hub, or a private one: {LOG_IN}"
    except errors.RevisionNotFoundError:
        reason = "the repository has no such revision; choose a commit, tag or branch that it has"
    except errors.LocalEntryNotFoundError as error:
        reason = f"cannot be downloaded ({_first_line(error.__cause__ or error)})"
    except Exception as error:  # the library has those of its HTTP client too, which depends on its version
        status = getattr(getattr(error, "response", None), "status_code", 0)
        is_refused = status in (401, 403) or isinstance(error, errors.LocalTokenNotFoundError)
        reason = f"not allowed; {LOG_IN}" if is_refused else _first_line(error)
    finally:
        logging.set_verbosity(verbosity)
        if not is_quiet:
            enable_progress_bars()
    raise BundleError(f"{address}: {reason}") from None


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
