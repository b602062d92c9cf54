"""Access: the token in constant time, the host and origin that count, cookies that are none."""

from __future__ import annotations

import pytest

from plugin.desk.access import Access


def test_tokens_are_long_and_never_the_same() -> None:
    one, two = Access(8000), Access(8000)
    assert one.token != two.token and len(one.token) >= 43
    assert one.knows(one.token) and not one.knows(two.token) and not one.knows("") and not one.knows("\udc80é")


def test_the_cookie_is_of_one_port() -> None:
    one, two = Access(8000, "secret"), Access(8001, "secret")
    cookie = {"cookie": one.set_cookie().partition(";")[0]}
    assert one.has_cookie(cookie) and not two.has_cookie(cookie)
    assert "HttpOnly" in one.set_cookie() and "SameSite=Strict" in one.set_cookie()


@pytest.mark.parametrize("cookie", ["", "=", ";;;", "paintover-desk-8000", 'paintover-desk-8000="', "a=b; c"])
def test_what_is_no_cookie_lets_nobody_in(cookie: str) -> None:
    assert not Access(8000, "secret").has_cookie({"cookie": cookie})


@pytest.mark.parametrize(
    ("host", "right"),
    [
        ("127.0.0.1:8000", True),
        ("localhost:8000", True),
        ("127.0.0.1:8001", False),
        ("localhost", False),
        ("rebound.example:8000", False),
        ("127.0.0.1:8000.example", False),
        ("", False),
    ],
)
def test_hosts(host: str, right: bool) -> None:
    access = Access(8000)
    assert access.has_host({"host": host}) is right
    assert access.has_origin({"origin": f"http://{host}"}, needed=True) is right


def test_an_origin_that_is_not_given() -> None:
    access = Access(8000)
    assert access.has_origin({}, needed=False) and not access.has_origin({}, needed=True)
    assert not access.has_origin({"origin": "null"}, needed=False)
    assert not access.has_origin({"origin": "https://127.0.0.1:8000"}, needed=False)
