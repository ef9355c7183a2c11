"""Keys and signatures: the only importer of joserfc and cryptography. Floor 3."""
