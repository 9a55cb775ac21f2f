"""What was measured: windows, their noise, beams and continuum."""
