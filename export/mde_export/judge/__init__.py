"""What decides whether a graph may ship: frames, the original's depth for them, and the certificate."""
