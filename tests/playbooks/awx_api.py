# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A mock of AWX's REST API, for the modules of awx.awx: it keeps what they post, and writes down every change.

It is not AWX: it checks no permission and runs no job. What it knows of AWX: lists are filtered by the fields of the query, an object has a URL and related
URLs, associations answer 204 (an approval has none), an update brings a project to the revision of its source, a survey is posted apart from its template.
Surveys are checked by the rules in ``surveys.py``.
"""

from __future__ import annotations

import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qsl, urlsplit

import pytest
from playbooks.surveys import wrong_in_survey

#: Where awx.awx is: `make test-playbooks` puts it there.
COLLECTIONS = os.environ.get("REALTIME_KVM_COLLECTIONS") or str(Path(__file__).resolve().parents[2] / ".cache" / "collections")
FOUND = (Path(COLLECTIONS) / "ansible_collections" / "awx" / "awx").is_dir()
needs_awx = pytest.mark.skipif(not FOUND, reason="needs awx.awx: make test-playbooks")
BASE = "/api/v2/"
TEMPLATES = ("job_templates", "projects", "workflow_job_templates", "workflow_approval_templates")
#: What AWX does not keep of an object that is given to it.
DROPPED = {"workflow_approval_templates": ("identifier", "workflow_job_template")}
SURVEY, JSON, APPROVAL = "survey_spec", "application/json", "create_approval_template"


class Awx:
    """The objects, by list; every request that could change something; the server's address."""

    def __init__(self):
        self.lists = {name: {} for name in TEMPLATES}
        self.surveys, self.links, self.changes, self.last, self.revision = {}, {}, [], 0, "a1"
        self.add("organizations", {"name": "Default"})
        self.add("inventories", {"name": "plant", "organization": 1})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Handler,), {"awx": self}))
        self.environment = {
            "CONTROLLER_HOST": f"http://127.0.0.1:{self.server.server_port}",
            "CONTROLLER_OAUTH_TOKEN": "token",
        }
        Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        """Stop the server."""
        self.server.shutdown()
        self.server.server_close()

    def add(self, name, fields):
        """Keep a new object and return it."""
        self.last += 1
        url = f"{BASE}{name}/{self.last}/"
        related = {SURVEY: f"{url}{SURVEY}/", "update": f"{url}update/"}
        kept = {key: value for key, value in fields.items() if key not in DROPPED.get(name, ())}
        thing = {
            "id": self.last,
            "type": name[:-1],
            "url": url,
            "related": related,
            "summary_fields": {},
            "scm_revision": "",
            **kept,
        }
        if name == "job_templates":  # it has that of its project
            thing["organization"] = 1
        self.lists.setdefault(name, {})[self.last] = thing
        return thing

    def named(self, name):
        """Return the objects of a list by name or identifier."""
        return {thing.get("name") or thing["identifier"]: thing for thing in self.lists[name].values()}

    def names_of(self, thing, association):
        """Return the names of what is associated with an object."""
        found = self.links.get(f"{thing['url']}{association}/", [])
        everything = {key: value for things in self.lists.values() for key, value in things.items()}
        return [everything[key].get("name") or everything[key]["identifier"] for key in found]

    def found(self, name, query):
        """Return what a list shows for a query."""
        lists = TEMPLATES if name == "unified_job_templates" else (name,)
        things = [thing for one in lists for thing in self.lists.get(one, {}).values()]
        wanted = {key: value for key, value in query.items() if key not in ("page_size", "order_by")}
        one_of = {key.removeprefix("or__"): wanted.pop(key) for key in list(wanted) if key.startswith("or__")}
        things = [thing for thing in things if not one_of or any(str(thing.get(key)) == one_of[key] for key in one_of)]
        return [thing for thing in things if all(str(thing.get(key)) == value for key, value in wanted.items())]


def page(things):
    """Return a list as the API shows it."""
    return {"count": len(things), "next": None, "previous": None, "results": things}


class Handler(BaseHTTPRequestHandler):
    """One request."""

    awx: Awx

    def log_message(self, *_arguments):
        """Say nothing."""

    def _answer(self, code, data=None):
        body = b"" if data is None else json.dumps(data).encode()
        self.send_response(code)
        self.send_header("Content-Type", JSON)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _parts(self):
        address = urlsplit(self.path)
        return address.path.removeprefix(BASE).strip("/").split("/"), dict(parse_qsl(address.query))

    def _given(self):
        return json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")

    def _path(self):
        return urlsplit(self.path).path

    def do_GET(self):
        parts, query = self._parts()
        if len(parts) == 1:
            self._answer(200, page(self.awx.found(parts[0], query)))
        elif len(parts) == 2:
            self._answer(200, self.awx.lists[parts[0]][int(parts[1])])
        elif parts[2] == SURVEY:
            self._answer(200, self.awx.surveys.get(int(parts[1]), {}))
        else:
            self._answer(200, page([{"id": key} for key in self.awx.links.get(self._path(), [])]))

    def do_POST(self):
        parts, _query = self._parts()
        given = self._given()
        self.awx.changes.append(("POST", self._path(), given))
        if len(parts) == 1:
            self._answer(201, self.awx.add(parts[0], given))
        elif parts[2] == SURVEY:
            if wrong := wrong_in_survey(given):
                self._answer(400, {"error": wrong[0]})
            else:
                self.awx.surveys[int(parts[1])] = given
                self._answer(200)
        elif parts[2] == APPROVAL:
            approval = self.awx.add("workflow_approval_templates", given)
            node = self.awx.lists[parts[0]][int(parts[1])]
            node["unified_job_template"] = approval["id"]
            node["related"]["unified_job_template"] = approval["url"]
            self._answer(201, approval)
        elif parts[2] == "update":
            project = self.awx.lists[parts[0]][int(parts[1])]
            project["scm_revision"] = self.awx.revision
            update = {"status": "successful", "finished": "now", "failed": False, "scm_revision": self.awx.revision}
            self._answer(202, self.awx.add("project_updates", update))
        elif parts[0] == "workflow_approval_templates":
            self._answer(404, {"detail": "The requested resource could not be found."})
        else:
            self.awx.links.setdefault(self._path(), []).append(given["id"])
            self._answer(204)

    def do_DELETE(self):
        """Of surveys alone; AWX answers as to other requests."""
        parts, _query = self._parts()
        self.awx.changes.append(("DELETE", self._path(), {}))
        assert parts[2] == SURVEY
        self.awx.surveys.pop(int(parts[1]), None)
        self._answer(200)

    def do_PATCH(self):
        parts, _query = self._parts()
        given = self._given()
        self.awx.changes.append(("PATCH", self._path(), given))
        thing = self.awx.lists[parts[0]][int(parts[1])]
        thing.update({key: value for key, value in given.items() if key not in DROPPED.get(parts[0], ())})
        self._answer(200, thing)
