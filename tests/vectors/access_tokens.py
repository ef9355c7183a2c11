"""The access token that RFC 9068 section 3 gives as an example, unsigned: header and claims as they stand there.

`typ` is in another case than section 2.1 has it, and white space stands before a colon: both are as they should be.
"""

from __future__ import annotations

RFC9068_HEADER = '{"typ":"at+JWT","alg":"RS256","kid":"RjEwOwOA"}'
RFC9068_CLAIMS = """\
{
  "iss": "https://authorization-server.example.com/",
  "sub": "5ba552d67",
  "aud":   "https://rs.example.com/",
  "exp": 1639528912,
  "iat": 1618354090,
  "jti" : "dbe39bf3a3ba4238a513f51d6e1691c4",
  "client_id": "s6BhdRkqt3",
  "scope": "openid profile reademail"
}
"""
