"""Programs that measure speed and quality, listed in README.md; run from the root of a clone."""
