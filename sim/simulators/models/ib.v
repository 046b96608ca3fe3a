// The ECP5's input buffer of a pin.
module IB (input I, output O);
  assign O = I;
endmodule
