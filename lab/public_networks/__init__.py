"""Public networks: small ones of each family, the publisher's own pipeline, and how far a bundle is from it."""
