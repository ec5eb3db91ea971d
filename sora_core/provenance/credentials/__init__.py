"""Content Credentials (C2PA): sign and verify."""
