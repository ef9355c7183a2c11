"""TokenCache: bounded, holds no token, and survives threads that meet in it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from asgi_bearer.verifiers.token_cache import MAX_TOKEN_LENGTH, TokenCache

if TYPE_CHECKING:
    from collections.abc import Callable


def test_what_was_put_in_is_found_by_its_key() -> None:
    cache: TokenCache[str] = TokenCache(2)
    key = cache.key("a-token")

    assert cache.get(key) is None
    cache.put(key, "verdict", "a-token")

    assert cache.get(cache.key("a-token")) == "verdict"
    assert cache.get(cache.key("another")) is None


def test_the_entry_that_was_asked_for_longest_ago_gives_way() -> None:
    cache: TokenCache[int] = TokenCache(2)
    for number, token in enumerate(("a", "b")):
        cache.put(cache.key(token), number, token)
    cache.get(cache.key("a"))

    cache.put(cache.key("c"), 2, "c")

    assert [cache.get(cache.key(token)) for token in "abc"] == [0, None, 2]


def test_a_cache_of_no_size_keeps_nothing() -> None:
    cache: TokenCache[int] = TokenCache(0)

    cache.put(cache.key("a"), 1, "a")

    assert cache.get(cache.key("a")) is None


@pytest.mark.parametrize(("length", "kept"), [(MAX_TOKEN_LENGTH, True), (MAX_TOKEN_LENGTH + 1, False)])
def test_an_endless_token_is_not_remembered(length: int, kept: bool) -> None:
    cache: TokenCache[int] = TokenCache(2)
    token = "a" * length

    cache.put(cache.key(token), 1, token)

    assert (cache.get(cache.key(token)) is not None) is kept


def test_keys_are_those_of_one_cache_alone_and_show_no_token() -> None:
    one, other = TokenCache[int](1), TokenCache[int](1)

    assert one.key("a-token") == one.key("a-token")
    assert one.key("a-token") != other.key("a-token")
    assert len(one.key("a-token")) == len(one.key("")) == len(one.key("\ud800")) == 32


def test_the_prefix_comes_from_the_random_source_that_is_given() -> None:
    asked: list[int] = []

    def random_bytes(count: int) -> bytes:
        asked.append(count)
        return bytes(count)

    one, other = (TokenCache[int](1, random_bytes=random_bytes) for _ in range(2))

    assert asked == [32, 32]
    assert one.key("a-token") == other.key("a-token")


class InterruptedKey(bytes):
    """A key during whose `countdown`-th look-up another thread gets its turn."""

    __slots__ = ()
    interrupt: Callable[[], None]

    def __hash__(self) -> int:
        InterruptedKey.interrupt()
        return super().__hash__()

    __eq__ = bytes.__eq__


@pytest.mark.parametrize("look_up", range(1, 16))
def test_a_thread_that_comes_in_between_costs_an_entry_at_most_and_never_the_cache(look_up: int) -> None:
    cache: TokenCache[int] = TokenCache(1)
    key, left = InterruptedKey(b"ours"), [look_up]

    def another_thread() -> None:
        left[0] -= 1
        if left[0] == 0:
            cache.put(b"theirs", 2, "")

    InterruptedKey.interrupt = lambda: None
    cache.put(key, 1, "")
    InterruptedKey.interrupt = another_thread
    cache.put(key, 1, "")
    cache.get(key)
    InterruptedKey.interrupt = lambda: None

    for number, later in enumerate((b"a", b"b", b"c", b"d")):
        cache.put(later, number, "")
    assert cache.get(b"d") == 3
    assert [cache.get(earlier) for earlier in (b"ours", b"theirs", b"a", b"b")].count(None) >= 3


@pytest.mark.parametrize("look_up", range(1, 4))
def test_an_entry_that_another_thread_takes_while_it_is_looked_up_is_found_or_is_not(look_up: int) -> None:
    cache: TokenCache[int] = TokenCache(2)
    key, left = InterruptedKey(b"ours"), [look_up]

    def another_thread() -> None:
        left[0] -= 1
        if left[0] == 0:
            cache.drop(b"ours")

    InterruptedKey.interrupt = lambda: None
    cache.put(key, 1, "")
    cache.put(b"later", 2, "")
    InterruptedKey.interrupt = another_thread
    found = cache.get(key)
    InterruptedKey.interrupt = lambda: None

    assert found == (1 if look_up == 3 else None)
    assert cache.get(b"later") == 2


def test_what_is_dropped_is_gone_and_so_is_what_was_never_there() -> None:
    cache: TokenCache[int] = TokenCache(2)
    cache.put(b"a", 1, "")
    cache.put(b"b", 2, "")

    cache.drop(b"a")
    cache.drop(b"a")
    cache.drop(b"never")

    assert [cache.get(b"a"), cache.get(b"b")] == [None, 2]


@pytest.mark.parametrize("look_up", range(1, 16))
def test_a_thread_that_comes_in_between_does_not_keep_what_is_dropped(look_up: int) -> None:
    cache: TokenCache[int] = TokenCache(2)
    key, left = InterruptedKey(b"ours"), [look_up]

    def another_thread() -> None:
        left[0] -= 1
        if left[0] == 0:
            cache.put(b"theirs", 2, "")
            cache.drop(b"ours")

    InterruptedKey.interrupt = lambda: None
    cache.put(key, 1, "")
    InterruptedKey.interrupt = another_thread
    cache.drop(key)
    InterruptedKey.interrupt = lambda: None

    assert cache.get(b"ours") is None
    cache.put(b"later", 3, "")
    assert cache.get(b"later") == 3


def test_many_threads_at_once_leave_a_cache_that_works() -> None:
    cache: TokenCache[int] = TokenCache(8)
    failures: list[BaseException] = []

    def work(seed: int) -> None:
        try:
            for number in range(2_000):
                key = cache.key(f"{(seed * number) % 24}")
                if cache.get(key) is None:
                    cache.put(key, number, "")
        except BaseException as error:  # noqa: BLE001  # told by the test
            failures.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    for number in range(9):
        cache.put(cache.key(f"later {number}"), number, "")
    assert failures == []
    assert cache.get(cache.key("later 8")) == 8
