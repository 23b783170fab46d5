from tests.runtime.conftest import derainer, rng, tiny_model

__all__ = ["derainer", "rng", "tiny_model"]
