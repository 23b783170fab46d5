"""Finished experiments that can be repeated."""
