# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The database's protocol against servers that answer in pieces, ask back, refuse, or say nothing."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import tempfile
import threading
import time
from pathlib import Path

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._switch import ovsdb as _ovsdb
from ansible_collections.realtime.kvm.plugins.module_utils._switch.ovsdb import FILES, SOCKET, Once, Ovsdb
from ansible_collections.realtime.kvm.plugins.module_utils._switch.rows import COLUMNS, FINISH
from unit.trees import fill, writable

ROW = {
    "_uuid": ["uuid", "u1"],
    "bridges": ["set", []],
    "cur_cfg": 3,
    "dpdk_initialized": True,
    "external_ids": ["map", [["who", "ä"]]],
    "next_cfg": 3,
    "other_config": ["map", []],
}
TABLES = [{"rows": [ROW]}, {"rows": []}, {"rows": []}, {"rows": []}]


class Server:
    """Answers each connection with the next of its answers: bytes are sent as they are, a list in its pieces."""

    def __init__(self, root, *answers):
        path = Path(f"{root}{SOCKET}")
        path.parent.mkdir(parents=True, exist_ok=True)
        self.answers, self.requests, self.echoes = list(answers), [], []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen()
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self):
        for answer in self.answers:
            connection, _address = self.listener.accept()
            with connection, contextlib.suppress(BrokenPipeError):
                self.requests.append(json.loads(self._receive(connection)))
                for piece in answer:
                    connection.sendall(piece)
                    if b'"echo"' in piece:
                        self.echoes.append(json.loads(self._receive(connection)))

    @staticmethod
    def _receive(connection):
        text = b""
        while True:
            text += connection.recv(65536)
            try:
                json.loads(text)
            except ValueError:
                if text:
                    continue
            return text or b"null"


def result(value):
    return json.dumps({"id": 1, "error": None, "result": value}, ensure_ascii=False).encode()


@pytest.fixture(name="root")
def _root(monkeypatch):
    monkeypatch.setattr(_ovsdb, "ANSWER_S", 1.0)
    path = tempfile.mkdtemp(prefix="ovs-", dir="/tmp")  # short: a socket's path has at most 107 characters
    yield Path(path)
    shutil.rmtree(path)


def no_command(command):
    raise AssertionError(command)


def database(root, runner=no_command):
    return Ovsdb(writable(root), runner)


def test_without_server_and_file_the_database_is_empty(root):
    assert database(root).read().root is None
    assert database(root).running() is False


def test_a_socket_without_a_listener_is_no_server(root):
    Server(root).listener.close()
    assert database(root).read().root is None


def test_an_answer_in_pieces_with_a_question_between(root):
    answer = result(TABLES)
    cut = answer.index("ä".encode()) + 1  # in the middle of a character
    server = Server(root, [b'{"id":"echo","method":"echo","params":["x"]}', answer[:9], answer[9:cut], answer[cut:]])
    read = database(root).read()
    assert read.external_ids == {"who": "ä"}
    assert read.dpdk_initialized is True
    assert server.echoes == [{"id": "echo", "error": None, "result": ["x"]}]
    assert [operation["table"] for operation in server.requests[0]["params"][1:]] == list(COLUMNS)


def test_messages_that_are_no_answer_are_skipped(root):
    Server(root, [b'{"id":7,"result":[]}{"id":null,"method":"update","params":[]}' + result(TABLES)])
    assert database(root).read().root is not None


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ([b""], r"ovsdb-server did not answer on /run/openvswitch/db.sock within 1 s: the connection was closed"),
        (
            [b'{"id":1,"error":{"error":"unknown database","details":"no"},"result":null}'],
            "refused the request: unknown database: no",
        ),
        ([b'{"id":1,"error":"canceled","result":null}'], "refused the request: canceled"),
        (
            [result([{}, {"error": "constraint violation", "details": "dup"}, None])],
            "refused the transaction, so nothing was changed: constraint violation: dup",
        ),
        (
            [result([{"error": "timed out", "details": "wait"}, None])],
            "another user has changed the switch's configuration .* run it again",
        ),
    ],
)
def test_errors_in_words(root, answer, said):
    Server(root, answer)
    with pytest.raises(HostError, match=said):
        database(root).transact(FINISH)


