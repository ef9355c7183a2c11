"""What every strategy must do, whichever way it finds out: subclass `VerifierContract` and say how it is made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from fakes import Echo, call, http_scope

from asgi_bearer import AccessToken, BearerMiddleware, InsufficientScope, InvalidToken

if TYPE_CHECKING:
    from leaks import Watch

    from asgi_bearer import TokenVerifier


class VerifierContract:
    """The contract: `good` has the scopes read and write, client app and subject alice; `refused` is refused."""

    good: str
    refused: str

    def make(self, **options: Any) -> TokenVerifier:
        raise NotImplementedError

    @pytest.fixture(autouse=True)
    def _watch_the_tokens(self, watch: Watch) -> None:
        watch.secrets |= {self.good, self.refused}

    async def test_a_good_token_is_told_apart_and_described(self) -> None:
        token = await self.make().verify_token(self.good)

        assert type(token) is AccessToken
        assert token.token == self.good
        assert (token.client_id, token.subject, token.scopes) == ("app", "alice", ("read", "write"))
        assert token.expires_at is None or token.expires_at.utcoffset() is not None

    async def test_a_good_token_is_good_every_time(self) -> None:
        verifier = self.make()

        first, second = await verifier.verify_token(self.good), await verifier.verify_token(self.good)

        assert first == second

    async def test_a_refused_token_is_refused_every_time(self) -> None:
        verifier = self.make()

        for _ in range(2):
            with pytest.raises(InvalidToken):
                await verifier.verify_token(self.refused)

    @pytest.mark.parametrize("token", ["", " ", "a", "..", "a" * 20_000, "\u00e9", "\0"], ids=ascii)
    async def test_garbage_is_refused(self, token: str) -> None:
        with pytest.raises(InvalidToken):
            await self.make().verify_token(token)

    @pytest.mark.parametrize("change", [slice(0, -1), slice(1, None)], ids=["without its end", "without its start"])
    async def test_a_part_of_a_good_token_is_refused(self, change: slice) -> None:
        verifier = self.make()
        await verifier.verify_token(self.good)

        with pytest.raises(InvalidToken):
            await verifier.verify_token(self.good[change])

    async def test_a_good_token_with_something_after_it_is_refused(self) -> None:
        with pytest.raises(InvalidToken):
            await self.make().verify_token(self.good + "A")

    @pytest.mark.parametrize("required", [["read"], ["write", "read"], [], None], ids=str)
    async def test_a_token_with_every_required_scope_is_good(self, required: Any) -> None:
        token = await self.make(required_scopes=required).verify_token(self.good)

        assert token is not None

    async def test_a_missing_scope_is_refused_the_second_time_too_and_names_all_that_are_required(self) -> None:
        verifier = self.make(required_scopes=["read", "delete"])

        for _ in range(2):
            with pytest.raises(InsufficientScope) as caught:
                await verifier.verify_token(self.good)
            assert caught.value.required == ("read", "delete")

    @pytest.mark.parametrize("scope", ["rea", "reads", "READ", "read,write"], ids=ascii)
    async def test_scopes_are_compared_whole_and_in_case(self, scope: str) -> None:
        with pytest.raises(InsufficientScope):
            await self.make(required_scopes=[scope]).verify_token(self.good)

    async def test_its_scopes_stand_in_the_challenge_behind_the_doors(self) -> None:
        door = BearerMiddleware(Echo(), self.make(required_scopes=["read", "delete"]), required_scopes=["write"])

        sent = await call(door, http_scope((b"authorization", b"Bearer " + self.good.encode())))

        assert sent[0]["status"] == 403
        assert b'scope="write read delete"' in dict(sent[0]["headers"])[b"www-authenticate"]

    async def test_claims_cannot_be_changed_by_one_request_for_the_next(self) -> None:
        verifier = self.make()
        token = await verifier.verify_token(self.good)
        assert token is not None

        with pytest.raises(TypeError):
            token.claims["sub"] = "mallory"  # type: ignore[index]

        again = await verifier.verify_token(self.good)
        assert again is not None
        assert again.subject == again.claims["sub"] == "alice"

    async def test_what_it_raises_shows_nothing_of_the_token(self) -> None:
        with pytest.raises(InvalidToken) as caught:
            await self.make().verify_token(self.refused)

        error: BaseException | None = caught.value
        while error is not None:
            assert self.refused not in f"{error} {error!r} {error.args}"
            error = error.__cause__ or error.__context__

    async def test_its_repr_and_the_tokens_show_no_token(self) -> None:
        verifier = self.make()

        token = await verifier.verify_token(self.good)

        assert self.good not in repr(verifier) + repr(token)

    @pytest.mark.parametrize(
        ("required", "sentence"),
        [
            pytest.param("read", "required_scopes is a sequence of scopes, not a str", id="a str"),
            pytest.param(1, "required_scopes is a .*not int", id="a number"),
            pytest.param([1], "each scope of required_scopes is a str, not int", id="a number within"),
        ],
    )
    def test_required_scopes_of_the_wrong_type_are_a_type_error(self, required: Any, sentence: str) -> None:
        with pytest.raises(TypeError, match=sentence):
            self.make(required_scopes=required)

    @pytest.mark.parametrize("scope", ["", "a b", 'a"b', "a\\b", "\u00e9"], ids=ascii)
    def test_a_required_scope_that_no_challenge_can_name_is_a_value_error(self, scope: str) -> None:
        with pytest.raises(ValueError, match=r"required_scopes: .* is not a scope"):
            self.make(required_scopes=[scope])

    @pytest.mark.parametrize("clock", [0, "now"])
    def test_a_clock_that_cannot_be_asked_is_a_type_error(self, clock: Any) -> None:
        with pytest.raises(TypeError, match="clock is a function, not"):
            self.make(clock=clock)
