// Gowin's output buffer of a pin; OEN switches it off.
module TBUF (input I, OEN, output O);
  assign O = OEN ? 1'bz : I;
endmodule
