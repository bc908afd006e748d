from __future__ import annotations

from pathlib import Path

import pytest

from dispatch_returns.client.models import Field, Status, Webhook
from dispatch_returns.connector.provision import (
    EVENTS,
    FIELDS,
    Presence,
    ProvisionStep,
    apply,
    listens,
    plan,
    status_keys,
)
from dispatch_returns.errors import ConfigurationError
from dispatch_returns.returns.orders.ticket import FIELDS as ORDER_FIELDS
from tests.support.cli import Shop

URL = "http://127.0.0.1:9/webhooks/dispatch"


def hook(url: str = URL, events: tuple[str, ...] = EVENTS, *, enabled: bool = True) -> Webhook:
    return Webhook(id="whk_1", url=url, events=list(events), enabled=enabled)


def webhook_step(*hooks: Webhook) -> ProvisionStep:
    return plan([], [], hooks, url=URL)[-1]


# The plan.


def test_an_empty_workspace_lacks_everything_and_the_webhook_comes_last() -> None:
    steps = plan([], [], [], url=URL)
    assert {step.finding for step in steps} == {Presence.MISSING}
    assert [step.key for step in steps if step.kind == "status"] == list(status_keys())
    assert [(step.key, step.type) for step in steps if step.kind == "field"] == list(FIELDS)
    assert (steps[-1].kind, steps[-1].key) == ("webhook", URL)


def test_without_a_url_no_webhook_is_wanted() -> None:
    assert not [step for step in plan([], [], [hook()]) if step.kind == "webhook"]


def test_what_is_there_is_left_alone() -> None:
    statuses = [Status(id=f"sts_{key}", key=key, name=key) for key in status_keys()]
    fields = [Field(key=key, label=key, type=kind) for key, kind in FIELDS]
    steps = plan(statuses, fields, [hook()], url=URL)
    assert {step.finding for step in steps} == {Presence.EXISTS}
    assert not any(step.to_do for step in steps)


def test_every_status_can_be_named_otherwise() -> None:
    keys = status_keys({"refunded": "paid_back", "needs_review": "look_at_it"})
    assert keys[-5:] == ("paid_back", "look_at_it", "rejected", "expired", "cancelled")
    assert [step.key for step in plan([], [], [], keys=keys)][: len(keys)] == list(keys)


def test_two_steps_cannot_have_one_status() -> None:
    with pytest.raises(ConfigurationError, match="two steps have the same status, refunded"):
        status_keys({"approved": "refunded"})


def test_a_status_that_is_switched_off_is_to_be_switched_on() -> None:
    off = Status(id="sts_1", key="refunded", name="Refunded", is_active=False)
    (step,) = plan([off], [], [], keys=["refunded"])[:1]
    assert (step.finding, step.id, step.to_do) == (Presence.INACTIVE, "sts_1", True)


def test_a_field_of_another_type_is_reported_and_not_touched() -> None:
    other = Field(key="refund_amount", label="Amount", type="text")
    step = next(step for step in plan([], [other], []) if step.key == "refund_amount")
    assert step.finding is Presence.DIFFERS
    assert not step.to_do
    assert "its type is text instead of number" in (step.note or "")


@pytest.mark.parametrize(
    ("known", "finding", "note"),
    [
        ((hook(),), Presence.EXISTS, ""),
        ((hook(events=("*",)),), Presence.EXISTS, ""),
        ((hook(url="http://127.0.0.1:9/other"),), Presence.MISSING, ""),
        ((hook(enabled=False),), Presence.DIFFERS, "switched off"),
        ((hook(events=("ticket.updated",)),), Presence.DIFFERS, "not sent ticket.created"),
        ((hook(enabled=False), hook()), Presence.EXISTS, ""),
    ],
)
def test_a_webhook_is_found_by_its_url(
    known: tuple[Webhook, ...], finding: Presence, note: str
) -> None:
    step = webhook_step(*known)
    assert step.finding is finding
    assert note in (step.note or "")


def test_a_webhook_listens_if_it_is_sent_changes_of_tickets() -> None:
    assert listens(hook())
    assert listens(hook(events=("*",)))
    assert not listens(hook(events=("comment.created",)))


