"""Downloads, against a small server on this machine that speaks the hub's protocol: nothing here leaves it."""

import errno
import hashlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from huggingface_hub import constants

from fovea.errors import DiskFull, OutputError, WeightsError
from fovea.models import hub
from fovea.models.backbone import BACKBONES, create_backbone
from fovea.models.hub import HubFile, Unreachable, cached, fetch, parse_hub
from fovea.models.weights import candidates, load_weights, resolve_weights, save_weights

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPO = "someone/convnet"


class Server(ThreadingHTTPServer):
    """A hub with one file.

    Args:
        content: Of `REPO`'s model.safetensors at `COMMIT` and "main".
        cut_after: Bytes after which a whole GET breaks off.
    """

    def __init__(self, content: bytes) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.cut_after, self.sleep_s, self.seen = content, 0, 0.0, list[str]()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, *, body: bool) -> None:
        served = self.server
        asked = self.headers.get("Range", "")
        if "/resolve/" in self.path:  # huggingface_hub also asks which tools call it
            served.seen.append(f"{self.command} {asked}".strip())
        time.sleep(served.sleep_s)
        if self.path not in {f"/{REPO}/resolve/{revision}/model.safetensors" for revision in (COMMIT, "main")}:
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound" if REPO not in self.path else "EntryNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        start = int(asked.removeprefix("bytes=").split("-")[0]) if asked else 0
        content = served.content[start:]
        self.send_response(206 if asked else 200)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{hashlib.sha256(served.content).hexdigest()}"')
        self.send_header("X-Linked-Etag", f'"{hashlib.sha256(served.content).hexdigest()}"')
        self.send_header("X-Linked-Size", str(len(served.content)))
        self.send_header("Accept-Ranges", "bytes")
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{len(served.content) - 1}/{len(served.content)}")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if body:
            cut = served.cut_after if not asked else 0
            self.wfile.write(content[:cut] if cut else content)
            self.close_connection = bool(cut)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A weights file that nobody knows: 0.9 MB."""
    passport = replace(BACKBONES["mobilenet_v2"].info.passports[0], repo=None, revision=None)
    network = create_backbone("mobilenet_v2", num_classes=2, width=0.25)
    return save_weights(
        network, tmp_path_factory.mktemp("served") / "w.safetensors", replace(passport, options={"width": 0.25})
    ).read_bytes()


@pytest.fixture
def served(content: bytes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    """A running hub, which this process takes for the hub, and an empty cache."""
    with Server(content) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.delenv("FOVEA_WEIGHTS", raising=False)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        yield server
        server.shutdown()


@pytest.fixture
def pinned(content: bytes, monkeypatch: pytest.MonkeyPatch) -> str:
    """Makes the file the published weights of mobilenet_v2, and gives its digest."""
    entry = BACKBONES["mobilenet_v2"]
    digest = hashlib.sha256(content).hexdigest()
    passport = replace(entry.info.passports[0], repo=REPO, revision=COMMIT, sha256=digest, options={"width": 0.25})
    monkeypatch.setitem(BACKBONES._entries, "mobilenet_v2", replace(entry, info=replace(entry.info, passports=(passport,))))
    return digest


FILE = HubFile(REPO, COMMIT)


def gets(server: Server) -> list[str]:
    return [line for line in server.seen if line.startswith("GET")]


@pytest.mark.usefixtures("pinned")
def test_auto_downloads_once(served: Server) -> None:
    assert candidates() == {"fovea_tiny": "packaged"}
    found = resolve_weights("mobilenet_v2")
    assert found is not None
    assert found.where == "hub"
    assert found.path.read_bytes() == served.content
    assert f"{REPO}@{COMMIT[:12]}" in found.said
    assert len(gets(served)) == 1
    network = create_backbone("mobilenet_v2", num_classes=2, **found.passport.options)
    assert not load_weights(network, found).new

    asked = len(served.seen)
    again = resolve_weights("mobilenet_v2")
    assert again is not None
    assert again.path == found.path
    assert candidates() == {"fovea_tiny": "packaged", "mobilenet_v2": "hub"}
    assert len(served.seen) == asked  # not even a HEAD


@pytest.mark.usefixtures("pinned")
def test_the_cache_is_used_offline(served: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    first = resolve_weights("mobilenet_v2")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert resolve_weights("mobilenet_v2") == first
    assert len(gets(served)) == 1


def test_a_cut_connection_is_taken_up_where_it_broke(served: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1 << 16)
    served.cut_after = len(served.content) // 2
    path = fetch(FILE, sha256=hashlib.sha256(served.content).hexdigest())
    assert path.read_bytes() == served.content
    first, second = gets(served)
    assert first == "GET"
    assert 0 < int(second.removeprefix("GET bytes=").removesuffix("-")) <= served.cut_after


def test_a_wrong_digest_is_refused_and_removed(served: Server, tmp_path: Path) -> None:
    with pytest.raises(WeightsError) as caught:
        fetch(FILE, sha256="0" * 64)
    assert caught.value.problem.startswith(f"what the hub gave for {FILE} is not the file that was pinned")
    assert caught.value.got == f"sha256 {hashlib.sha256(served.content).hexdigest()}"
    assert caught.value.expected == f"sha256 {'0' * 64}"
    assert cached(FILE) is None
    assert not [path for path in (tmp_path / "hub").rglob("*") if path.is_file() and path.stat().st_size == len(served.content)]


def test_a_file_changed_in_the_cache_is_found_and_fetched_again(served: Server, pinned: str) -> None:
    path = fetch(FILE, sha256=pinned)
    path.resolve().write_bytes(served.content[:-1] + b"!")
    with pytest.raises(WeightsError, match="it was removed"):
        resolve_weights("mobilenet_v2")
    found = resolve_weights("mobilenet_v2")
    assert found is not None
    assert found.path.read_bytes() == served.content


def test_a_named_revision(served: Server) -> None:
    """A file that no passport knows brings its own; a branch is asked for anew each time, and taken from the cache offline."""
    found = resolve_weights("mobilenet_v2", f"hub:{REPO}@main/model.safetensors")
    assert found is not None
    assert found.passport.options == {"width": 0.25}
    assert found.passport.sha256 == hashlib.sha256(served.content).hexdigest()
    asked = len(served.seen)
    assert resolve_weights("mobilenet_v2", f"hub:{REPO}@main") == found
    assert len(served.seen) > asked
    assert len(gets(served)) == 1


@pytest.mark.parametrize("text", ["hub:timm/resnet18.a1_in1k", "hub:resnet18@main", "hub:", "hub:a/b@", "hub:a/b/c@main"])
def test_what_names_no_file(text: str) -> None:
    with pytest.raises(WeightsError) as caught:
        parse_hub(text)
    assert caught.value.expected.startswith("hub:OWNER/NAME@REVISION")


@pytest.mark.parametrize("text", [f"hub:{REPO}@{COMMIT}/other.safetensors", f"hub:someone/else@{COMMIT}"])
@pytest.mark.usefixtures("served")
def test_what_the_hub_does_not_have(text: str) -> None:
    with pytest.raises(WeightsError) as caught:
        resolve_weights("mobilenet_v2", text)
    assert caught.value.problem == f"the hub has no file {parse_hub(text)}, or does not show it"


def test_a_cache_that_cannot_be_written(served: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "file" / "hub"))
    with pytest.raises(OutputError) as caught:
        fetch(FILE)
    assert caught.value.problem == f"the hub's cache {str(tmp_path / 'file' / 'hub')!r} cannot be written"
    assert not gets(served)


def test_a_full_disk(served: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("huggingface_hub.file_download.http_get", full)
    with pytest.raises(DiskFull):
        fetch(FILE)
    assert not gets(served)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_no_network_is_said_quickly(served: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    started = time.perf_counter()
    with pytest.raises(WeightsError) as caught:
        resolve_weights("mobilenet_v2")
    assert time.perf_counter() - started < 3
    assert caught.value.problem == "no weights for 'mobilenet_v2' are at hand"
    assert "the hub: it did not answer: " in caught.value.got
    assert "FOVEA_WEIGHTS" in caught.value.fix
    assert not served.seen


def test_a_network_that_swallows_everything_is_given_up(served: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "ANSWER_WITHIN_S", 0.3)
    served.sleep_s = 2
    started = time.perf_counter()
    with pytest.raises(Unreachable, match=r"nothing within 0\.3 s"):
        fetch(FILE)
    assert time.perf_counter() - started < 1.5


def test_the_environment_is_respected(served: Server, tmp_path: Path) -> None:
    """HF_ENDPOINT, HF_HOME and HF_HUB_OFFLINE as a process of its own sees them, with the cache where other tools look."""
    code = f"""
import sys
from fovea.models.hub import HubFile, Unreachable, fetch
try:
    print(fetch(HubFile({REPO!r}, {COMMIT!r})))
except Unreachable as error:
    print("unreachable:", error)
assert "torch" not in sys.modules
"""
    home = tmp_path / "home"
    environment = {**os.environ, "HF_HOME": str(home), "HF_ENDPOINT": served.url, "HF_HUB_DISABLE_XET": "1"}
    for name in ("HF_HUB_CACHE", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        environment.pop(name, None)

    def run(**more: str) -> str:
        done = subprocess.run([sys.executable, "-c", code], env={**environment, **more}, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    assert run(HF_HUB_OFFLINE="1") == "unreachable: HF_HUB_OFFLINE is set, and the file is not in the hub's cache"
    assert not served.seen
    path = Path(run())
    assert path == home / "hub" / "models--someone--convnet" / "snapshots" / COMMIT / "model.safetensors"
    assert path.read_bytes() == served.content
    assert run(HF_HUB_OFFLINE="1") == str(path)
    assert len(gets(served)) == 1
