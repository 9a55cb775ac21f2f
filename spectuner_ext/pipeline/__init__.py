"""Propose, refine, choose; and write the products."""
