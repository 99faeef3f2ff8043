"""The request of an export: options, presets and sizes, typed and checked before anything is read. Light to load."""
