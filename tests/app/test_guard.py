"""Which requests the running app answers, and which files it gives away."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.app.serving import Served


def status(served: Served, path: str = "/", **headers: str) -> int:
    return httpx.get(served.address + path, headers=headers, verify=False).status_code


def raw(served: Served, request: str) -> str:
    """The first line of the answer to a request written by hand."""
    with socket.create_connection(("127.0.0.1", served.port), timeout=10) as connection:
        connection.sendall(request.replace("\n", "\r\n").encode())
        return connection.recv(4096).decode().splitlines()[0]


def test_the_page_is_for_its_own_host_and_origin(served: Served) -> None:
    here = f"localhost:{served.port}"
    assert status(served) == 200
    assert status(served, Host=here, Origin=f"http://{here}") == 200
    for host in ("evil.example", f"evil.example:{served.port}", "127.0.0.1", f"127.0.0.1:{served.port + 1}", ""):
        assert status(served, Host=host) == 403, host
    for origin in (
        "https://evil.example",
        "null",
        f"https://{here}",
        "http://127.0.0.1",
        f"http://{here}.evil.example",
    ):
        assert status(served, Origin=origin) == 403, origin


def test_two_hosts_are_none(served: Served) -> None:
    host = f"Host: 127.0.0.1:{served.port}\n"
    assert " 200 " in raw(served, f"GET / HTTP/1.1\n{host}Connection: close\n\n")
    assert " 40" in raw(served, f"GET / HTTP/1.1\n{host}Host: evil.example\nConnection: close\n\n")
    assert " 403 " in raw(served, "GET / HTTP/1.0\n\n")


def test_it_listens_on_this_machine_alone(served: Served) -> None:
    others = {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)} - {"127.0.0.1"}
    for address in others | {"127.0.0.2"}:
        with pytest.raises(OSError, match="refused"):
            socket.create_connection((address, served.port), timeout=5)


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/proxy=https://example.com/",
        "/gradio_api/file/etc/passwd",
        "/gradio_api/vibe-code/",
        "/gradio_api/run-history/records",
        "/gradio_api/openapi.json",
        "/monitoring",
        "/docs",
        "/login",
    ],
)
def test_what_the_page_does_not_ask_for_is_refused(served: Served, path: str) -> None:
    assert status(served, path) == 403


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=/etc/passwd",
        "/gradio_api/file=https://example.com/",
        "/gradio_api/file=../../../../etc/passwd",
        "/gradio_api/file=%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "/static/..%2f..%2f..%2froutes.py",
        "/assets/%2e%2e/%2e%2e/%2e%2e/routes.py",
    ],
)
def test_no_other_file_is_given(served: Served, path: str) -> None:
    host = f"Host: 127.0.0.1:{served.port}\nConnection: close\n\n"
    assert " 403 " in raw(served, f"GET {path} HTTP/1.1\n{host}")
    assert "example.com" not in served.log.read_text()


def test_files_of_the_model_are_not_given(served: Served) -> None:
    for name in ("nets.py", "labels.txt"):
        assert status(served, f"/gradio_api/file={served.folder / name}") == 403


def asked(served: Served, data: list[Any]) -> int:
    question = {"data": data, "fn_index": 1, "session_hash": "test", "event_data": None, "trigger_id": 1}
    return httpx.post(f"{served.address}/gradio_api/queue/join", json=question, verify=False).status_code


def file_at(path: Any, **more: Any) -> dict[str, Any]:
    return {"path": path, "meta": {"_type": "gradio.FileData"}, **more}


def uploaded(served: Served, name: str, content: bytes) -> Path:
    answer = httpx.post(f"{served.address}/gradio_api/upload", files={"files": (name, content)}, verify=False)
    return Path(answer.json()[0])


def test_a_question_names_uploaded_files_alone(served: Served) -> None:
    ours = uploaded(served, "ours.csv", b"a,b\n1,2\n")
    assert asked(served, ["nets.py:Table", file_at(str(ours))]) == 200
    beside = str(ours.parent.parent.parent / "elsewhere.csv")
    for path in (
        "/etc/passwd",
        str(served.folder / "labels.txt"),
        "https://example.com/x.csv",
        "x.csv",
        beside,
        "/\0",
        None,
    ):
        assert asked(served, ["nets.py:Table", file_at(path)]) == 403, path
    assert asked(served, [{"deep": [file_at(f"{ours.parent}/../../../etc/passwd")]}]) == 403


def test_a_question_is_short_json(served: Served) -> None:
    address = f"{served.address}/gradio_api/queue/join"
    assert httpx.post(address, content=b"path: /etc/passwd", verify=False).status_code == 403
    assert httpx.post(address, content=json.dumps(["x" * 2**20]).encode(), verify=False).status_code == 403


def test_an_upload_keeps_its_name_and_nothing_of_its_folders(served: Served) -> None:
    found = uploaded(served, "../../../../tmp/outside.csv", b"a\n1\n")
    assert found.name == "outside.csv"
    assert found.parent.parent == uploaded(served, "inside.csv", b"a\n1\n").parent.parent


def test_a_large_upload_is_refused(served: Served) -> None:
    answer = httpx.post(
        f"{served.address}/gradio_api/upload", files={"files": ("x.npy", bytes(33 * 2**20))}, verify=False
    )
    assert answer.status_code == 413


def test_every_answer_forbids_to_ask_others(served: Served) -> None:
    policy = httpx.get(served.address, verify=False).headers["content-security-policy"]
    assert policy.startswith("default-src 'self' data: blob:;")
    assert "http" not in policy
