from __future__ import annotations

from pathlib import Path

from tests.support.cli import run

EXAMPLES = Path(__file__).parents[3] / "examples"


def test_the_examples_are_copied_and_what_exists_is_kept(tmp_path: Path) -> None:
    (tmp_path / "fastapi_app.py").write_text("mine")
    said = run("examples", "copy", str(tmp_path), "--json")
    results = {Path(it["file"]).name: it["result"] for it in said.json["files"]}
    assert (results["fastapi_app.py"], results["flask_app.py"]) == ("kept", "copied")
    assert (tmp_path / "fastapi_app.py").read_text() == "mine"
    for name in ("make_return.py", "policy.toml", "django_shop/shop/urls.py"):
        assert (tmp_path / name).read_bytes() == (EXAMPLES / name).read_bytes()
    assert not (tmp_path / "__init__.py").exists()
