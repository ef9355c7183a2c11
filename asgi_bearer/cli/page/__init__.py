"""The page of `asgi-bearer dev`: make a token, call the application, read what the answer means. Floor 7."""
