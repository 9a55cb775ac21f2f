"""Fits of many spectra that share channels, lines and components, in compiled loops over the spectra."""
