"""Fits that begin and end with the files of XCLASS, and comparisons of its results with our model."""
