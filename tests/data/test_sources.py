"""Downloads from a server on this machine: mirrors, checksums, partial files, archives."""

import gzip
import hashlib
import io
import tarfile
import threading
import zipfile
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from chainrule.data import CIFAR10, EMNIST, MNIST, sources
from chainrule.data.sources import SOURCES, RemoteFile, download
from chainrule.errors import DataError, UsageError

IMAGES = gzip.compress(bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 2]) + bytes(8), mtime=0)
LABELS = gzip.compress(bytes([0, 0, 8, 1, 0, 0, 0, 2, 3, 4]), mtime=0)
NAMES = [file.name for file in SOURCES["mnist"].files]


class Server(BaseHTTPRequestHandler):
    """Answers with the class's table of path -> content, or a function of the handler."""

    table: dict = {}
    asked: list = []

    def do_GET(self):
        self.asked.append(self.path)
        content = self.table.get(self.path)
        if callable(content):
            content(self)
            return
        self.send_response(404 if content is None else 200)
        content = b"<html>Not found</html>" if content is None else content
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch, tmp_path):
    monkeypatch.setenv("CHAINRULE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("no_proxy", "*")
    handler = type("Handler", (Server,), {"table": {}, "asked": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        handler.home = f"http://127.0.0.1:{http.server_port}"
        yield handler
        http.shutdown()
        thread.join()


def announce(monkeypatch, server, name, contents, homes=("/a/", "/b/")):
    """Let the set consist of these files at these homes of the server."""
    files = tuple(
        RemoteFile(file, hashlib.md5(content).hexdigest()) for file, content in contents.items()
    )
    homes = tuple(server.home + home for home in homes)
    monkeypatch.setitem(SOURCES, name, replace(SOURCES[name], homes=homes, files=files))


@pytest.fixture
def mnist(monkeypatch, server):
    contents = dict(zip(NAMES, (IMAGES, LABELS, IMAGES, LABELS), strict=True))
    announce(monkeypatch, server, "mnist", contents)
    return contents


def test_each_file_from_the_first_home_that_has_it(server, mnist, tmp_path):
    server.table |= {f"/b/{name}": content for name, content in mnist.items()}
    server.table["/a/" + NAMES[1]] = LABELS
    told = []
    folder = download("mnist", progress=lambda *news: told.append(news))
    assert folder == tmp_path / "data" / "mnist"
    assert sorted(path.name for path in folder.iterdir()) == sorted(NAMES)
    assert "/b/" + NAMES[1] not in server.asked
    assert told[0] == (NAMES[0], len(IMAGES), len(IMAGES))
    assert MNIST().targets.tolist() == [3, 4]
    asked = len(server.asked)
    MNIST(train=False, download=True)  # everything is there
    download("mnist")
    assert len(server.asked) == asked


def test_download_true_gets_what_is_missing(server, mnist):
    server.table |= {f"/a/{name}": content for name, content in mnist.items()}
    assert len(MNIST(download=True)) == 2


def cut_short(handler):
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(IMAGES)))
    handler.end_headers()
    handler.wfile.write(IMAGES[:-5])


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (None, "Not Found"),
        (b"<!DOCTYPE html><p>Log in first", r"a web page \(HTML\), MD5"),
        (IMAGES[:-1] + b"x", "MD5 [0-9a-f]{32} instead of"),
        (cut_short, "MD5|IncompleteRead"),
    ],
)
def test_what_never_counts_as_a_file(server, mnist, tmp_path, answer, words):
    server.table |= {f"/a/{name}": content for name, content in mnist.items()}
    server.table["/a/" + NAMES[0]] = answer
    with pytest.raises(DataError, match=words) as caught:
        download("mnist")
    assert not (tmp_path / "data" / "mnist").exists()  # nothing, not even a part
    text = str(caught.value)
    assert f"{server.home}/a/{NAMES[0]}" in text and f"{server.home}/b/{NAMES[0]}" in text
    assert f"By hand: put {', '.join(NAMES)} into {tmp_path / 'data' / 'mnist'}" in text
    server.table["/b/" + NAMES[0]] = IMAGES
    download("mnist")
    assert len(MNIST()) == 2


def test_nobody_listens(monkeypatch, server, mnist):
    homes = ("http://127.0.0.1:9/", "http://no-such-host.invalid/")
    monkeypatch.setitem(SOURCES, "mnist", replace(SOURCES["mnist"], homes=homes))
    with pytest.raises(DataError, match=r"127\.0\.0\.1:9/.*; http://no-such-host\.invalid"):
        download("mnist")


def test_silence_is_not_waited_for(monkeypatch, server, mnist):
    monkeypatch.setattr(sources, "SECONDS", 0.2)
    done = threading.Event()
    server.table["/a/" + NAMES[0]] = lambda handler: done.wait(5)
    with pytest.raises(DataError, match="timed out"):
        download("mnist")
    done.set()


def test_an_interrupted_download_leaves_no_part(server, mnist, tmp_path):
    server.table |= {f"/a/{name}": content for name, content in mnist.items()}

    def interrupt(file, so_far, in_all):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download("mnist", progress=interrupt)
    assert not (tmp_path / "data" / "mnist").exists()


def test_a_folder_that_cannot_be_written(server, mnist, tmp_path):
    (tmp_path / "data").write_text("a file")
    with pytest.raises(DataError, match=r"can't be written .*needs a folder with room"):
        download("mnist")


def test_cifars_archive_is_unpacked_and_nothing_leaves_the_folder(monkeypatch, server, tmp_path):
    bundle = io.BytesIO()
    with tarfile.open(fileobj=bundle, mode="w:gz") as tar:
        for name in ("cifar-10-batches-bin/data_batch_1.bin", "../../test_batch.bin", "evil.py"):
            member = tarfile.TarInfo(name)
            member.size = 3073
            tar.addfile(member, io.BytesIO(bytes(3073)))
    announce(monkeypatch, server, "cifar10", {"cifar-10-binary.tar.gz": bundle.getvalue()})
    server.table["/b/cifar-10-binary.tar.gz"] = bundle.getvalue()
    assert len(CIFAR10(download=True)) == len(CIFAR10(train=False)) == 1
    there = sorted(path.name for path in tmp_path.rglob("*") if path.is_file())
    assert there == ["data_batch_1.bin", "test_batch.bin"]
    CIFAR10(download=True)
    assert len(server.asked) == 2


def test_emnists_archive(monkeypatch, server):
    bundle = io.BytesIO()
    with zipfile.ZipFile(bundle, "w") as file:
        file.writestr("gzip/emnist-letters-train-images-idx3-ubyte.gz", IMAGES)
        file.writestr("gzip/emnist-letters-train-labels-idx1-ubyte.gz", LABELS)
    announce(monkeypatch, server, "emnist", {"gzip.zip": bundle.getvalue()})
    server.table["/a/gzip.zip"] = bundle.getvalue()
    assert EMNIST(split="letters", download=True).targets.tolist() == [2, 3]


def test_an_unknown_set():
    with pytest.raises(UsageError, match="'imagenet', needs one of mnist"):
        download("imagenet")
