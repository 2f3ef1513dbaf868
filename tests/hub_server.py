"""A Hub of our own: the calls by which huggingface_hub creates, pushes and loads, over loopback, kept in memory.

As on the Hub, content is addressed by its hash, a commit is all or nothing, a push may write only where its token may, and
what is private does not exist for others.
"""

import base64
import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

import huggingface_hub
import transformers

from hf_scratch.data.sources import hub_is_reachable

LARGE = 4096  # bytes; from here on, and whatever is binary, a file goes through LFS
KINDS = {"model": "", "dataset": "datasets/", "space": "spaces/"}


def git_oid(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@dataclass(frozen=True)
class Entry:
    """A file of a commit: the hash of its content, its size, and whether it went through LFS (then a SHA-256)."""

    oid: str
    size: int
    lfs: bool

    def row(self, path: str) -> dict:
        row = {"type": "file", "path": path, "oid": self.oid[:40], "size": self.size}
        return row | ({"lfs": {"oid": self.oid, "size": self.size, "pointerSize": 134}} if self.lfs else {})


@dataclass(frozen=True)
class Commit:
    """A tree of files with a message and a parent, named by the hash of all that."""

    tree: dict[str, Entry]
    title: str
    parent: str | None = None

    @property
    def id(self) -> str:
        rows = sorted((path, entry.oid) for path, entry in self.tree.items())
        return hashlib.sha1(repr((rows, self.title, self.parent)).encode()).hexdigest()


@dataclass
class Repository:
    """Commits by their id, and branches that point to them."""

    private: bool
    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)

    def __post_init__(self):
        self.add("main", Commit({}, "initial commit"))

    def add(self, branch: str, commit: Commit):
        self.commits[commit.id] = commit
        self.branches[branch] = commit.id

    def find(self, revision: str) -> Commit:
        commit = self.commits.get(self.branches.get(revision, revision))
        if commit is None:
            raise Refusal(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return commit

    def history(self, branch: str = "main") -> list[str]:
        """Titles of a branch's commits, the first one first."""
        titles, commit = [], self.find(branch)
        while commit is not None:
            titles.insert(0, commit.title)
            commit = self.commits.get(commit.parent)
        return titles


class Refusal(Exception):
    """An answer that is an error: its status, the Hub's code for it and a message."""


class HubServer(ThreadingHTTPServer):
    """The server and all that it holds; `with HubServer({"token": "user"}) as hub`.

    Args:
        users: the user's name by token; a token that begins with "read" may not write.
    """

    daemon_threads = True

    def __init__(self, users: dict[str, str]):
        super().__init__(("127.0.0.1", 0), Handler)
        self.users, self.lock = users, threading.Lock()
        self.repositories: dict[str, Repository] = {}
        self.contents: dict[str, bytes] = {}
        self.requests: list[tuple[str, str]] = []  # method and path of all that was asked
        self.before_keeping = lambda oid: None  # called when an LFS file has arrived, before it is kept
        self.url = f"http://127.0.0.1:{self.server_port}"

    def __enter__(self):
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()

    def handle_error(self, request, client_address):
        """A client that hangs up, or is killed, is no fault of the server's."""

    def keep(self, content: bytes, lfs: bool) -> Entry:
        oid = hashlib.sha256(content).hexdigest() if lfs else git_oid(content)
        self.contents[oid] = content
        return Entry(oid, len(content), lfs)

    def connect(self, monkeypatch, token: str | None):
        """Let this process be a client."""
        constants = {"ENDPOINT": self.url, "HUGGINGFACE_CO_URL_TEMPLATE": self.url + "/{repo_id}/resolve/{revision}/{filename}"}
        constants |= {"HF_HUB_OFFLINE": False, "HF_HUB_DISABLE_XET": True}  # no Xet here: content goes through LFS
        for name, value in constants.items():
            monkeypatch.setattr(huggingface_hub.constants, name, value)
        monkeypatch.setattr(transformers.utils.hub, "_hf_api", None, raising=False)  # one a process, with its first address
        monkeypatch.setenv("HF_TOKEN", token or "")
        hub_is_reachable.cache_clear()

    def client_environment(self, folder, token: str | None) -> dict[str, str]:
        """What a client process needs to talk to this server, with a cache of its own in `folder`."""
        environment = {"HF_ENDPOINT": self.url, "HF_HOME": str(folder), "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}
        return environment | {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_TOKEN": token or ""}


ROUTES = []


def route(method: str, pattern: str):
    """Enter a function into the table: the pattern's groups become its arguments."""
    repository = r"(?P<kind>model|dataset|space)s/(?P<name>[^/]+/[^/]+)"
    compiled = re.compile(pattern.replace("{repo}", repository) + "$")

    def enter(function):
        ROUTES.append((method, compiled, function))
        return function

    return enter


class Handler(BaseHTTPRequestHandler):
    """One connection of a client."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, method: str):
        url = urlsplit(self.path)
        path, self.query = unquote(url.path), parse_qs(url.query)
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.requests.append((method, path))
        try:
            with self.server.lock:
                user = self.user()
            for wanted, pattern, function in ROUTES:
                if method in wanted.split("|") and (match := pattern.match(path)):
                    return function(self, user, **match.groupdict())
            raise Refusal(404, "NotFound", f"no such page: {method} {path}")
        except Refusal as refusal:
            status, code, message = refusal.args
            self.send(status, {"error": message}, {"X-Error-Code": code, "X-Error-Message": message})

    def do_GET(self):
        self.answer("GET")

    def do_HEAD(self):
        self.answer("HEAD")

    def do_POST(self):
        self.answer("POST")

    def do_PUT(self):
        self.answer("PUT")

    def send(self, status: int, content=b"", headers: dict | None = None):
        if not isinstance(content, bytes):
            content, headers = json.dumps(content).encode(), {"Content-Type": "application/json", **(headers or {})}
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def user(self) -> str | None:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ").strip()
        if token and token not in self.server.users:
            raise Refusal(401, "Unauthorized", "Invalid credentials in Authorization header")
        return self.server.users.get(token)

    def require_writer(self, user: str | None, name: str):
        if user is None:
            raise Refusal(401, "Unauthorized", "Invalid username or password.")
        read_only = "read" in self.headers.get("Authorization", "")
        if read_only or name.split("/")[0] != user:
            raise Refusal(403, "Forbidden", f"You don't have the rights to write to {name.split('/')[0]}")

    def repository(self, user: str | None, kind: str, name: str) -> Repository:
        found = self.server.repositories.get(KINDS[kind] + name)
        if found is None or (found.private and name.split("/")[0] != user):
            raise Refusal(401 if user is None else 404, "RepoNotFound", "Repository not found")
        return found


@route("GET", "/api/whoami-v2")
def whoami(handler, user):
    if user is None:
        raise Refusal(401, "Unauthorized", "Invalid username or password.")
    handler.send(200, {"type": "user", "name": user, "orgs": [], "auth": {"accessToken": {"role": "write"}}})


@route("POST", "/api/repos/create")
def create(handler, user):
    asked = json.loads(handler.body)
    kind = asked.get("type") or "model"
    name = f"{asked.get('organization') or user}/{asked['name']}"
    handler.require_writer(user, name)
    url = f"{handler.server.url}/{KINDS[kind]}{name}"
    if KINDS[kind] + name in handler.server.repositories:
        return handler.send(409, {"error": "You already created this model repo", "url": url})
    private = bool(asked.get("private")) or asked.get("visibility") == "private"
    handler.server.repositories[KINDS[kind] + name] = Repository(private)
    handler.send(200, {"url": url, "name": name, "id": name})


@route("POST", "/api/validate-yaml")
def validate_yaml(handler, user):
    handler.send(200, {"errors": [], "warnings": []})


@route("GET", "/api/{repo}(/revision/(?P<revision>.+))?")
def info(handler, user, kind, name, revision):
    repository = handler.repository(user, kind, name)
    commit = repository.find(revision or "main")
    siblings = [{"rfilename": path} for path in sorted(commit.tree)]
    handler.send(
        200,
        {"_id": name, "id": name, "modelId": name, "sha": commit.id, "private": repository.private, "siblings": siblings}
        | {"tags": [], "downloads": 0, "likes": 0, "disabled": False, "gated": False},
    )


@route("GET", "/api/{repo}/refs")
def refs(handler, user, kind, name):
    branches = handler.repository(user, kind, name).branches.items()
    rows = [{"name": branch, "ref": f"refs/heads/{branch}", "targetCommit": commit} for branch, commit in branches]
    handler.send(200, {"branches": rows, "tags": [], "converts": []})


@route("POST", "/api/{repo}/branch/(?P<branch>.+)")
def make_branch(handler, user, kind, name, branch):
    handler.require_writer(user, name)
    repository = handler.repository(user, kind, name)
    if branch in repository.branches:
        raise Refusal(409, "Conflict", "Reference already exists")
    start = json.loads(handler.body or b"{}").get("startingPoint") or "main"
    repository.branches[branch] = repository.find(start).id
    handler.send(201)


@route("GET", "/api/{repo}/tree/(?P<revision>[^/]+)(/(?P<folder>.*))?")
def tree(handler, user, kind, name, revision, folder):
    files = handler.repository(user, kind, name).find(revision).tree
    inside = {path: entry for path, entry in files.items() if not folder or path.startswith(f"{folder}/")}
    if folder and not inside:
        raise Refusal(404, "EntryNotFound", f"{folder} does not exist")
    rows, depth = [], len(folder.split("/")) if folder else 0
    recursive = handler.query.get("recursive", ["false"])[0].lower() in ("true", "1")
    folders = {"/".join(path.split("/")[:end]) for path in inside for end in range(depth + 1, len(path.split("/")))}
    rows += [{"type": "directory", "path": path, "oid": git_oid(path.encode()), "size": 0} for path in sorted(folders)]
    rows += [entry.row(path) for path, entry in sorted(inside.items())]
    handler.send(200, [row for row in rows if recursive or row["path"].count("/") == depth])


@route("POST", "/api/{repo}/paths-info/(?P<revision>.+)")
def paths_info(handler, user, kind, name, revision):
    files = handler.repository(user, kind, name).find(revision).tree
    if handler.headers["Content-Type"].startswith("application/json"):
        paths = json.loads(handler.body)["paths"]
    else:
        paths = parse_qs(handler.body.decode())["paths"]
    folders = [path for path in paths if any(file.startswith(f"{path}/") for file in files)]
    rows = [{"type": "directory", "path": path, "oid": git_oid(path.encode()), "size": 0} for path in folders]
    handler.send(200, rows + [files[path].row(path) for path in paths if path in files])


@route("POST", "/api/{repo}/preupload/(?P<revision>.+)")
def preupload(handler, user, kind, name, revision):
    handler.require_writer(user, name)
    files = handler.repository(user, kind, name).find(revision).tree
    rows = []
    for file in json.loads(handler.body)["files"]:
        large = file["size"] >= LARGE or b"\0" in base64.b64decode(file["sample"])
        known = {"oid": files[file["path"]].oid} if file["path"] in files else {}
        rows.append({"path": file["path"], "uploadMode": "lfs" if large else "regular", "shouldIgnore": False} | known)
    handler.send(200, {"files": rows})


@route("POST", r"/((?P<kind>dataset|space)s/)?(?P<name>[^/]+/[^/]+)\.git/info/lfs/objects/batch")
def lfs_batch(handler, user, kind, name):
    handler.require_writer(user, name)
    rows = []
    for wanted in json.loads(handler.body)["objects"]:
        upload = {"upload": {"href": f"{handler.server.url}/lfs/{wanted['oid']}"}}
        rows.append(wanted | ({} if wanted["oid"] in handler.server.contents else {"actions": upload}))
    handler.send(200, {"transfer": "basic", "objects": rows})


@route("PUT", "/lfs/(?P<oid>.+)")
def lfs_put(handler, user, oid):
    handler.server.before_keeping(oid)
    if hashlib.sha256(handler.body).hexdigest() != oid:
        raise Refusal(400, "BadRequest", "the content is not what its hash says")
    handler.server.keep(handler.body, lfs=True)
    handler.send(200)


@route("POST", "/api/{repo}/commit/(?P<branch>.+)")
def commit(handler, user, kind, name, branch):
    handler.require_writer(user, name)
    with handler.server.lock:
        repository = handler.repository(user, kind, name)
        parent = repository.find(branch)
        files, title = dict(parent.tree), ""
        for line in handler.body.splitlines():
            key, value = (operation := json.loads(line))["key"], operation["value"]
            if key == "header":
                title = value["summary"]
            elif key == "file":
                files[value["path"]] = handler.server.keep(base64.b64decode(value["content"]), lfs=False)
            elif key == "lfsFile":
                if value["oid"] not in handler.server.contents:
                    raise Refusal(400, "BadRequest", f"{value['path']} was never uploaded")
                files[value["path"]] = Entry(value["oid"], value["size"], lfs=True)
            elif key == "deletedFile":
                del files[value["path"]]
        made = Commit(files, title, parent.id)
        repository.add(branch, made)
    url = f"{handler.server.url}/{KINDS[kind]}{name}/commit/{made.id}"
    handler.send(200, {"success": True, "commitUrl": url, "commitOid": made.id})


@route("GET|HEAD", r"/((?P<kind>dataset|space)s/)?(?P<name>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<path>.+)")
def resolve(handler, user, kind, name, revision, path):
    found = handler.repository(user, kind or "model", name).find(revision)
    entry, headers = found.tree.get(path), {"X-Repo-Commit": found.id}
    if entry is None:
        return handler.send(404, b"", headers | {"X-Error-Code": "EntryNotFound", "X-Error-Message": "Entry not found"})
    content, status = handler.server.contents[entry.oid], 200
    headers |= {"ETag": f'"{entry.oid}"', "Accept-Ranges": "bytes"}
    if entry.lfs:
        headers |= {"X-Linked-Etag": f'"{entry.oid}"', "X-Linked-Size": str(entry.size)}
    if match := re.fullmatch(r"bytes=(\d+)-(\d*)", handler.headers.get("Range", "")):
        first, last = int(match[1]), int(match[2] or entry.size - 1)
        headers |= {"Content-Range": f"bytes {first}-{last}/{entry.size}"}
        content, status = content[first : last + 1], 206
    handler.send(status, content, headers)
