"""A depth network in, a bundle with certificates out. Loads nothing heavy itself: import the module that you need."""
