"""Programs that build the documentation."""
