"""Subjects of the bench that only the laboratory measures."""
