"""The robot's own camera: its gain from measured distances, kept in `camera.json`, and its focal length."""
