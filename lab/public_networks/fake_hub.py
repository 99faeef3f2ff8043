"""A hub on loopback: the few calls that fetching a repository makes, answered from one folder."""

import contextlib
import functools
import hashlib
import http.server
import json
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

REPOSITORY = "org/tiny"
COMMIT = "c0ffee" + "0" * 34
REVISIONS = ("main", "v1", COMMIT)


class Hub(http.server.BaseHTTPRequestHandler):
    """One repository; those below `gated/` ask for terms, and there are no others."""

    def __init__(self, *arguments: Any, root: Path):
        self.root = root
        super().__init__(*arguments)

    def do_HEAD(self) -> None:
        """The headers of a GET."""
        self.do_GET()

    def do_GET(self) -> None:
        """The repository's listing, or one of its files."""
        path = self.path.partition("?")[0]
        if path.startswith("/api/models/gated/"):
            self._say(403, b"{}", {"X-Error-Code": "GatedRepo"})
        elif path.startswith(f"/api/models/{REPOSITORY}/revision/"):
            if path.rpartition("/")[2] not in REVISIONS:
                self._say(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
                return
            siblings = [{"rfilename": file.name} for file in sorted(self.root.iterdir())]
            self._json({"id": REPOSITORY, "sha": COMMIT, "siblings": siblings})
        elif path.startswith(f"/api/models/{REPOSITORY}/tree/"):
            self._json([_entry(file) for file in sorted(self.root.iterdir())])
        elif path.startswith(f"/{REPOSITORY}/resolve/"):
            file = self.root / path.rpartition("/")[2]
            self._say(200, file.read_bytes(), {"ETag": f'"{_hash(file)}"', "X-Repo-Commit": COMMIT})
        else:
            self._say(404, b"{}", {"X-Error-Code": "RepoNotFound"})

    def log_message(self, *_: object) -> None:
        """Nothing: stderr is what the tests look at."""

    def _json(self, value: object) -> None:
        self._say(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _say(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


@contextlib.contextmanager
def served(folder: Path, home: Path) -> Iterator[dict[str, str]]:
    """The environment variables of a process whose hub holds this folder as org/tiny. home: where it caches."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Hub, root=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        endpoint = f"http://127.0.0.1:{server.server_port}"
        yield {"HF_ENDPOINT": endpoint, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1"}
    finally:
        server.shutdown()
        server.server_close()


def _entry(file: Path) -> dict[str, Any]:
    return {"type": "file", "path": file.name, "size": file.stat().st_size, "oid": _hash(file)}


def _hash(file: Path) -> str:
    return hashlib.sha1(file.read_bytes(), usedforsecurity=False).hexdigest()
