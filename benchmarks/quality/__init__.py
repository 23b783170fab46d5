"""Quality of a model on held-out, real and drawn images."""
