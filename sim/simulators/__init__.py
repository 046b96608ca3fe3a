"""From Amaranth to programs that simulate: Verilog, Verilator, CXXRTL, netlists and models of cells."""
