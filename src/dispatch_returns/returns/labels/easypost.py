"""Labels from EasyPost, on its own SDK. Source: https://docs.easypost.com/docs/shipments"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from importlib import import_module
from typing import Any, TypeVar, cast

from dispatch_returns.errors import LabelError, MissingExtraError
from dispatch_returns.returns.labels.postage import (
    BoughtLabels,
    Draft,
    Postage,
    Rate,
    failed,
    price_of,
    since,
)
from dispatch_returns.returns.labels.provider import Address, LabelRequest

T = TypeVar("T")

_PAGE = 100
_GRAMS_PER_OUNCE = 28.349523125
_CENTIMETRES_PER_INCH = 2.54


class EasyPostLabels(BoughtLabels):
    """A `LabelProvider` that buys from EasyPost.

    A shipment has the key as its ``reference``, and EasyPost sells postage for a shipment only
    once; it has no idempotency keys. Addresses are verified strictly unless that is switched off.
    """

    name = "easypost"

    def _connect(self, api_key: str, base_url: str | None, timeout: float) -> None:
        try:
            sdk: Any = import_module("easypost")
        except ImportError:
            raise MissingExtraError(self.name, "labels of EasyPost") from None
        options: dict[str, Any] = {"timeout": timeout}
        if base_url is not None:
            options["api_base"] = base_url
        self._errors: Any = import_module("easypost.errors")
        self._client: Any = sdk.EasyPostClient(api_key, **options)
        # Not its own session, which repeats calls after a broken connection.
        self._client._requests_session.close()
        self._client._requests_session = self._http

    def void(self, label_id: str) -> bool:
        """Request a refund of the postage; the dashboard shows what the carrier decides later."""
        shipment = self._call(lambda: self._client.shipment.refund(label_id), buying=False)
        return shipment.get("refund_status") in {"submitted", "refunded"}

    def _drafts(self, request: LabelRequest) -> Sequence[Draft]:
        found: list[Draft] = []
        params: dict[str, Any] = {
            "page_size": _PAGE,
            "purchased": "false",  # which means: also those that were not purchased
            "start_datetime": f"{since(request):%Y-%m-%dT%H:%M:%SZ}",
        }
        while True:
            page = self._call(lambda: self._client.shipment.all(**params), buying=False)
            shipments = page["shipments"]
            found += [
                _read(_draft, shipment)
                for shipment in shipments
                if shipment.get("reference") == request.key
            ]
            if not page.get("has_more") or not shipments:
                return found
            params["before_id"] = shipments[-1]["id"]

    def _draft(self, request: LabelRequest) -> Draft:
        assert request.sender is not None
        length, width, height = self._size
        made = self._call(
            lambda: self._client.shipment.create(
                reference=request.key,
                is_return=False,  # from and to are already those of the package's way back
                from_address=self._address(request.sender),
                to_address=self._address(request.recipient),
                parcel={
                    "weight": round(self._weight_of(request) / _GRAMS_PER_OUNCE, 1) or 0.1,
                    "length": round(length / _CENTIMETRES_PER_INCH, 1),
                    "width": round(width / _CENTIMETRES_PER_INCH, 1),
                    "height": round(height / _CENTIMETRES_PER_INCH, 1),
                },
                options={
                    "label_format": "PDF",
                    "print_custom_1": request.return_number,
                },
            ),
            buying=False,
        )
        return _read(_draft, made)

    def _purchase(self, draft: Draft, rate: Rate, request: LabelRequest) -> Postage:  # noqa: ARG002 - the draft has the key
        bought = self._call(
            lambda: self._client.shipment.buy(draft.id, rate={"id": rate.id}), buying=True
        )
        postage = _read(_draft, bought, bought=True).postage
        if postage is None:
            raise LabelError("easypost sold no label", retryable=True, unknown=True)
        return postage

    def _address(self, address: Address | None) -> dict[str, Any]:
        assert address is not None
        fields: dict[str, Any] = {
            "name": address.name,
            "street1": address.street,
            "street2": address.street2,
            "city": address.city,
            "state": address.state,
            "zip": address.postal_code,
            "country": address.country,
            "phone": address.phone,
            "email": address.email,
        }
        if self._check_addresses:
            fields["verify_strict"] = ["delivery"]
        return {name: value for name, value in fields.items() if value is not None}

    def _call(self, call: Callable[[], Any], *, buying: bool) -> dict[str, Any]:
        try:
            answer = call()
        except self._errors.ApiError as error:
            code = getattr(error, "code", None)
            if buying and code == "SHIPMENT.POSTAGE.EXISTS":
                raise LabelError(
                    "easypost has sold the label already", retryable=True, unknown=True
                ) from None
            raise failed(self.name, error.http_status, code, buying=buying) from None
        except self._errors.EasyPostError:
            # The answer is not JSON, so it was no refusal: the outcome is unknown.
            raise failed(self.name, None, None, buying=buying) from None
        # A list is a dict, a shipment is the SDK's own object.
        return cast("dict[str, Any]", getattr(answer, "to_dict", lambda: answer)())


def _read(reader: Callable[[Mapping[str, Any]], T], answer: Any, *, bought: bool = False) -> T:
    try:
        return reader(answer)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise LabelError(
            f"easypost's answer can't be read ({type(error).__name__})",
            retryable=bought,
            unknown=bought,
        ) from None


def _draft(shipment: Mapping[str, Any]) -> Draft:
    postage = None
    if label := shipment.get("postage_label"):
        rate = shipment["selected_rate"]
        tracker: Mapping[str, Any] = shipment.get("tracker") or {}
        postage = Postage(
            id=str(shipment["id"]),
            pdf_url=str(label.get("label_pdf_url") or label["label_url"]),
            bought_at=datetime.fromisoformat(label["created_at"]),
            price=_rate(rate).price,
            carrier=str(rate["carrier"]),
            tracking_number=shipment.get("tracking_code"),
            tracking_url=tracker.get("public_url"),
            voided=shipment.get("refund_status") in {"submitted", "refunded"},
        )
    rates = [_rate(rate) for rate in shipment.get("rates") or ()]
    return Draft(id=str(shipment["id"]), rates=rates, postage=postage)


def _rate(rate: Mapping[str, Any]) -> Rate:
    price = price_of(rate["rate"], rate["currency"])
    return Rate(str(rate["id"]), f"{rate['carrier']}/{rate['service']}", price)
