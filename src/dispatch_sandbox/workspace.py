"""One workspace's objects, and the orders in which they are listed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from dispatch_sandbox.index import Listing
from dispatch_sandbox.wire import Record

PRIORITIES = ("low", "normal", "medium", "high", "urgent")


class Workspace:
    """Plain dictionaries by id, in order of creation. To change one, hold the lock."""

    def __init__(self, info: Record) -> None:
        self.info = info
        self.id: str = info["id"]
        self.tickets: dict[str, Record] = {}
        self.ticket_list = Listing(_TICKET_ORDERS)
        self.comments: dict[str, dict[str, Record]] = {}
        self.customers: dict[str, Record] = {}
        self.customers_by_email: dict[str, Record] = {}
        self.customer_list = Listing(_CUSTOMER_ORDERS)
        self.webhooks: dict[str, Record] = {}
        self.statuses: dict[str, Record] = {}
        self.statuses_by_key: dict[str, Record] = {}
        self.fields: dict[tuple[str, str], Record] = {}
        self.attachments: dict[str, Record] = {}
        self.categories: dict[str, Record] = {}
        self.tags: dict[str, Record] = {}

    def add(self, kind: str, record: Record) -> None:
        """Add an object that is new here, or that the file gave back."""
        _ADDERS[kind](self, record)

    def add_ticket(self, ticket: Record) -> None:
        """Add a ticket; a deleted one is kept, and stands in no list."""
        self.tickets[ticket["id"]] = ticket
        self.comments.setdefault(ticket["id"], {})
        if ticket["deletedAt"] is None:
            self.ticket_list.add(ticket)

    def add_comment(self, comment: Record) -> None:
        """Add a comment to its ticket."""
        self.comments.setdefault(comment["ticketId"], {})[comment["id"]] = comment

    def add_customer(self, customer: Record) -> None:
        """Add a customer; the caller has made sure that the address is new."""
        self.customers[customer["id"]] = customer
        self.customers_by_email[customer["email"].lower()] = customer
        self.customer_list.add(customer)

    def add_webhook(self, webhook: Record) -> None:
        """Add a webhook; its secret is in it."""
        self.webhooks[webhook["id"]] = webhook

    def add_status(self, status: Record) -> None:
        """Add a status; the key of a deleted one is free again."""
        self.statuses[status["id"]] = status
        if status["isActive"]:
            self.statuses_by_key[status["key"]] = status

    def add_field(self, field: Record) -> None:
        """Add the definition of a custom field."""
        self.fields[field["entity"], field["key"]] = field

    def add_attachment(self, attachment: Record) -> None:
        """Add an attachment; the keys of its addresses are in it."""
        self.attachments[attachment["id"]] = attachment

    def add_category(self, category: Record) -> None:
        """Add a category."""
        self.categories[category["id"]] = category

    def add_tag(self, tag: Record) -> None:
        """Add a tag."""
        self.tags[tag["id"]] = tag

    def count(self, name: str, value: str) -> int:
        """Count the tickets that are there and have this value."""
        tickets = self.tickets.values()
        return sum(it[name] == value and it["deletedAt"] is None for it in tickets)

    def records(self) -> Iterator[tuple[str, Record]]:
        """Yield kind and object of everything in it."""
        kinds: dict[str, Iterable[Record]] = {
            "ticket": self.tickets.values(),
            "comment": (it for of_ticket in self.comments.values() for it in of_ticket.values()),
            "customer": self.customers.values(),
            "webhook": self.webhooks.values(),
            "status": self.statuses.values(),
            "field": self.fields.values(),
            "attachment": self.attachments.values(),
            "category": self.categories.values(),
            "tag": self.tags.values(),
        }
        return ((kind, record) for kind, records in kinds.items() for record in records)

    def customer(self, email: str) -> Record | None:
        """Find a customer; upper and lower case do not matter."""
        return self.customers_by_email.get(email.lower())

    def counts(self) -> dict[str, int]:
        """Count the objects; deleted tickets are not among them."""
        return {
            "tickets": len(self.ticket_list),
            "comments": sum(map(len, self.comments.values())),
            "customers": len(self.customers),
            "webhooks": len(self.webhooks),
            "statuses": len(self.statuses_by_key),
            "fields": len(self.fields),
            "attachments": len(self.attachments),
            "categories": len(self.categories),
            "tags": len(self.tags),
        }


def _rank(ticket: Record) -> str:
    priority = ticket["priority"]
    return "0" if priority is None else str(PRIORITIES.index(priority) + 1)


_TICKET_ORDERS: Mapping[str, Callable[[Record], str]] = {
    "createdAt": lambda ticket: ticket["createdAt"],
    "updatedAt": lambda ticket: ticket["updatedAt"],
    "priority": _rank,
}
_CUSTOMER_ORDERS: Mapping[str, Callable[[Record], str]] = {
    "createdAt": lambda customer: customer["createdAt"],
    "name": lambda customer: (customer["name"] or "").lower(),
    "email": lambda customer: customer["email"].lower(),
}

_ADDERS: Mapping[str, Callable[[Workspace, Record], None]] = {
    "ticket": Workspace.add_ticket,
    "comment": Workspace.add_comment,
    "customer": Workspace.add_customer,
    "webhook": Workspace.add_webhook,
    "status": Workspace.add_status,
    "field": Workspace.add_field,
    "attachment": Workspace.add_attachment,
    "category": Workspace.add_category,
    "tag": Workspace.add_tag,
}
