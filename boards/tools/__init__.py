"""From a design to a bitstream in a board: the open tools, what they leave, and what is kept."""
