"""Programs that are sent to a site and run by its Python: standard library only, no rsdat."""
