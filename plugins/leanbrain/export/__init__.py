"""What comes out of a pruned run: files that need no pruner."""

from leanbrain.export.pathway_files import export_pathways

__all__ = ["export_pathways"]
