"""Speed of the engines, of whole commands, of the server and of training."""
