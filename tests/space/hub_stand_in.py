"""As much of the Hugging Face Hub's protocol as an upload and a snapshot need, on the loopback, in memory."""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class StandIn:
    """Repositories as {name: {path: bytes}}; `endpoint` is the address to talk to."""

    def __init__(self) -> None:
        self.files: dict[str, dict[str, bytes]] = {}
        self.private: dict[str, bool] = {}
        self.endpoint = ""

    def commit_of(self, name: str) -> str:
        whole = sorted((path, hashlib.sha1(data).hexdigest()) for path, data in self.files[name].items())
        return hashlib.sha1(json.dumps(whole).encode()).hexdigest()


@contextmanager
def serving() -> Iterator[StandIn]:
    """A Hub of its own, as long as the block lasts."""
    hub = StandIn()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    hub.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(hub: StandIn) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = (
                self.rfile.read(int(self.headers["Content-Length"] or 0)) if self._sized() else self._chunks()
            )
            place = self.path.partition("?")[0]
            if place == "/api/validate-yaml":
                self._json({"errors": [], "warnings": []})
            elif place == "/api/repos/create":
                asked = json.loads(body)
                name = (
                    f"{asked['organization']}/{asked['name']}" if "organization" in asked else asked["name"]
                )
                hub.files.setdefault(name, {})
                hub.private[name] = asked.get("visibility") == "private" or bool(asked.get("private"))
                self._json({"url": f"{hub.endpoint}/{name}", "name": name})
            elif "/preupload/" in place:
                files = json.loads(body)["files"]
                modes = [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in files]
                self._json({"files": modes})
            elif "/commit/" in place:
                self._commit(_name(place), body)
            else:
                self._missing()

        def do_GET(self) -> None:
            place = self.path.partition("?")[0]
            name = _name(place)
            if name not in hub.files:
                self._missing()
            elif "/resolve/" in place:
                self._file(name, place.split("/resolve/")[1].partition("/")[2])
            elif "/tree/" in place:
                listed = [
                    {"type": "file", "path": path, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
                    for path, data in hub.files[name].items()
                ]
                self._json(listed)
            else:
                siblings = [{"rfilename": path} for path in hub.files[name]]
                self._json({"id": name, "modelId": name, "sha": hub.commit_of(name), "siblings": siblings})

        do_HEAD = do_GET  # noqa: N815 (the name is the library's)

        def _commit(self, name: str, body: bytes) -> None:
            for line in body.decode().splitlines():
                entry = json.loads(line)
                if entry["key"] == "file":
                    value = entry["value"]
                    hub.files[name][value["path"]] = base64.b64decode(value["content"])
            commit = hub.commit_of(name)
            address = f"{hub.endpoint}/{name}/commit/{commit}"
            self._json({"success": True, "commitUrl": address, "commitOid": commit, "hookOutput": ""})

        def _file(self, name: str, path: str) -> None:
            data = hub.files[name][path]
            self.send_response(200)
            self.send_header("ETag", f'"{hashlib.sha1(data).hexdigest()}"')
            self.send_header("X-Repo-Commit", hub.commit_of(name))
            self._end(data)

        def _json(self, value: Any) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self._end(json.dumps(value).encode())

        def _missing(self) -> None:
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound")
            self._end(b"{}")

        def _end(self, data: bytes) -> None:
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        def _sized(self) -> bool:
            return self.headers["Content-Length"] is not None

        def _chunks(self) -> bytes:
            found = b""
            while size := int(self.rfile.readline().strip() or b"0", 16):
                found += self.rfile.read(size)
                self.rfile.readline()
            return found

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing: a test's output is for what went wrong."""

    return Handler


def _name(place: str) -> str:
    """OWNER/NAME in an address, with or without `api/models` before it."""
    parts = [part for part in place.split("/") if part]
    if parts[:2] == ["api", "models"]:
        parts = parts[2:]
    return "/".join(parts[:2])
