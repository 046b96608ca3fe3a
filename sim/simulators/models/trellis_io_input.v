// The ECP5's pad where it only reads its pin; sim/simulators/netlist.py names it so.
module TRELLIS_IO_INPUT #(
    parameter DIR = "INPUT"
) (
    input B, I, T,
    output O
);
  assign O = B;
endmodule
