import pytest

from chainrule.errors import UsageError
from chainrule.studio.pages import PAGES, check_built


def test_what_has_a_hash_is_kept_and_the_page_is_asked_for_again(client):
    for path in PAGES:
        page = client.get(path)
        assert "<title>studio</title>" in page.text
        assert page.headers["cache-control"] == "no-store"
    script = client.get("/hashed/index-1234.js")
    assert "immutable" in script.headers["cache-control"]
    assert script.headers["content-type"].startswith("text/javascript")


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.txt",
        "/hashed/../../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/hashed/..%2f..%2fsecret.txt",
        "/%252e%252e/secret.txt",
        "/..\\secret.txt",
        "//secret.txt",
        "/hashed",
        "/secret.txt%00",
    ],
)
def test_no_path_leads_out_of_the_folder(get, path):
    status, text = get(path)
    assert (status, text) == (404, "Not Found: the studio begins at /.\n")


def test_a_path_in_the_folder_is_answered(get):
    assert get("/hashed/index-1234.js") == (200, "export {};")


def test_no_link_is_followed_out_of_the_folder(client, assets, tmp_path):
    (assets / "link.txt").symlink_to(tmp_path / "secret.txt")
    (assets / "folder").symlink_to(tmp_path)
    assert client.get("/link.txt").status_code == 404
    assert client.get("/folder/secret.txt").status_code == 404


def test_missing_pages_are_told_with_the_way_to_get_them(tmp_path, assets):
    check_built(assets)
    with pytest.raises(UsageError, match=r"no built pages in .*make studio builds them"):
        check_built(tmp_path)
