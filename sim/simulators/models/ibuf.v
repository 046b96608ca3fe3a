// Gowin's input buffer of a pin.
module IBUF (input I, output O);
  assign O = I;
endmodule
