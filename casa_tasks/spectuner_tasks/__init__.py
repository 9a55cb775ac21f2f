"""Tasks in the manner of CASA."""
