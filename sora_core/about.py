"""What this software is called, and which version it is."""

from __future__ import annotations

NAME = "sora-nodes"  # of the distribution
GENERATOR = "Sora Nodes"  # what Content Credentials name as the writing software; the detector looks for it
VERSION = "0.2.0"
