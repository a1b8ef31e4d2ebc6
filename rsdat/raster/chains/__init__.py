"""The chain: items, bands and steps as one value, evaluated block by block."""

from rsdat.raster.chains.builder import Chain, chain

__all__ = ["Chain", "chain"]
