"""The embedded host: loads node packs, reads workflows, checks them and runs them."""
