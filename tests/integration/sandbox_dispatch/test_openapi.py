"""The sandbox holds what its OpenAPI document says: Schemathesis asks whatever it allows, and more.

Each operation gets a sandbox that has one object of each kind, whose ids stand in the path.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis import Case
from schemathesis.core.parameters import ParameterLocation
from schemathesis.specs.openapi.checks import positive_data_acceptance

import dispatch_sandbox
from dispatch_sandbox import openapi
from dispatch_sandbox.api import AccountApi, DispatchApi, Request
from dispatch_sandbox.naming import BRANDS, WORKSPACES
from tests.support import api_table

STATE = dispatch_sandbox.SandboxState(allow_remote=True)  # nothing is delivered: no server runs
APP = dispatch_sandbox.create_app(STATE)
HOME = dispatch_sandbox.WORKSPACE
KEY = f"Bearer {dispatch_sandbox.API_KEY}"

# What no schema can say: whether it is there, has arrived, or fits what else is said.
OF_THE_MOMENT = {
    "cursor", "status", "setStatus", "parentId", "attachmentIds", "sourceTicketIds",
    "sourceTagIds", "statusIds", "categoryIds", "keys", "url", "size", "assigneeId",
    "categoryId", "tags",
}  # fmt: skip

# These want a second object, a link's token, a file without a ticket: see the contract suite.
NEED_MORE = ("/merge", "/portal/verify", "/attachments/pending/{pending_id}/confirm")

schema = schemathesis.openapi.from_asgi("/openapi.json", APP)

_MADE: dict[str, tuple[str, dict[str, Any]]] = {
    "ticket_id": ("tickets", {"title": "s", "customerEmail": "j@example.com"}),
    "comment_id": ("tickets/{ticket_id}/comments", {"body": "b"}),
    "attachment_id": (
        "tickets/{ticket_id}/attachments",
        {"filename": "f", "contentType": "text/plain", "size": 0},
    ),
    "webhook_id": ("webhooks", {"url": "http://127.0.0.1:9/", "events": ["*"]}),
    "status_id": ("statuses", {"name": "Refunded", "key": "refunded"}),
    "category_id": ("categories", {"name": "Returns"}),
    "tag_id": ("tags", {"name": "vip"}),
    "key": ("fields/ticket", {"key": "order_id", "label": "Order", "type": "text"}),
}


@pytest.fixture
def answered(request: pytest.FixtureRequest) -> Iterator[set[int]]:
    """Collect of which hundreds the answers to an operation are: some were carried out, some not.

    What is only ever refused shows nothing about its answers.
    """
    hundreds = set[int]()
    yield hundreds
    operation = request.node.operation_label
    assert {2, 4} <= hundreds or operation.endswith(NEED_MORE), operation


@pytest.fixture
def known() -> dict[str, str]:
    """Start anew, and give an id for each name in a path, and the portal's token."""
    STATE.reset()
    ids = {"workspace_id": HOME, "brand_id": HOME, "entity": "ticket"}
    for name, (path, body) in _MADE.items():
        made = _post(DispatchApi(STATE, BRANDS), f"{HOME}/{path.format_map(ids)}", body)
        ids[name] = made.get("key" if name == "key" else "id") or made["attachmentId"]
    STATE.blobs.path(ids["attachment_id"]).touch()  # all of its no bytes have arrived
    key = _post(AccountApi(STATE, BRANDS), "me/api-keys", {"name": "k"})
    token = _post(DispatchApi(STATE, BRANDS), f"{HOME}/portal/token", {"email": "j@example.com"})
    people = dict.fromkeys(("customer_id", "contact_id"), token["customerId"])
    return ids | people | {"api_key_id": key["id"], "token": token["token"]}


def _post(api: DispatchApi, path: str, body: dict[str, Any]) -> dict[str, Any]:
    content = json.dumps(body).encode()
    answer = api.answer(Request("POST", path, path, authorization=KEY, body=content))
    assert answer.status == 201, answer
    made: dict[str, Any] = json.loads(answer.body)
    return made


@schema.exclude(path_regex="/contacts").parametrize()  # customers by another name
@settings(
    max_examples=3,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_it_answers_as_its_document_says(
    case: Case[Any], known: dict[str, str], answered: set[int]
) -> None:
    assert case.meta is not None
    wrong = [place for place, part in case.meta.components.items() if part.mode.is_negative]
    if ParameterLocation.PATH not in wrong:
        case.path_parameters.update({n: known[n] for n in case.path_parameters if n in known})
    if "confirm" in case.query and ParameterLocation.QUERY not in wrong:
        case.query["confirm"] = "false"  # the workspace is needed
    headers = {}
    if ParameterLocation.HEADER not in wrong:
        portal = case.path.startswith("/portal/") and case.path != "/portal/verify"
        headers["Authorization"] = f"Bearer {known['token']}" if portal else KEY
    answer = case.call_and_validate(headers=headers, excluded_checks=[positive_data_acceptance])
    answered.add(answer.status_code // 100)
    if not wrong and answer.status_code == 400:
        style = WORKSPACES if case.path.startswith("/workspaces") else BRANDS
        named = {style.name(it["field"]) for it in answer.json()["errors"]}
        assert named
        assert named <= OF_THE_MOMENT, "the document allows it, and the sandbox does not"


def test_the_document_has_every_endpoint_in_both_styles() -> None:
    document = openapi.document("http://localhost")
    there = {
        f"{method.upper()} {re.sub('{[a-z_]+}', ':id', path)}"
        for path, operations in document["paths"].items()
        for method in operations
    }
    rows = [row.endpoint for row in api_table.rows() if row.sandboxed]
    wanted = {re.sub(r" BS?(?=/|$)", " B", row) for row in rows if " BS" not in row}
    for word in ("workspaces", "brands"):
        assert {row.replace(" B", f" /{word}/:id") for row in wanted} <= there
        assert {f"GET /{word}", f"POST /{word}"} <= there
    names = [it["operationId"] for path in document["paths"].values() for it in path.values()]
    assert len(names) == len({*names})


def test_each_style_has_its_own_names() -> None:
    schemas = openapi.document("http://localhost")["components"]["schemas"]
    assert schemas["Ticket"]["required"] == ["id", "workspace_id", "subject", "status"]
    assert schemas["BrandsTicket"]["required"] == ["id", "brandId", "title", "status"]
