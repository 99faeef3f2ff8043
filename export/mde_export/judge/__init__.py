"""Judging of graphs before they ship: frames, the original's depth for them, and the certificate."""