# The workspace.


def test_what_somebody_else_made_meanwhile_is_left_as_it_is(bare_shop: Shop) -> None:
    with bare_shop.client() as client:
        step = plan(client.statuses.list(), client.fields.list(), [])[0]
        client.statuses.create(key=step.key, name="Theirs")
        assert apply(client, step) is None
        names = [status.name for status in client.statuses.list() if status.key == step.key]
    assert names == ["Theirs"]


def test_a_status_is_switched_on_again(bare_shop: Shop) -> None:
    with bare_shop.client() as client:
        made = client.statuses.create(key="refunded", name="Refunded")
        client.statuses.update(made.id, is_active=False)
        off = client.statuses.get(made.id)
        (step,) = plan([off], [], [], keys=["refunded"])[:1]
        apply(client, step)
        assert client.statuses.get(made.id).is_active


# The command.


def test_a_dry_run_says_what_would_be_made_and_makes_nothing(bare_shop: Shop) -> None:
    said = bare_shop.run("setup", "--dry-run", "--webhook-url", URL)
    assert said.code == 0
    assert "would be created" in said.out
    with bare_shop.client() as client:
        assert client.fields.list() == []
        assert client.webhooks.list() == []
    document = bare_shop.run("setup", "--dry-run", "--webhook-url", URL, "--json").json
    assert {step["result"] for step in document["steps"]} == {"would be created"}
    assert document["webhook_secret"] is None


def test_setting_up_makes_everything_and_shows_the_secret_once(bare_shop: Shop) -> None:
    first = bare_shop.run("setup", "--webhook-url", URL, "--json", DISPATCH_WEBHOOK_SECRET="")
    assert first.code == 0
    assert {step["result"] for step in first.json["steps"]} == {"created"}
    assert first.json["webhook_secret"].startswith("whsec_")
    with bare_shop.client() as client:
        keys = {status.key for status in client.statuses.list()}
        kinds = {(field.key, field.type) for field in client.fields.list()}
        assert set(status_keys()) <= keys
        assert kinds == set(FIELDS)
        assert [made.url for made in client.webhooks.list()] == [URL]


def test_the_second_time_nothing_is_made(bare_shop: Shop) -> None:
    bare_shop.run("setup", "--webhook-url", URL)
    second = bare_shop.run("setup", "--webhook-url", URL, "--json")
    assert second.code == 0
    assert {step["result"] for step in second.json["steps"]} == {"exists"}
    assert second.json["webhook_secret"] is None
    with bare_shop.client() as client:
        assert len(client.webhooks.list()) == 1


def test_the_secret_is_shown_as_a_line_to_copy(bare_shop: Shop) -> None:
    said = bare_shop.run("setup", "--webhook-url", URL, DISPATCH_WEBHOOK_SECRET="")
    (line,) = [line for line in said.out.splitlines() if line.startswith("export ")]
    assert line.startswith("export DISPATCH_WEBHOOK_SECRET=whsec_")
    assert "comma" not in said.out


def test_a_second_secret_is_to_be_set_beside_the_first(bare_shop: Shop) -> None:
    said = bare_shop.run("setup", "--webhook-url", URL)
    assert "write both, separated by a comma" in said.text


def test_a_webhook_whose_secret_nobody_knows_here_is_pointed_out(bare_shop: Shop) -> None:
    bare_shop.run("setup", "--webhook-url", URL)
    said = bare_shop.run("setup", "--webhook-url", URL, DISPATCH_WEBHOOK_SECRET="")
    assert said.code == 0
    assert "its secret was shown when it was created, and DISPATCH_WEBHOOK_SECRET is not set" in (
        said.text
    )


def test_the_statuses_are_named_as_the_settings_say(bare_shop: Shop) -> None:
    bare_shop.run("setup", DISPATCH_RETURNS_REFUNDED_STATUS="paid_back")
    with bare_shop.client() as client:
        keys = {status.key for status in client.statuses.list()}
    assert "paid_back" in keys
    assert "refunded" not in keys


@pytest.mark.parametrize("url", ["your-app.com/hook", "ftp://a/b", "http://", ""])
def test_a_url_that_is_not_whole_is_a_usage_error(bare_shop: Shop, url: str) -> None:
    said = bare_shop.run("setup", "--webhook-url", url)
    assert said.code == 2
    assert "write it in full" in said.text


