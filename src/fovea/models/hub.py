"""One file from the Hugging Face hub: at a pinned commit, checked by its SHA-256, in the cache that other tools share.

Imports no torch. `huggingface_hub` does the transfer (progress bar on stderr, a connection that breaks is taken up where
it broke); this adds what it does not: the digest, an answer within seconds where there is no network, and errors that say
what to do.
"""

import errno
import os
import re
import threading
from dataclasses import dataclass
from pathlib import Path

from fovea.errors import OutputError, WeightsError, from_os_error
from fovea.files import sha256_file

ANSWER_WITHIN_S = 6.0  # huggingface_hub alone retries for half a minute, and a dropped packet costs that for each address

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NOT_WRITABLE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST}


@dataclass(frozen=True)
class HubFile:
    """A file at a revision of a hub repository. `pinned` where the revision is a commit, which nobody can move."""

    repo: str
    revision: str
    filename: str = "model.safetensors"

    @property
    def pinned(self) -> bool:
        return re.fullmatch("[0-9a-f]{40}", self.revision) is not None

    @property
    def url(self) -> str:
        """Where a browser finds it."""
        return f"{_endpoint() or 'https://huggingface.co'}/{self.repo}/resolve/{self.revision}/{self.filename}"

    def __str__(self) -> str:
        return f"{self.repo}@{self.revision[:12]}/{self.filename}"


class Unreachable(Exception):
    """The hub did not answer; the text is the reason. The caller knows what else there is, and says so."""


def parse_hub(text: str) -> HubFile:
    """`hub:OWNER/NAME@REVISION[/FILE]` -> the file.

    Raises:
        WeightsError: It is not of that form, for example without a revision.
    """
    match = re.fullmatch(r"hub:([\w.-]+/[\w.-]+)@([\w.-]+)(?:/(.+))?", text)
    if match is None:
        raise WeightsError(
            f"{text!r} names no file on the hub",
            got=repr(text),
            expected="hub:OWNER/NAME@REVISION or hub:OWNER/NAME@REVISION/FILE",
            fix="give the revision too, best as a commit (40 digits), so that the same weights come each time",
        )
    repo, revision, filename = match.groups()
    return HubFile(repo, revision, filename) if filename else HubFile(repo, revision)


def cached(file: HubFile) -> Path | None:
    """The file where it already lies in the hub's cache on this machine; asks no network."""
    from huggingface_hub import try_to_load_from_cache  # 0.15 s

    found = try_to_load_from_cache(file.repo, file.filename, revision=file.revision)
    return Path(found) if isinstance(found, str) else None


def fetch(file: HubFile, *, sha256: str = "", login: bool = False) -> Path:
    """The file, from the cache or by download.

    Args:
        file: Which one. What is not pinned is asked for anew each time.
        sha256: What its content must be; empty where that is not known.
        login: Whether to show the hub who you are, where you are logged in: for repositories that are not public.

    Raises:
        Unreachable: No network, or the hub does not answer; says which.
        WeightsError: The hub has no such file, or the file is not the one that `sha256` names (it is removed then).
        DiskFull, OutputError: The cache could not be written.
    """
    path = (cached(file) if file.pinned else None) or _download(file, token=None if login else False)
    if sha256 and (digest := sha256_file(path)) != sha256:
        _remove(path)
        raise WeightsError(
            f"what the hub gave for {file} is not the file that was pinned; it was removed",
            got=f"sha256 {digest}",
            expected=f"sha256 {sha256}",
            fix="run again; if it happens again, something on the way changes the file: fetch it elsewhere and pass it with --weights PATH",
        )
    return path


def _download(file: HubFile, token: bool | None) -> Path:
    from huggingface_hub import constants, errors, hf_hub_download

    if constants.HF_HUB_OFFLINE:
        raise Unreachable("HF_HUB_OFFLINE is set, and the file is not in the hub's cache")
    try:
        _probe(file, token)
        return Path(hf_hub_download(file.repo, file.filename, revision=file.revision, endpoint=_endpoint(), token=token))
    except errors.LocalEntryNotFoundError as error:
        raise Unreachable(f"it did not answer: {_reason(error.__cause__ or error)}") from error
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError, errors.EntryNotFoundError) as error:
        raise WeightsError(
            f"the hub has no file {file}, or does not show it",
            got=_reason(error),
            expected="a public repository, or one that you are logged in for, with that revision and file",
            fix=f"look at {file.url} in a browser",
        ) from error
    except OSError as error:
        if error.errno in _FULL:
            raise from_os_error(error, constants.HF_HUB_CACHE) from error
        if error.errno in _NOT_WRITABLE:
            raise OutputError(
                f"the hub's cache {constants.HF_HUB_CACHE!r} cannot be written",
                got=error.strerror or str(error),
                expected="a folder in which you may write",
                fix="name another one in HF_HOME, or change the permissions of this one",
            ) from error
        raise Unreachable(f"it did not answer: {_reason(error)}") from error
    except Exception as error:  # the transfer libraries' own kinds, which differ from one version of the hub's client to the next
        raise Unreachable(f"it did not answer: {_reason(error)}") from error


def _probe(file: HubFile, token: bool | None) -> None:
    """Asks for the file's size once, and gives up after `ANSWER_WITHIN_S` whatever the network does; raises what the hub's client raises.

    In a thread: name servers and lost packets do not keep to any timeout that the client can set.
    """
    from huggingface_hub import get_hf_file_metadata

    failed: list[Exception] = []

    def ask() -> None:
        try:
            get_hf_file_metadata(file.url, timeout=2 * ANSWER_WITHIN_S, token=token)  # the thread is given up first
        except Exception as error:  # handed to the caller's thread
            failed.append(error)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(ANSWER_WITHIN_S)
    if failed:
        raise failed[0]
    if thread.is_alive():
        raise TimeoutError(f"nothing within {ANSWER_WITHIN_S:g} s")


def _remove(path: Path) -> None:
    """Takes a file out of the hub's cache: the link that a revision's folder holds, and what it points to."""
    content = path.parent / os.readlink(path) if path.is_symlink() else None
    path.unlink(missing_ok=True)
    if content is not None:
        content.unlink(missing_ok=True)


def _endpoint() -> str | None:
    return os.environ.get("HF_ENDPOINT", "").rstrip("/") or None


def _reason(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
