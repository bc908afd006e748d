"""A merchant whose labels and notifications are lines in files, which outlive a killed worker."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from dispatch_returns.returns.labels.provider import Label, LabelRequest
from dispatch_returns.returns.notifications.notification import Notification
from dispatch_returns.returns.steps.workflow import Workflow
from tests.support.returns import WAREHOUSE, Orders, Rules, order


def parts(folder: Path) -> Workflow:
    """The merchant's parts. Every process that names `folder` has the same ones."""
    return Workflow(
        book=Rules(),
        orders=Orders({"1234": order()}),
        labels=LabelsInAFile(folder / "labels"),
        recipient=WAREHOUSE,
        notifier=NotifierInAFile(folder / "notifications"),
    )


def lines(path: Path) -> list[str]:
    """What was bought, or told."""
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


@dataclass
class LabelsInAFile:
    """Sells a second label for the same key to whoever asks for one: nothing helps but to look."""

    path: Path
    name: str = "file"

    def buy(self, request: LabelRequest) -> Label:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(f"{request.key}\n")
        return self._label(request)

    def find(self, request: LabelRequest) -> Label | None:
        return self._label(request) if request.key in lines(self.path) else None

    def void(self, label_id: str) -> bool:
        return True

    def _label(self, request: LabelRequest) -> Label:
        return Label("file", f"label-{request.key}", b"%PDF-1.4 a label", tracking_number="T1")

    def close(self) -> None:
        pass


@dataclass
class NotifierInAFile:
    """Tells by writing a line; looks first where it is said to have told already, perhaps."""

    path: Path
    name: str = "file"
    told: list[Notification] = field(default_factory=list[Notification])

    def send(self, notification: Notification, *, again: bool = False) -> None:
        line = f"{notification.kind} {notification.key}"
        if again and line in lines(self.path):
            return
        with self.path.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")

    def close(self) -> None:
        pass
