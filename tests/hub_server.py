"""A stand-in for the Hugging Face hub: repositories in memory, behind the part of its HTTP API that is used."""

import base64
import hashlib
import json

import yaml
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import JSONResponse

TOKEN = "hf_test"


class Hub:
    """Repositories by name, each with the files of its commits; ``requests`` are the paths that were asked for."""

    def __init__(self):
        self.repositories = {}
        self.private = set()
        self.requests = []

    def commit(self, repository, files):
        """Add a commit with these files, and return its name."""
        content = b"".join(name.encode() + files[name] for name in sorted(files))
        commits = self.repositories.setdefault(repository, {})
        name = hashlib.sha1(content + str(len(commits)).encode()).hexdigest()
        commits[name] = dict(files)
        return name

    def find(self, repository, revision, authorized):
        """The name and the files of a commit. Raises as the hub responds."""
        commits = self.repositories.get(repository)
        if not commits or (repository in self.private and not authorized):
            raise Refused(401, "RepoNotFound")
        name = list(commits)[-1] if revision == "main" else revision
        if name not in commits:
            raise Refused(404, "RevisionNotFound")
        return name, commits[name]


class Refused(Exception):
    def __init__(self, status, code):
        self.status, self.code = status, code


def create_hub(hub):  # noqa: C901 - one function for each route
    app = FastAPI()

    @app.exception_handler(Refused)
    def refuse(request, refused):
        return JSONResponse({"error": refused.code}, refused.status, {"X-Error-Code": refused.code})

    @app.middleware("http")
    async def record(request, call_next):
        hub.requests.append(f"{request.method} {request.url.path}")
        return await call_next(request)

    def is_authorized(request):
        return request.headers.get("authorization") == f"Bearer {TOKEN}"

    def require_token(request):
        if not is_authorized(request):
            raise HTTPException(401)

    def find(request, owner, name, revision):
        return hub.find(f"{owner}/{name}", revision, is_authorized(request))

    @app.get("/api/models/{owner}/{name}")
    @app.get("/api/models/{owner}/{name}/revision/{revision}")
    def model_info(request: Request, owner: str, name: str, revision: str = "main"):
        commit, files = find(request, owner, name, revision)
        siblings = [{"rfilename": file} for file in files]
        private = f"{owner}/{name}" in hub.private
        return {"id": f"{owner}/{name}", "sha": commit, "private": private, "siblings": siblings, "tags": []}

    @app.get("/api/models/{owner}/{name}/tree/{revision}")
    def tree(request: Request, owner: str, name: str, revision: str):
        _, files = find(request, owner, name, revision)
        return [
            {"type": "file", "path": file, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
            for file, content in files.items()
        ]

    @app.api_route("/{owner}/{name}/resolve/{revision}/{file}", methods=["GET", "HEAD"])
    def resolve(request: Request, owner: str, name: str, revision: str, file: str):
        commit, files = find(request, owner, name, revision)
        if file not in files:
            raise Refused(404, "EntryNotFound")
        headers = {"X-Repo-Commit": commit, "ETag": f'"{hashlib.sha1(files[file]).hexdigest()}"'}
        return Response(files[file], headers=headers, media_type="application/octet-stream")

    @app.post("/api/repos/create")
    async def create(request: Request):
        require_token(request)
        body = await request.json()
        repository = f"{body['organization']}/{body['name']}" if body.get("organization") else body["name"]
        status = 409 if repository in hub.repositories else 200
        if status == 200:
            hub.commit(repository, {".gitattributes": b""})
            if body.get("private") or body.get("visibility") == "private":
                hub.private.add(repository)
        return JSONResponse({"url": f"{request.base_url}{repository}", "name": repository, "id": repository}, status)

    @app.post("/api/validate-yaml")
    async def validate(request: Request):
        _, front_matter, _ = (await request.json())["content"].split("---\n", 2)
        entries = yaml.safe_load(front_matter)
        missing = {"license", "library_name", "pipeline_tag", "tags"} - set(entries)
        return {"errors": [{"message": f"{name} is missing"} for name in sorted(missing)], "warnings": []}

    @app.post("/api/models/{owner}/{name}/preupload/{revision}")
    async def preupload(request: Request, owner: str, name: str, revision: str):
        require_token(request)
        files = (await request.json())["files"]
        return {"files": [{"path": file["path"], "uploadMode": "regular", "shouldIgnore": False} for file in files]}

    @app.post("/api/models/{owner}/{name}/commit/{revision}")
    async def commit(request: Request, owner: str, name: str, revision: str):
        require_token(request)
        commits = hub.repositories[f"{owner}/{name}"]
        files = dict(list(commits.values())[-1]) if commits else {}
        for line in (await request.body()).splitlines():
            operation = json.loads(line)
            if operation["key"] == "file":
                files[operation["value"]["path"]] = base64.b64decode(operation["value"]["content"])
            elif operation["key"] == "deletedFile":
                del files[operation["value"]["path"]]
        made = hub.commit(f"{owner}/{name}", files)
        return {"success": True, "commitOid": made, "commitUrl": f"{request.base_url}{owner}/{name}/commit/{made}"}

    return app