@pytest.mark.parametrize(
    "answer",
    [
        [b"[]"],
        [b"}"],
        [b'{"id":1}'],
        [b'{"id":1,"error":null,"result":{}}'],
        [b'{"id":1,"result":' + b"[" * 100_000 + b"}"],
        [result([7])],
        [result([])],
        [result([{"rows": []}] * 4)],
        [result([{"rows": [{}]}] * 4)],
        [result([{"rows": 5}] * 4)],
        [result([{"rows": [{key: ["map", 5] for key in ROW}]}] * 4)],
        [b'{"id":1,"error":{"error":["\\u001b[2J"]},"result":null}'],
    ],
    ids=lambda answer: answer[0][:40].decode(),
)
def test_hostile_answers_are_refused_in_words(root, answer):
    """Each may be refused, or read as a database without rows; none ends in a traceback."""
    Server(root, answer, answer)
    for act in (lambda: database(root).transact(FINISH), lambda: database(root).read()):
        with contextlib.suppress(HostError):
            act()


def test_an_answer_that_drips_ends_with_its_time(root):
    class Drip:
        def __iter__(self):
            for _piece in range(1000):
                time.sleep(0.1)
                yield b" "

    Server(root, Drip())
    started = time.monotonic()
    with pytest.raises(HostError, match=r"did not answer on .* within 1 s: timed out"):
        database(root).read()
    assert time.monotonic() - started < 30


def test_a_server_that_says_nothing(root):
    server = Server(root)
    with pytest.raises(HostError, match=r"did not answer on .* within 1 s: timed out"):
        database(root).read()
    server.listener.close()


def test_a_transaction_tells_what_the_daemon_counts_it_by(root):
    server = Server(root, [result([{"count": 1}, {"rows": [{"next_cfg": 8}]}, {}])])
    assert database(root).note([]) == 8
    assert server.requests[0]["params"][1:] == json.loads(json.dumps(FINISH))


def test_a_transaction_needs_a_server(root):
    with pytest.raises(HostError, match=r"ovsdb-server does not listen on .*; start it: systemctl start ovsdb-server"):
        database(root).transact(FINISH)


def test_waiting_for_the_daemon(root, monkeypatch):
    counts = [result([{"rows": [{"cur_cfg": number}]}]) for number in (6, 7, 8)]
    Server(root, *([count] for count in counts))
    database(root).settle(8)
    monkeypatch.setattr(_ovsdb, "SETTLE_S", 0.0)
    Path(f"{root}{SOCKET}").unlink()
    Server(root, [counts[0]])
    with pytest.raises(HostError, match=r"ovs-vswitchd has not applied the database within 0 s; look at its log"):
        database(root).settle(8)


@pytest.mark.parametrize("path", FILES)
def test_the_file_is_read_while_the_server_is_down(root, monkeypatch, path):
    monkeypatch.setattr(_ovsdb, "TOOL", "/bin/sh")
    fill(root, {path: ""})
    commands = []

    def runner(command):
        commands.append(command)
        return 0, json.dumps(TABLES), ""

    assert database(root, runner).read().root is not None
    assert commands[0][1:3] == ["query", f"{root}{path}"]


def test_a_link_that_leads_out_of_a_captured_root_is_not_followed(root, monkeypatch):
    monkeypatch.setattr(_ovsdb, "TOOL", "/bin/sh")
    fill(root, {FILES[1]: ("link", "/etc/passwd")})
    assert database(root).read().root is None


@pytest.mark.parametrize("outcome", [(1, "", "ovsdb-tool: bad file\n"), (0, "rubbish", "")])
def test_a_damaged_file_is_named(root, monkeypatch, outcome):
    monkeypatch.setattr(_ovsdb, "TOOL", "/bin/sh")
    fill(root, {FILES[0]: ""})
    with pytest.raises(HostError, match=rf"{FILES[0]} cannot be read: (ovsdb-tool: bad file|rubbish)"):
        database(root, lambda _command: outcome).read()


def test_once_is_once():
    done = []
    act = Once(lambda: done.append(1))
    act()
    act()
    assert done == [1]
