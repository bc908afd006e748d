"""A local stand-in for EasyPost and Shippo, for the calls we make and no more.

Its answers are written from the sellers' public documentation (docs.easypost.com/docs/shipments,
docs.goshippo.com/api-reference and the models of Shippo's SDK), not recorded from their servers.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

KEY = "test_key_s3cret"
PDF = b"%PDF-1.4 a label"
Answer = tuple[int, Any]


class PostageServer(ThreadingHTTPServer):
    """Keeps shipments and labels. ``faults``: what the next call to a path's end is answered."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.shipments: dict[str, dict[str, Any]] = {}
        self.sales: list[str] = []
        self.faults: dict[str, int | str] = {}
        self.calls: list[str] = []
        self.bodies: list[dict[str, Any]] = []
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def new_id(self, prefix: str) -> str:
        """Return a number nobody had."""
        return f"{prefix}{len(self.shipments) + len(self.sales) + len(self.calls)}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: PostageServer

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self._serve({})

    def do_POST(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        self._serve(json.loads(self.rfile.read(length) or b"{}"))

    def _serve(self, body: dict[str, Any]) -> None:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        call = f"{self.command} {parts.path.rstrip('/')}"
        with self.server.lock:
            self.server.calls.append(call)
            self.server.bodies.append(body)
            fault = next(
                (
                    self.server.faults.pop(it)
                    for it in list(self.server.faults)
                    if call.endswith(it)
                ),
                None,
            )
            if isinstance(fault, int):
                self._send(fault, {"error": {"code": "A.CODE", "message": "jane@example.com"}})
                return
            status, answer = self._answer(call, query, body)
        if fault == "lose":
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
        elif fault == "garbage":
            self._send(200, b"<html>")
        else:
            self._send(status, answer)

    def _answer(self, call: str, query: dict[str, str], body: dict[str, Any]) -> Answer:
        if "/labels/" in call:
            return 200, PDF
        if KEY not in self.headers.get("authorization", ""):
            return 401, {"error": {"code": "UNAUTHORIZED", "message": KEY}, "detail": KEY}
        return (_easypost if "/v2/" in call else _shippo)(self.server, call, query, body)

    def _send(self, status: int, answer: Any) -> None:
        content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response_only(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def _now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _easypost(
    server: PostageServer, call: str, query: dict[str, str], body: dict[str, Any]
) -> Answer:
    if call == "GET /v2/shipments":
        every = [
            it
            for it in reversed(server.shipments.values())
            if it["created_at"] > query["start_datetime"]
            and (query["purchased"] == "false" or it["postage_label"])
        ]
        if "before_id" in query:
            ids = [it["id"] for it in every]
            every = every[ids.index(query["before_id"]) + 1 :]
        return 200, {"shipments": every[:2], "has_more": len(every) > 2}
    if call == "POST /v2/shipments":
        return 201, _easypost_shipment(server, body["shipment"])
    _, _, _, shipment_id, act = call.split("/")
    shipment = server.shipments.get(shipment_id)
    if shipment is None:
        return 404, {"error": {"code": "NOT_FOUND", "message": "not there"}}
    if act == "refund":
        shipment["refund_status"] = "submitted"
        return 200, shipment
    if shipment["postage_label"]:
        return 422, {"error": {"code": "SHIPMENT.POSTAGE.EXISTS", "message": "exists"}}
    server.sales.append(shipment_id)
    chosen = next(it for it in shipment["rates"] if it["id"] == body["rate"]["id"])
    shipment |= {
        "selected_rate": chosen,
        "tracking_code": "9400100000000000000000",
        "tracker": {"id": "trk_1", "public_url": "https://track.example.com/1"},
        "postage_label": {
            "id": "pl_1",
            "created_at": _now(),
            "label_url": f"{server.url}/labels/{shipment_id}.pdf",
            "label_file_type": "application/pdf",
        },
    }
    return 200, shipment


def _easypost_shipment(server: PostageServer, given: dict[str, Any]) -> dict[str, Any]:
    shipment_id = server.new_id("shp_")
    rates = [
        ("USPS", "Priority", "9.25"),
        ("USPS", "GroundAdvantage", "7.58"),
        ("UPS", "Ground", "12.10"),
    ]
    server.shipments[shipment_id] = {
        "id": shipment_id,
        "object": "Shipment",
        "created_at": _now(),
        "mode": "test",
        "reference": given["reference"],
        "postage_label": None,
        "selected_rate": None,
        "refund_status": None,
        "tracker": None,
        "tracking_code": None,
        "rates": [
            {
                "id": f"rate_{shipment_id}_{i}",
                "object": "Rate",
                "carrier": carrier,
                "service": service,
                "rate": price,
                "currency": "USD",
            }
            for i, (carrier, service, price) in enumerate(rates)
        ],
    }
    return server.shipments[shipment_id]


def _shippo(
    server: PostageServer, call: str, query: dict[str, str], body: dict[str, Any]
) -> Answer:
    transactions = [it["transaction"] for it in server.shipments.values() if it["transaction"]]
    if call == "GET /shipments":
        every = [
            it["shipment"]
            for it in reversed(server.shipments.values())
            if it["shipment"]["object_created"] > query["object_created_gt"]
        ]
        page = int(query["page"])
        more = len(every) > page * 2
        return 200, {
            "next": "more" if more else None,
            "previous": None,
            "results": every[page * 2 - 2 : page * 2],
        }
    if call == "POST /shipments":
        return 201, _shippo_shipment(server, body)
    if call == "GET /transactions":
        return 200, {
            "next": None,
            "previous": None,
            "results": [it for it in transactions if it["rate"] == query["rate"]],
        }
    if call == "POST /transactions":
        return 201, _shippo_sale(server, body)
    wanted = body.get("transaction") or call.rpartition("/")[2]
    found = next((it for it in transactions if it["object_id"] == wanted), None)
    if found is None:
        return 404, {"detail": "Not found"}
    if call == "POST /refunds":
        found["status"] = "REFUNDPENDING"
        return 201, {"object_id": "rf_1", "status": "PENDING", "transaction": wanted, "test": True}
    return 200, found


def _shippo_sale(server: PostageServer, body: dict[str, Any]) -> dict[str, Any]:
    entry = server.shipments[body["rate"].split("_")[1]]
    server.sales.append(body["rate"])
    entry["transaction"] = {
        "object_id": f"tx-{entry['shipment']['object_id']}",
        "object_created": _now(),
        "created_by": None,
        "object_state": "VALID",
        "status": entry["ends"],
        "rate": body["rate"],
        "metadata": body["metadata"],
        "label_file_type": "PDF",
        "label_url": f"{server.url}/labels/{body['rate']}.pdf",
        "messages": [{"source": "USPS", "code": "carrier_says_no", "text": "jane@example.com"}],
        "tracking_number": "9400100000000000000000",
        "tracking_url_provider": "https://track.example.com/1",
        "test": True,
    }
    return dict(entry["transaction"])


def _shippo_shipment(server: PostageServer, given: dict[str, Any]) -> dict[str, Any]:
    shipment_id = server.new_id("shp")
    rates = [
        ("USPS", "usps_priority", "9.25"),
        ("USPS", "usps_ground_advantage", "7.58"),
        ("UPS", "ups_ground", "12.10"),
    ]
    street = given["address_from"]["street1"]  # a word in it says how it goes on
    valid = "INVALID" not in street
    address = {
        "object_id": "adr",
        "country": "US",
        "is_complete": True,
        "validation_results": {"is_valid": valid, "messages": []},
    }
    made = {
        "object_id": shipment_id,
        "object_created": _now(),
        "object_updated": _now(),
        "object_owner": "shippotle@shippo.com",
        "status": "SUCCESS",
        "metadata": given["metadata"],
        "address_from": address,
        "address_to": {**address, "validation_results": {"is_valid": True, "messages": []}},
        "carrier_accounts": [],
        "messages": [],
        "parcels": [],
        "test": True,
        "rates": [
            {
                "object_id": f"rate_{shipment_id}_{i}",
                "object_created": _now(),
                "object_owner": "shippotle@shippo.com",
                "shipment": shipment_id,
                "attributes": [],
                "amount": price,
                "currency": "USD",
                "amount_local": price,
                "currency_local": "USD",
                "provider": provider,
                "servicelevel": {"name": token, "token": token},
                "carrier_account": "acc_1",
                "messages": [],
                "test": True,
            }
            for i, (provider, token, price) in enumerate(rates)
        ],
    }
    server.shipments[shipment_id] = {
        "shipment": made,
        "transaction": None,
        "ends": next((it for it in ("ERROR", "QUEUED") if it in street), "SUCCESS"),
    }
    return made


@contextlib.contextmanager
def postage_server() -> Iterator[PostageServer]:
    """Run the stand-in."""
    with PostageServer() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join(10)
