"""Two bundles, or a bundle and an earlier run, against each other."""
