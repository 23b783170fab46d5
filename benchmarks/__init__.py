"""Programs that measure speed and quality; README.md lists them. Run them from a clone's root."""
