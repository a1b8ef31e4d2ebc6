"""Filesystems and credentials."""
