"""Inputs that taught something, each with the answer it gets now."""

import pytest
from fuzz.door import answer_to

CASES = {
    "a good token": (b'\x04jti="1"', 200),
    "nothing": (b"", 401),
    "an empty token": (b"\x01", 400),
    "a token of dots": (b"\x01" + b"." * 10_000, 401),
    "a payload of brackets": (b"\x02" + b"[" * 10_000, 401),
    "a payload of quotes": (b"\x02" + b'{"' + b'"' * 10_000, 401),
    "a payload of escaped quotes without an end": (b"\x02" + b'{{{{{{{{{{{{{{{{{"' + b'\\"' * 5_000, 401),
    "a payload in UTF-16": (b"\x02" + '{"sub": "alice"}'.encode("utf-16"), 401),
    "a payload that is a number of 4,000 digits": (b"\x02" + b"9" * 4_000, 401),
    "a header that is an array": (b'\x03["alg"]', 401),
    "a header that is a string": (b'\x03"alg"', 401),
    "crit is a number": (b"\x05crit=5", 401),
    "crit holds an array": (b'\x05crit=[["a"]]', 401),
    "exp is 1e999": (b"\x04nbf=1e999", 401),
    "nbf is NaN": (b"\x04nbf=NaN", 401),
    "nbf is a number that no datetime can hold": (b"\x04nbf=1e300", 401),
    "aud twice": (b'\x04aud="https://api.example.com"', 401),
    "a lone surrogate": (b'\x04name="\\ud800"', 401),
    "scp is a number": (b"\x04scp=1", 401),
    "realm_access is a list": (b"\x04realm_access=[1]", 200),
    "roles hold numbers": (b'\x04realm_access={"roles": [1]}', 401),
    "cnf is null": (b"\x04cnf=null", 401),
    "cnf is bound": (b'\x04cnf={"jkt": "x"}', 401),
}


@pytest.mark.parametrize(("data", "status"), CASES.values(), ids=CASES)
def test_the_door_answers_whatever_it_is_sent(data: bytes, status: int) -> None:
    assert answer_to(data) == status
