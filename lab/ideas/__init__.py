"""Ideas for training that the ablations judge and the product does not have: a loss, networks, and sets of frames."""
