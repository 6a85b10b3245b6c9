"""What files say, as short hashes: comments and layout do not count."""

from leanbrain.digests.python_files import imported_files, python_digest
from leanbrain.digests.yaml_files import yaml_digest

__all__ = ["imported_files", "python_digest", "yaml_digest"]
