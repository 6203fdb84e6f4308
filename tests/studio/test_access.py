import pytest
from starlette.websockets import WebSocketDisconnect

from chainrule.studio import access

PORT, TOKEN = 8765, "a-token"
OURS = f"http://127.0.0.1:{PORT}"
LIVE = f"ws://127.0.0.1:{PORT}/api/live"


def test_the_link_becomes_a_cookie_and_leaves_the_url(stranger):
    answer = stranger.get(f"/?token={TOKEN}&run=a%26b", follow_redirects=False)
    assert answer.status_code == 303
    assert answer.headers["location"] == f"{OURS}/?run=a%26b"
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(f"chainrule-{PORT}={TOKEN};")
    assert "HttpOnly" in cookie and "SameSite=lax" in cookie
    assert answer.headers["cache-control"] == "no-store"
    assert stranger.get("/").status_code == 200


@pytest.mark.parametrize("path", ["/", "/api/runs", "/hashed/index-1234.js", "/nowhere"])
def test_without_a_token_there_is_one_sentence(stranger, path):
    answer = stranger.get(path)
    assert (answer.status_code, answer.text) == (403, access.NO_TOKEN + "\n")
    assert "nosniff" in answer.headers["x-content-type-options"]


@pytest.mark.parametrize("token", ["", "A-TOKEN", "ä", "a-token&token=other"])
def test_a_wrong_token_is_refused_even_with_the_cookie(client, token):
    answer = client.get(f"/?token={token}")
    assert (answer.status_code, answer.text) == (403, access.WRONG_TOKEN + "\n")


def test_the_cookie_of_another_studio_is_no_key(stranger):
    stranger.cookies.set(f"chainrule-{PORT}", "another")
    assert stranger.get("/").status_code == 403


@pytest.mark.parametrize("path", ["//evil.example/", "/\\evil.example", "/%0d%0aX-Evil: 1"])
def test_the_redirect_leads_nowhere_else(stranger, path):
    answer = stranger.get(f"{OURS}{path}?token={TOKEN}", follow_redirects=False)
    assert answer.headers["location"].startswith(f"{OURS}/")
    assert "x-evil" not in answer.headers


@pytest.mark.parametrize("host", ["evil.example", f"evil.example:{PORT}", "127.0.0.1", "", "[::1]"])
def test_another_name_that_leads_here_is_refused(client, host):
    answer = client.get("/api/runs", headers={"host": host})
    assert (answer.status_code, answer.text) == (403, access.FOREIGN_HOST + "\n")


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", f"https://127.0.0.1:{PORT}", "http://127.0.0.1:1"]
)
def test_a_foreign_page_is_refused(client, origin):
    for method in ("GET", "POST"):
        answer = client.request(method, "/api/train", headers={"origin": origin}, json={})
        assert (answer.status_code, answer.text) == (403, access.FOREIGN_ORIGIN + "\n")
    with pytest.raises(WebSocketDisconnect) as closed:
        client.websocket_connect(LIVE, headers={"origin": origin}).__enter__()
    assert closed.value.reason == access.FOREIGN_ORIGIN


def test_our_own_page_is_answered(client):
    assert client.get("/api/runs", headers={"origin": OURS}).status_code == 200


def test_a_stranger_hears_nothing_live(stranger):
    with pytest.raises(WebSocketDisconnect) as closed:
        stranger.websocket_connect(LIVE).__enter__()
    assert closed.value.reason == access.NO_TOKEN


@pytest.mark.parametrize("path", ["/", "/api/runs", "/api/runs/none", "/hashed/none.js"])
def test_each_answer_has_the_policy(client, path):
    headers = client.get(path).headers
    for name, value in access.HEADERS.items():
        assert headers[name] == value
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy and "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert headers["referrer-policy"] == "no-referrer"
