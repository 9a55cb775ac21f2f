"""Many agents on many cases from many seeds: runs that are kept, scored with the key afterwards, and compared."""
