import json
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest
from websockets.sync.client import connect

from chainrule.errors import UsageError
from chainrule.studio.server import HOST, PORT, listen
from chainrule.train.runs import Run

SERVE = """
import sys
from pathlib import Path
from chainrule.studio import pages, server
from chainrule.studio.runs import Runs
try:
    tell = lambda link: print(link, flush=True)
    server.serve(Runs(Path("runs")), page="/?run=a+b", announce=tell)
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.fixture
def served(tmp_path, make_run):
    """(process, its link), serving a folder with one run."""
    make_run("xor-001", [0.5])
    command = [sys.executable, "-c", SERVE]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        yield process, urlsplit(process.stdout.readline().strip())
        process.kill()


def key(link):
    """The cookie that the link gives."""
    with closing(HTTPConnection(link.hostname, link.port, timeout=30)) as connection:
        connection.request("GET", f"/?{link.query}")
        answer = connection.getresponse()
        place, cookie = answer.headers["location"], answer.headers["set-cookie"]
    assert (answer.status, place) == (303, f"http://{link.netloc}/?run=a+b")
    return cookie.partition(";")[0]


def test_a_hundred_at_once(served):
    process, link = served
    assert link.hostname == HOST and link.query.endswith("run=a+b")
    cookie = {"Cookie": key(link)}
    begin = threading.Barrier(100)

    def ask(number):
        begin.wait()
        if number % 4 == 0:
            with connect(f"ws://{link.netloc}/api/live", additional_headers=cookie) as page:
                return json.loads(page.recv(timeout=30))["runs"]
        with closing(HTTPConnection(link.hostname, link.port, timeout=30)) as connection:
            connection.request("GET", "/api/runs", headers=cookie)
            return json.load(connection.getresponse())["runs"]

    with ThreadPoolExecutor(100) as clients:
        answers = list(clients.map(ask, range(100)))
    assert {run["name"] for runs in answers for run in runs} == {"xor-001"}
    assert all(len(runs) == 1 for runs in answers)
    assert process.poll() is None


def test_it_answers_while_a_hundred_pages_listen(served, tmp_path):
    """All are told of a change, and a question is answered as fast as one page would bear."""
    _, link = served
    headers = {"Cookie": key(link)}
    with ExitStack() as stack:
        pages = [
            stack.enter_context(connect(f"ws://{link.netloc}/api/live", additional_headers=headers))
            for _ in range(100)
        ]
        for page in pages:
            assert json.loads(page.recv(timeout=30))["all"]
        run = Run.create("xor", {"system": "xor", "epochs": 3, "lr": 0.05}, tmp_path / "runs" / "b")
        run.release()
        waits = []
        for _ in range(20):
            begun = time.monotonic()
            with closing(HTTPConnection(link.hostname, link.port, timeout=30)) as connection:
                connection.request("GET", "/api/runs", headers=headers)
                assert connection.getresponse().status == 200
            waits.append(time.monotonic() - begun)
        assert sorted(waits)[10] < 1  # seconds: far above what it takes, far below a stuck loop
        for page in pages:
            assert "b" in [run["name"] for run in json.loads(page.recv(timeout=30))["runs"]]


def test_ctrl_c_ends_it_at_once_though_a_page_listens(served):
    process, link = served
    with connect(f"ws://{link.netloc}/api/live", additional_headers={"Cookie": key(link)}) as page:
        page.recv(timeout=30)
        begun = time.monotonic()
        process.send_signal(2)
        assert process.wait(10) == 0 and process.stdout.read() == "interrupted\n"
    assert time.monotonic() - begun < 5
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((link.hostname, link.port), timeout=5)


def test_a_stranger_is_refused_before_the_socket_opens(served):
    _, link = served
    with pytest.raises(Exception, match="HTTP 403"):
        connect(f"ws://{link.netloc}/api/live").close()


def test_it_listens_on_loopback_alone():
    with listen() as listening:
        assert listening.getsockname()[0] == "127.0.0.1"


def test_the_next_free_port_is_taken():
    with listen() as first, listen() as second:
        one, two = (listening.getsockname()[1] for listening in (first, second))
        assert PORT <= one < two


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc tells who listens")
def test_a_port_that_was_asked_for_and_is_taken_names_who_has_it():
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError) as raised:
            listen(port)
    text = str(raised.value)
    assert text.startswith(f"[studio] got --port {port}, which can't be used, needs a free port.")
    assert "Process " in text and ") has it" in text and "Another number" in text
