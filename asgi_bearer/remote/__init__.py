"""What is fetched from an authorization server, and how: the only importer of httpx2. Floor 2."""
