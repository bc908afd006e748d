"""A Django shop with the receiver mounted; threads or Celery do the work.

    dispatch-returns sandbox --write-env shop.env       # in another terminal
    dispatch-returns setup --env-file shop.env --write-env shop.env \\
        --webhook-url http://127.0.0.1:8000/webhooks/dispatch
    set -a; . ./shop.env; set +a                        # in each terminal
    python django_shop/manage.py runserver

Then, in another terminal: python make_return.py 149.00

That is with threads. To have Celery do the work, export the broker's URL before both of these,
in two terminals:

    export CELERY_BROKER_URL=redis://127.0.0.1:6379/0    # or amqp://guest:guest@127.0.0.1//
    python manage.py runserver
    celery -A shop worker --beat

`returns/connector.py` makes the connector and adds a handler of the shop's own, `returns/apps.py`
says who does the work, `shop/urls.py` mounts the receivers. docs/running.md says when to take
which.
"""

from __future__ import annotations

import os
import sys

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
    execute_from_command_line(sys.argv)
