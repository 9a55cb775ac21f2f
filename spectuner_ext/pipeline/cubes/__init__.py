"""Fits of cubes, pixel by pixel: preparation, blocks, stages, storage, maps and their files."""
