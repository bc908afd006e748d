"""Labels from Shippo, on its own SDK. Source: https://docs.goshippo.com/api-reference"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from importlib import import_module
from typing import Any

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

_PAGE = 100
_LONGEST_METADATA = 100
_BOUGHT = {"SUCCESS", "REFUNDREJECTED"}
_VOIDED = {"REFUNDED", "REFUNDPENDING"}
_PENDING = {"WAITING", "QUEUED"}


class ShippoLabels(BoughtLabels):
    """A `LabelProvider` that buys from Shippo.

    A shipment has the key as its ``metadata``, and the labels bought for it are looked up by its
    rates. Shippo has no idempotency keys for labels. Addresses are validated unless that is
    switched off.
    """

    name = "shippo"

    def _connect(self, api_key: str, base_url: str | None, timeout: float) -> None:  # noqa: ARG002 - the session has it
        try:
            sdk: Any = import_module("shippo")
        except ImportError:
            raise MissingExtraError(self.name, "labels of Shippo") from None
        self._models: Any = import_module("shippo.models.components")
        self._operations: Any = import_module("shippo.models.operations")
        self._error: Any = import_module("shippo.models.errors").SDKError
        self._client: Any = sdk.Shippo(
            api_key_header=f"ShippoToken {api_key}",
            shippo_api_version="2018-02-08",
            server_url=base_url,
            client=self._http,
        )

    def void(self, label_id: str) -> bool:
        """Request a refund of the postage; the dashboard shows what the carrier decides later."""
        bought = self._call(lambda: self._client.transactions.get(label_id))
        if _word(bought.status) in _VOIDED:
            return True
        refund = self._call(lambda: self._client.refunds.create(label_id, async_=False))
        return _word(refund.status) != "ERROR"

    def _drafts(self, request: LabelRequest) -> Sequence[Draft]:
        found: list[Draft] = []
        page = 1
        while True:
            query = self._operations.ListShipmentsRequest(
                page=page,
                results=_PAGE,
                object_created_gt=f"{since(request):%Y-%m-%dT%H:%M:%SZ}",
            )
            answer = self._call(partial(self._client.shipments.list, query))
            found += [
                self._with_postage(shipment)
                for shipment in answer.results or ()
                if shipment.metadata == request.key
            ]
            if not answer.next:
                return found
            page += 1

    def _with_postage(self, shipment: Any) -> Draft:
        for rate in shipment.rates:
            query = self._operations.ListTransactionsRequest(rate=rate.object_id, results=_PAGE)
            answer = self._call(partial(self._client.transactions.list, query))
            for bought in answer.results or ():
                state = _word(bought.status)
                if state in _BOUGHT | _VOIDED:
                    return Draft(shipment.object_id, (), _postage(bought, _rate(rate)))
                if state in _PENDING:
                    return Draft(shipment.object_id, (), pending=True)
        return _draft(shipment)

    def _draft(self, request: LabelRequest) -> Draft:
        if len(request.key) > _LONGEST_METADATA:
            raise LabelError(f"the label's key is longer than {_LONGEST_METADATA} characters")
        length, width, height = self._size
        parcel = self._models.ParcelCreateRequest(
            mass_unit=self._models.WeightUnitEnum.G,
            weight=str(self._weight_of(request)),
            distance_unit=self._models.DistanceUnitEnum.CM,
            length=f"{length:g}",
            width=f"{width:g}",
            height=f"{height:g}",
        )
        made = self._call(
            lambda: self._client.shipments.create(
                self._models.ShipmentCreateRequest(
                    address_from=self._address(request.sender),
                    address_to=self._address(request.recipient),
                    parcels=[parcel],
                    metadata=request.key,
                    async_=False,
                )
            )
        )
        if self._check_addresses:
            for whose, address in (("customer's", made.address_from), ("return", made.address_to)):
                result = address.validation_results
                if result is not None and result.is_valid is False:
                    raise LabelError(
                        f"shippo says that the {whose} address is not valid: correct it"
                    )
        return _draft(made)

    def _purchase(self, draft: Draft, rate: Rate, request: LabelRequest) -> Postage:
        purchase = self._models.TransactionCreateRequest(
            rate=rate.id, async_=False, label_file_type="PDF", metadata=request.key
        )
        bought = self._call(lambda: self._client.transactions.create(purchase), buying=True)
        state = _word(bought.status)
        if state == "ERROR":
            codes = ", ".join(sorted({str(it.code) for it in bought.messages or () if it.code}))
            raise LabelError(f"shippo refused shipment {draft.id}{f' ({codes})' if codes else ''}")
        if state not in _BOUGHT:
            raise LabelError("the purchase is under way", retryable=True, unknown=True)
        return _postage(bought, rate)

    def _address(self, address: Address | None) -> Any:
        assert address is not None
        return self._models.AddressCreateRequest(
            name=address.name,
            street1=address.street,
            street2=address.street2,
            city=address.city,
            state=address.state,
            zip=address.postal_code,
            country=address.country,
            phone=address.phone,
            email=address.email,
            validate=self._check_addresses,
        )

    def _call(self, call: Callable[[], Any], *, buying: bool = False) -> Any:
        try:
            answer = call()
        except self._error as error:
            raise failed(self.name, error.status_code, None, buying=buying) from None
        except Exception:  # noqa: BLE001 - a broken connection, or an answer the SDK can't read
            raise failed(self.name, None, None, buying=buying) from None
        if answer is None:
            raise failed(self.name, None, None, buying=buying)
        return answer


def _word(status: Any) -> str:
    """Return a status as text: the SDK has an enum, or nothing."""
    return str(getattr(status, "value", status))


def _draft(shipment: Any) -> Draft:
    return Draft(str(shipment.object_id), [_rate(rate) for rate in shipment.rates])


def _rate(rate: Any) -> Rate:
    price = price_of(rate.amount, rate.currency)
    service = f"{rate.provider}/{rate.servicelevel.token}"
    return Rate(str(rate.object_id), service, price)


def _postage(bought: Any, rate: Rate) -> Postage:
    made: datetime = bought.object_created or datetime.now(UTC)
    return Postage(
        id=str(bought.object_id),
        pdf_url=str(bought.label_url),
        bought_at=made,
        price=rate.price,
        carrier=rate.service.partition("/")[0],
        tracking_number=bought.tracking_number,
        tracking_url=bought.tracking_url_provider,
        voided=_word(bought.status) in _VOIDED,
    )
