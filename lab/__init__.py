"""The laboratory: what measures and proves the product, and is not part of it. Not in the wheel."""