def test_what_the_api_refuses_is_one_sentence(bare_shop: Shop) -> None:
    said = bare_shop.run("setup", "--webhook-url", "https://your-app.com/hook")
    assert said.code == 1
    assert said.err.startswith("Error: ")
    assert "400" in said.err


@pytest.mark.parametrize(
    ("url", "beside"),
    [
        ("https://shop.example/hooks/dispatch", "https://shop.example/hooks/stripe"),
        ("https://shop.example/hook", "https://.../webhooks/stripe"),
    ],
)
def test_it_says_what_to_set_up_at_the_processor(bare_shop: Shop, url: str, beside: str) -> None:
    said = bare_shop.run("setup", "--webhook-url", url, "--dry-run", STRIPE_WEBHOOK_SECRET="")
    wanted = f"At Stripe, add a webhook to {beside} for the events refund.created, refund.updated"
    assert wanted in said.text
    assert "set STRIPE_WEBHOOK_SECRET to its signing secret" in said.text
    done = bare_shop.run("setup", "--webhook-url", url, "--dry-run", "--json")
    assert done.json["at_processor"] == []


POLICY = """
version = "1"
assignee = "queue:Returns"
[[rules]]
name = "swiss customs"
countries = ["CH"]
outcome = "review"
assignee = "queue:Customs"
"""


def policy_of(shop: Shop, text: str = POLICY) -> str:
    path = shop.folder / "policy.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_the_queues_of_the_policy_are_made_once(bare_shop: Shop) -> None:
    policy = policy_of(bare_shop)
    with bare_shop.client() as client:
        client.categories.create(name="customs")
        planned = bare_shop.run("setup", "--dry-run", "--json", DISPATCH_RETURNS_POLICY=policy)
        found = {it["key"]: it["result"] for it in planned.json["steps"] if it["kind"] == "queue"}
        assert found == {"Customs": "exists", "Returns": "would be created"}
        assert [it.name for it in client.categories.list()] == ["customs"]
        first = bare_shop.run("setup", "--json", DISPATCH_RETURNS_POLICY=policy)
        second = bare_shop.run("setup", "--json", DISPATCH_RETURNS_POLICY=policy)
        assert [it.name for it in client.categories.list()] == ["customs", "Returns"]
    assert (first.code, second.code) == (0, 0)
    assert {it["result"] for it in second.json["steps"]} == {"exists"}


def test_with_a_policy_the_fields_of_an_order_are_made_where_tickets_carry_it(
    bare_shop: Shop,
) -> None:
    policy = policy_of(bare_shop)
    with bare_shop.client() as client:
        bare_shop.run("setup", DISPATCH_RETURNS_POLICY=policy, DISPATCH_RETURNS_ORDERS="stripe")
        assert {field.key for field in client.fields.list()} == {key for key, _ in FIELDS}
        said = bare_shop.run(
            "setup", DISPATCH_RETURNS_POLICY=policy, DISPATCH_RETURNS_ORDERS="stripe, ticket"
        )
        assert said.code == 0
        kinds = {(field.key, field.type) for field in client.fields.list()}
    assert kinds == {*FIELDS, *ORDER_FIELDS}


def test_a_policy_that_is_not_there_is_one_sentence_and_nothing_is_made(bare_shop: Shop) -> None:
    said = bare_shop.run("setup", DISPATCH_RETURNS_POLICY="nowhere.toml")
    assert said.code == 3
    assert "nowhere.toml: cannot be read (No such file or directory)" in said.text
    with bare_shop.client() as client:
        assert client.fields.list() == []


def test_the_secret_is_kept_in_a_file_that_only_its_owner_reads(
    bare_shop: Shop, tmp_path: Path
) -> None:
    file = tmp_path / "shop.env"
    said = bare_shop.run("setup", "--webhook-url", URL, "--write-env", str(file), "--json")
    assert file.read_text() == f"DISPATCH_WEBHOOK_SECRET={said.json['webhook_secret']}\n"
    assert file.stat().st_mode & 0o077 == 0
