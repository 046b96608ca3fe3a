"""The host's side of the serial line: the protocol, the line itself, images and weights on it."""
