"""How a net is laid over lanes: plans as data, and what follows from them; no hardware in it."""
