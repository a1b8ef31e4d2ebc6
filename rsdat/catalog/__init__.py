"""STAC catalogs: open, search."""
