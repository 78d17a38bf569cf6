"""How schemathesis calls this API: as whom, about what, and which of its findings are none.

The document's own examples name what `Contract` has prepared, so most requests find something. What
later requests need is put out of the way of those that change things.

The local gateway is no reason for any of it: what it answers by itself, to a path or method without a
route (404) and to a JWT that is none (401), is what API Gateway's HTTP APIs answer too.
"""

import json
import os
import uuid
from urllib.parse import unquote

import schemathesis
from schemathesis.core.parameters import ParameterLocation
from schemathesis.openapi.checks import RejectedPositiveData, UndefinedContentType, UnsupportedMethodResponse, UseAfterFree

TOLD = json.loads(os.environ["GRANTRY_CONTRACT"])
# What the last answer about a connector or an app said, by its path: its name, and its ETag.
NAMES: dict[str, str] = {}
ETAGS: dict[str, str] = {}
# Operations of admins that are no GET and yet leave a connector as it is.
HARMLESS = ("planScopes", "beginSharedConnect", "completeSharedConnect")


def caller(case) -> str:
    return case.operation.definition.raw["x-caller"]


def changes(case) -> bool:
    return case.operation.method.upper() != "GET"


# --- Who calls ---


# Not cached: a credential is the caller's, not the run's.
@schemathesis.auth(refresh_interval=None)
class OfTheCaller:
    def get(self, case, _context):
        # A user who disconnects is not the one whose account is looked at.
        leaves = caller(case) == "user" and case.operation.method.upper() == "DELETE"
        return TOLD["credentials"].get("leaver" if leaves else caller(case))

    def set(self, case, credential, _context):
        if credential:
            case.headers = {**(case.headers or {}), "Authorization": f"Bearer {credential}"}


# --- With what ---


@schemathesis.hook
def before_call(_context, case, _kwargs):
    path, query, headers = case.path_parameters or {}, case.query or {}, case.headers or {}
    body = case.body if isinstance(case.body, dict) else {}
    sound = {place: not (case.meta and case.meta.is_negative_at(place)) for place in ParameterLocation}
    if sound[ParameterLocation.PATH]:
        spare(case, path)
    fill_in(case, body, sound[ParameterLocation.BODY])
    if sound[ParameterLocation.QUERY] and "confirm" in query:
        query["confirm"] = NAMES.get(case.formatted_path, query["confirm"])
    if sound[ParameterLocation.HEADER]:
        complete(case, headers, unquote(str(path.get("user_id", body.get("user_id")))))


def complete(case, headers: dict, user: str) -> None:
    """Headers that say something of the request, or of what is stored, say it truly."""
    if "Idempotency-Key" in headers:
        # A key says that two requests are one, and those made up here are not.
        headers["Idempotency-Key"] = str(uuid.uuid4())
    if "If-Match" in headers:
        headers["If-Match"] = ETAGS.get(case.formatted_path, headers["If-Match"])
    if "On-Behalf-Of" in headers:
        # For nobody else than the user whom the request names.
        if token := TOLD["users"].get(user):
            headers["On-Behalf-Of"] = f"Bearer {token}"
        else:
            del headers["On-Behalf-Of"]


def spare(case, path: dict) -> None:
    """Turns what would change what has to last to what is there to be changed."""
    lasting, exposed = TOLD["lasting"], TOLD["exposed"]
    names = {name: unquote(str(value)) for name, value in path.items()}
    if caller(case) == "admin":
        if case.operation.definition.raw["operationId"] in HARMLESS or not changes(case):
            return
        spared = [name for name, value in names.items() if value in lasting.get(name, [])]
    else:
        if names.get("connector_id") == exposed["connector_id"]:
            path["connector_id"] = lasting["connector_id"][0]
        deletes = case.operation.method.upper() == "DELETE"
        spared = ["user_id"] if deletes and names.get("user_id") in lasting["user_id"] else []
    for name in spared:
        path[name] = exposed[name]


def fill_in(case, body: dict, is_sound: bool) -> None:
    """What cannot be made up: the connector of users, their proof, and a `config` for the provider."""
    connector = TOLD["lasting"]["connector_id"][0]
    if body.get("connector_id") == TOLD["exposed"]["connector_id"]:
        body["connector_id"] = connector
    # The document's examples are of two providers.
    if body.get("config") == {"subdomain": "acme"} and body.get("provider", "google") == "google":
        body["config"] = {}
    if caller(case) == "exchange" and is_sound:
        given = {"subject_token": TOLD["credentials"]["user"], "audience": connector}
        body |= {name: value for name, value in given.items() if name in body}


def json_of(response) -> dict:
    """The object that an answer is, if it is one."""
    try:
        told = json.loads(response.content)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


@schemathesis.hook
def after_call(_context, case, response):
    told = json_of(response)
    if response.status_code >= 300 or not isinstance(told.get("id"), str):
        return
    path = "/".join([*case.path.split("/")[:3], told["id"]])
    if "name" in told:
        NAMES[path] = told["name"]
    if etag := response.headers.get("etag"):
        ETAGS[path] = etag[0]


# --- What is no finding ---


# Codes of refusals that hang on what is stored, of requests that are as the document says.
STORED = {
    "completion_invalid", "confirmation_required", "not_connected", "precondition_failed", "reconnect_required", "session_expired",
}  # fmt: skip
# Members whose right values the document gives in words: they name what is stored, fit others of
# the same request, or are free of characters that a pattern would be unreadable for.
IN_WORDS = {
    "accounts", "alias", "allowed_apps", "client_id", "client_secret", "config", "cursor", "keep_previous_secret", "login_hint",
    "name", "previous_secret", "provider", "return_url", "return_urls", "scopes", "template", "user_id",
}  # fmt: skip


@schemathesis.hook
def filter_failure(_context, failure, case, response) -> bool:
    told = json_of(response)
    match failure:
        case RejectedPositiveData():
            fields = {error["field"].split(".")[0].split("[")[0] for error in told.get("errors", [])}
            if told.get("error") == "invalid_scope":
                # OAuth's own word for it, in place of the field.
                fields = {"scopes"}
            return not (told.get("code") in STORED or fields and fields <= IN_WORDS)
        case UndefinedContentType():
            # The gateway decodes paths. With a control character in it one is no path to the
            # function, which answers so before it knows that a browser asks.
            return not (caller(case) == "browser" and told.get("detail") == "there is no such path")
        case UseAfterFree():
            # A deletion takes its time, and what is being deleted says how far it has come.
            return "deletion" not in told
        case UnsupportedMethodResponse():
            # The gateway has no route for it: an HTTP API answers so on AWS too, and never 405.
            return not (response.status_code == 404 and told == {"message": "Not Found"})
    return True
