// The ECP5's output buffer of a pin; T switches it off.
module OBZ (input I, T, output O);
  assign O = T ? 1'bz : I;
endmodule
