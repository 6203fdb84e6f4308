import json

import pytest

from chainrule.cli import main
from chainrule.run.llvm import cache


@pytest.fixture
def folder(monkeypatch, tmp_path):
    monkeypatch.setenv("CHAINRULE_CACHE", str(tmp_path / "kernels"))
    cache.default_cache.cache_clear()
    kept = cache.default_cache()
    kept.put("object", cache.key_of("a"), bytes(1_500_000))
    kept.put("object", cache.key_of("b"), b"code")
    kept.put("plan", cache.key_of("a"), b"{}")
    yield tmp_path / "kernels"
    cache.default_cache.cache_clear()


def test_what_is_kept_and_where(folder, capsys):
    assert main(["cache"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "2 compiled kernels, 1 plan, 1.5 MB",
        f"{folder}, at most 512 MB",
    ]
    assert main(["cache", "path"]) == 0
    assert capsys.readouterr().out == f"{folder}\n"
    assert main(["cache", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["entries"] == {"object": 2, "plan": 1} and facts["limit"] == 512_000_000
    assert facts["folder"] == str(folder) and facts["bytes"] > 1_500_000 and not facts["cleared"]


def test_clear(folder, capsys):
    assert main(["cache", "clear"]) == 0
    assert capsys.readouterr().out.startswith("removed 2 compiled kernels, 1 plan, 1.5 MB\n")
    assert main(["cache", "info"]) == 0
    assert capsys.readouterr().out.startswith("nothing, 0.0 MB\n")


def test_without_a_folder(monkeypatch, capsys):
    monkeypatch.setattr("chainrule.cli.cache.default_cache", lambda: cache.Cache(None, 10**6))
    assert main(["cache", "clear"]) == 0
    assert capsys.readouterr().out == "removed nothing, 0.0 MB\nno folder, at most 1 MB\n"


def test_wrong_use(capsys):
    assert main(["cache", "claer"]) == 2
    assert "needs info, path or clear. Did you mean clear?" in capsys.readouterr().err
