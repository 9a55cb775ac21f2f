"""Catalogue readers, one signature each."""
