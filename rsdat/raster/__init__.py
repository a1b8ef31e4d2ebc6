"""Reading, masks, indices, composites and writers on grids."""
