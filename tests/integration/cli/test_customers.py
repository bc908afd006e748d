"""`customers export` and `customers erase`."""

from __future__ import annotations

import json
import stat

from tests.integration.cli.test_refunds import written
from tests.support.cli import Shop

ADDRESS = "jane@example.com"


def test_a_customer_is_exported_into_a_file_of_ones_own_and_erased(shop: Shop) -> None:
    written(shop, "tkt_1", instructions_email="Jane@example.com")
    file = shop.folder / "jane.json"
    said = shop.offline("customers", "export", ADDRESS, "--out", str(file), "--json")
    assert (said.code, said.json["refunds"]) == (0, 1)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert json.loads(file.read_text())["address"] == ADDRESS
    done = shop.offline("customers", "erase", ADDRESS, "--who", "ann", "--json")
    assert (done.code, done.json["removed"]["refunds"], done.json["kept"]) == (0, 1, [])
    assert "erase customer" in shop.offline("audit-log").text


def test_what_is_no_address_is_wrong_usage(shop: Shop) -> None:
    assert shop.offline("customers", "erase", "jane").code == 2
