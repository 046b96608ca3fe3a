// The ECP5's pad where it only drives its pin; sim/simulators/netlist.py names it so. Switched off it reads as low.
module TRELLIS_IO_OUTPUT #(
    parameter DIR = "OUTPUT"
) (
    output B,
    input I, T,
    output O
);
  assign B = I && !T;
  assign O = 1'b0;
endmodule
