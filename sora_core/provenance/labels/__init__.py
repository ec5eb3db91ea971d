"""Labels that laws ask for on generated content: written before a file is signed, read back by `sora verify`.

Built from secondary sources, and no legal advice: docs/SAFETY.md says which.
"""
