"""A board in Verilator, pin by pin, the traffic on its line, and who judges the answers."""
