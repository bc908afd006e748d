"""What every answer has, and how a call that is wrong as such is refused."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

import dispatch_sandbox

ANSWERS = [
    ("GET", "tickets", 200),
    ("POST", "tickets", 400),
    ("GET", "tickets/tkt_none", 404),
    ("PUT", "tickets", 405),
    ("GET", "nothing/here", 404),
]


@pytest.mark.parametrize(("method", "path", "status"), ANSWERS)
def test_every_answer_has_its_id_its_limits_and_the_mark(
    api: httpx.Client, method: str, path: str, status: int
) -> None:
    first, second = api.request(method, path), api.request(method, path)
    assert first.status_code == status
    assert first.headers["x-request-id"] != second.headers["x-request-id"]
    assert first.headers["x-sandbox"] == "dispatch-returns"
    assert first.headers["content-type"] == "application/json"
    remaining = [int(answer.headers["x-ratelimit-remaining"]) for answer in (first, second)]
    assert remaining[0] - remaining[1] == 1
    assert int(first.headers["x-ratelimit-limit"]) >= remaining[0]
    assert int(first.headers["x-ratelimit-reset"]) > 1_700_000_000


@pytest.mark.parametrize(("method", "path", "status"), ANSWERS[1:])
def test_every_error_has_the_documented_body(
    api: httpx.Client, method: str, path: str, status: int
) -> None:
    error = api.request(method, path).json()
    assert set(error) == {"message", "error", "errors", "code"}
    assert all(set(problem) == {"field", "message"} for problem in error["errors"])


@pytest.mark.parametrize(
    "key", ["", "Bearer", "Bearer sk_test_other", "sk_test_sandbox", "Basic x"]
)
def test_another_key_is_refused(box: dispatch_sandbox.Sandbox, key: str) -> None:
    url = f"{box.api_url}/workspaces/ws_sandbox/tickets"
    answer = httpx.get(url, headers={"authorization": key})
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")


def test_an_unknown_workspace_is_not_found(
    box: dispatch_sandbox.Sandbox, api: httpx.Client
) -> None:
    for style in ("workspaces", "brands"):
        assert api.get(f"{box.api_url}/{style}/ws_other/tickets").status_code == 404
    assert api.get(f"{box.api_url}/workspaces//tickets").status_code == 404


def test_a_wrong_method_names_the_right_ones(api: httpx.Client) -> None:
    answer = api.put("tickets/tkt_1")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET, PATCH, DELETE"


def test_paths_outside_the_api_are_not_found_in_json(box: dispatch_sandbox.Sandbox) -> None:
    for path in ("/v1", "/v1/nothing", "/nothing", "/v1/workspaces_"):
        answer = httpx.get(box.url + path)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
        assert answer.headers["x-request-id"]


def test_the_root_says_that_it_is_a_test_double(box: dispatch_sandbox.Sandbox) -> None:
    assert "test double" in httpx.get(box.url).json()["about"]


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b"null",
        b'"x"',
        b"\xff",
        b'{"subject": NaN}',
        b'{"a":' * 5000,
        b"[" * 101 + b"]" * 101,
    ],
)
def test_a_body_that_is_no_json_object_is_a_400(api: httpx.Client, body: bytes) -> None:
    answer = api.post("tickets", content=body)
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_json")


def test_an_empty_body_with_a_json_content_type_is_an_empty_object(api: httpx.Client) -> None:
    answer = api.post("tickets", content=b"", headers={"content-type": "application/json"})
    assert answer.json()["errors"] == [{"field": "subject", "message": "is required"}]


def test_a_body_that_is_too_large_is_a_413(api: httpx.Client) -> None:
    answer = api.post("tickets", content=b" " * 1_048_577)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


def test_too_many_calls_are_told_when_to_come_back() -> None:
    with dispatch_sandbox.running(state=dispatch_sandbox.SandboxState(rate_limit=2)) as box:
        url = f"{box.api_url}/workspaces"
        headers = {"authorization": f"Bearer {dispatch_sandbox.API_KEY}"}
        answers = [httpx.get(url, headers=headers) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert [answer.headers["x-ratelimit-remaining"] for answer in answers] == ["1", "0", "0"]
    assert 1 <= int(answers[2].headers["retry-after"]) <= 60
    assert answers[2].json()["code"] == "rate_limited"


BODY = {"subject": "Return"}


class TestIdempotency:
    def post(self, api: httpx.Client, key: str, body: Any, path: str = "tickets") -> httpx.Response:
        return api.post(path, json=body, headers={"x-idempotency-key": key})

    def test_a_repeated_create_gives_the_first_answer(self, api: httpx.Client) -> None:
        first, second = (self.post(api, "k1", BODY) for _ in range(2))
        assert (second.status_code, second.content) == (201, first.content)
        assert len(api.get("tickets").json()["data"]) == 1

    def test_the_same_key_with_another_body_is_a_conflict(self, api: httpx.Client) -> None:
        self.post(api, "k1", BODY)
        assert self.post(api, "k1", {"subject": "Another"}).status_code == 409
        assert len(api.get("tickets").json()["data"]) == 1

    def test_keys_are_apart_from_each_other_and_by_path(self, api: httpx.Client) -> None:
        ticket = self.post(api, "k1", BODY).json()
        assert self.post(api, "k2", BODY).json()["id"] != ticket["id"]
        comments = f"tickets/{ticket['id']}/comments"
        assert self.post(api, "k1", {"body": "hello"}, comments).status_code == 201

    def test_a_refused_create_can_be_corrected_under_its_key(self, api: httpx.Client) -> None:
        assert self.post(api, "k1", {}).status_code == 400
        assert self.post(api, "k1", BODY).status_code == 201

    def test_an_endless_key_is_refused(self, api: httpx.Client) -> None:
        assert self.post(api, "k" * 256, BODY).status_code == 400
