"""Writers: an image as a file or a store, tile by tile, resumable, there complete or not at all."""
