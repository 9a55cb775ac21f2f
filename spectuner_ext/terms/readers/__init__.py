"""Readers and writers of the formats in which spectroscopists keep lines, levels and calculations."""
