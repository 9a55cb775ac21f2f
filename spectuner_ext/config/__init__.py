"""Settings as files: YAML or TOML to and from frozen dataclasses, where an unknown key is an error.

Fields may be numbers, texts, truth values, paths, `Literal` choices, tuples, mappings of texts, other such
dataclasses, and unions of these with None.
"""

from .files import dump, dumps, loads, read
from .overrides import difference, override
from .plain import from_plain, to_plain

__all__ = ["difference", "dump", "dumps", "from_plain", "loads", "override", "read", "to_plain"]
