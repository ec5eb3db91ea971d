"""Content Credentials (C2PA): how a video was made, who signs that, and what a file says."""
