"""From a ledger to a page, Markdown, CSV and TensorBoard."""
