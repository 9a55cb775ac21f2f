"""Programs that other codes' interpreters run; they import nothing of this package."""
