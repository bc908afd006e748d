"""Customers, statuses, fields and workspaces."""

from __future__ import annotations

import httpx
import pytest

import dispatch_sandbox


class TestCustomers:
    def test_a_customer_is_created_read_and_changed(self, api: httpx.Client) -> None:
        body = {"email": "jane@example.com", "name": "Jane", "company_id": "co_1"}
        customer = api.post("customers", json=body | {"metadata": {"a": 1}}).json()
        assert customer.items() >= body.items()
        path = f"customers/{customer['id']}"
        assert api.get(path).json() == customer
        changed = api.patch(path, json={"name": None, "metadata": {"b": 2}}).json()
        assert (changed["name"], changed["metadata"]) == (None, {"a": 1, "b": 2})

    def test_an_address_belongs_to_one_customer(self, api: httpx.Client) -> None:
        jane = api.post("customers", json={"email": "jane@example.com"}).json()
        john = api.post("customers", json={"email": "john@example.com"}).json()
        assert api.post("customers", json={"email": "JANE@example.com"}).status_code == 409
        path = f"customers/{john['id']}"
        assert api.patch(path, json={"email": "jane@example.com"}).status_code == 409
        assert api.patch(path, json={"email": "JOHN@example.com"}).status_code == 200
        assert api.patch(path, json={"email": "jack@example.com"}).status_code == 200
        assert api.post("customers", json={"email": "john@example.com"}).status_code == 201
        assert api.get(f"customers/{jane['id']}").json() == jane

    def test_customers_are_listed_in_pages_and_searched(self, api: httpx.Client) -> None:
        for name in ("Ann", "Bob", "Cid"):
            body = {"email": f"{name}@example.com", "name": name, "company_id": f"co_{name}"}
            api.post("customers", json=body)
        page = api.get("customers", params={"limit": 2, "sort": "name", "order": "asc"}).json()
        assert [customer["name"] for customer in page["data"]] == ["Ann", "Bob"]
        assert page["pagination"]["hasMore"] is True
        rest = {"limit": 2, "sort": "name", "order": "asc", "cursor": page["pagination"]["cursor"]}
        assert [each["name"] for each in api.get("customers", params=rest).json()["data"]] == [
            "Cid"
        ]
        found = api.get("customers/search", params={"q": "BOB@"}).json()
        assert [customer["name"] for customer in found] == ["Bob"]
        for query in ({"search": "cid"}, {"company_id": "co_Cid"}):
            listed = api.get("customers", params=query).json()["data"]
            assert [customer["name"] for customer in listed] == ["Cid"]

    def test_a_search_without_a_question_is_refused(self, api: httpx.Client) -> None:
        answer = api.get("customers/search")
        assert [problem["field"] for problem in answer.json()["errors"]] == ["q"]

    def test_contacts_are_the_same_customers(self, api: httpx.Client) -> None:
        customer = api.post("contacts", json={"email": "jane@example.com"}).json()
        assert api.get(f"customers/{customer['id']}").json() == customer
        assert api.get("contacts/search", params={"q": "jane"}).json() == [customer]

    def test_what_is_no_customer_is_refused(self, api: httpx.Client) -> None:
        assert api.post("customers", json={}).status_code == 400
        assert api.post("customers", json={"email": "no address"}).status_code == 400
        assert api.get("customers/cus_none").status_code == 404


