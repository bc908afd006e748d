"""Pay back one ticket now, without a webhook: for a cron job, or by hand.

    dispatch-returns sandbox --write-env shop.env       # in another terminal
    dispatch-returns setup --env-file shop.env
    set -a; . ./shop.env; set +a                        # in each terminal
    python refund_script.py $(python make_return.py 149.00)

Run it twice: the second time it finds the refund and pays nothing.
"""

from __future__ import annotations

import sys

from dispatch_returns import Connector
from dispatch_returns.errors import DispatchReturnsError


def main(ticket_id: str) -> int:
    try:
        with Connector.from_env() as connector:
            refund = connector.refund(ticket_id)
    except DispatchReturnsError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{refund.amount}: {refund.state} ({refund.detail or refund.processor_id})")
    return 0 if refund.state == "succeeded" else 1


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1]))
