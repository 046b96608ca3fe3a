// The iCE40's pin as Amaranth uses it without registers: an input, or an output that can be switched off.
module SB_IO #(
    parameter [5:0] PIN_TYPE = 0,
    parameter PULLUP = 0,
    parameter IO_STANDARD = "SB_LVCMOS"
) (
    inout PACKAGE_PIN,
    input OUTPUT_ENABLE, D_OUT_0,
    output D_IN_0
);
  assign D_IN_0 = PACKAGE_PIN;
  if (PIN_TYPE[5:2] == 4'b1010) assign PACKAGE_PIN = OUTPUT_ENABLE ? D_OUT_0 : 1'bz;
endmodule