class TestStatuses:
    def add(self, api: httpx.Client, key: str) -> dict[str, object]:
        answer = api.post("statuses", json={"name": key.title(), "key": key, "color": "#fff"})
        assert answer.status_code == 201
        status: dict[str, object] = answer.json()
        return status

    def keys(self, api: httpx.Client) -> list[str]:
        return [status["key"] for status in api.get("statuses").json()]

    def test_every_workspace_has_the_systems_four(self, api: httpx.Client) -> None:
        assert self.keys(api) == ["open", "pending", "resolved", "closed"]
        assert all(status["is_system"] for status in api.get("statuses").json())

    def test_a_status_is_created_read_and_changed(self, api: httpx.Client) -> None:
        status = self.add(api, "refunded")
        path = f"statuses/{status['id']}"
        assert api.get(path).json() == status
        assert (status["is_system"], status["is_active"], status["color"]) == (False, True, "#fff")
        body = {"name": "Paid back", "sort_order": -1, "key": "other"}
        changed = api.patch(path, json=body).json()
        assert (changed["name"], changed["key"]) == ("Paid back", "refunded")
        assert self.keys(api)[0] == "refunded"

    def test_a_key_is_taken_once(self, api: httpx.Client) -> None:
        self.add(api, "refunded")
        for key in ("refunded", "open"):
            assert api.post("statuses", json={"name": "x", "key": key}).status_code == 409

    @pytest.mark.parametrize("key", ["", "two words", "active", None, 1, "-x", "x\n"])
    def test_a_key_that_cannot_be_one_is_refused(self, api: httpx.Client, key: object) -> None:
        answer = api.post("statuses", json={"name": "x", "key": key})
        assert [problem["field"] for problem in answer.json()["errors"]] == ["key"]

    def test_a_deleted_status_takes_no_more_tickets_and_frees_its_key(
        self, api: httpx.Client
    ) -> None:
        status = self.add(api, "refunded")
        ticket = api.post("tickets", json={"subject": "x", "status": "refunded"}).json()
        assert api.delete(f"statuses/{status['id']}").status_code == 204
        assert "refunded" not in self.keys(api)
        assert api.get(f"statuses/{status['id']}").json()["is_active"] is False
        assert api.get(f"tickets/{ticket['id']}").json()["status"] == "refunded"
        refused = api.post("tickets", json={"subject": "x", "status": "refunded"})
        assert refused.status_code == 400
        self.add(api, "refunded")
        again = api.patch(f"statuses/{status['id']}", json={"is_active": True})
        assert again.status_code == 409

    def test_a_status_out_of_use_can_be_used_again(self, api: httpx.Client) -> None:
        path = f"statuses/{self.add(api, 'refunded')['id']}"
        api.patch(path, json={"is_active": False})
        assert "refunded" not in self.keys(api)
        api.patch(path, json={"is_active": True})
        assert "refunded" in self.keys(api)

    def test_a_system_status_stays(self, api: httpx.Client) -> None:
        path = f"statuses/{api.get('statuses').json()[0]['id']}"
        assert api.delete(path).json()["code"] == "system_status"
        assert api.patch(path, json={"is_active": False}).status_code == 400
        assert len(self.keys(api)) == 4


class TestFields:
    BODY = '{"key": "order_id", "label": "Order", "type": "text", "required": true}'

    def test_a_field_is_created_listed_changed_and_deleted(self, api: httpx.Client) -> None:
        field = api.post("fields/ticket", content=self.BODY).json()
        assert (field["entity"], field["key"], field["required"]) == ("ticket", "order_id", True)
        path = "fields/ticket/order_id"
        assert api.get(path).json() == field
        assert api.get("fields/ticket").json() == [field]
        assert api.get("fields").json() == {"ticket": [field], "customer": []}
        assert api.get("fields/customer").json() == []
        changed = api.patch(path, json={"label": "Order number", "options": ["a"]}).json()
        assert (changed["label"], changed["options"]) == ("Order number", ["a"])
        assert api.delete(path).status_code == 204
        assert api.get(path).status_code == 404

    def test_a_key_is_taken_once_for_each_entity(self, api: httpx.Client) -> None:
        codes = [
            api.post(f"fields/{entity}", content=self.BODY).status_code
            for entity in ("ticket", "ticket", "customer", "invoice")
        ]
        assert codes == [201, 409, 201, 404]

    def test_a_wrong_field_is_refused(self, api: httpx.Client) -> None:
        answer = api.post("fields/ticket", json={"type": "money", "options": 1})
        assert {problem["field"] for problem in answer.json()["errors"]} == {
            "key", "label", "type", "options",
        }  # fmt: skip


class TestWorkspaces:
    def test_a_workspace_is_listed_and_read_in_both_styles(
        self, box: dispatch_sandbox.Sandbox
    ) -> None:
        headers = {"authorization": f"Bearer {dispatch_sandbox.API_KEY}"}
        for style, created in (("workspaces", "created_at"), ("brands", "createdAt")):
            listed = httpx.get(f"{box.api_url}/{style}", headers=headers).json()
            assert [workspace["id"] for workspace in listed] == ["ws_sandbox"]
            read = httpx.get(f"{box.api_url}/{style}/ws_sandbox", headers=headers).json()
            assert read == listed[0]
            assert created in read

    def test_workspaces_do_not_see_each_others_tickets(self) -> None:
        state = dispatch_sandbox.SandboxState(workspaces=("ws_one", "ws_two"))
        ticket = dispatch_sandbox.add_ticket(state, "ws_one", title="x")
        headers = {"authorization": f"Bearer {dispatch_sandbox.API_KEY}"}
        with dispatch_sandbox.running(state=state) as box:
            codes = [
                httpx.get(
                    f"{box.api_url}/workspaces/{workspace}/tickets/{ticket['id']}", headers=headers
                ).status_code
                for workspace in ("ws_one", "ws_two")
            ]
        assert codes == [200, 404]
