"""Workflows: read, checked, changed from outside."""
