// The iCE40's pad where it always drives its pin, without a register; sim/simulators/netlist.py names it so.
module SB_IO_OUTPUT #(
    parameter [5:0] PIN_TYPE = 6'b101001,
    parameter PULLUP = 0,
    parameter NEG_TRIGGER = 0,
    parameter IO_STANDARD = "SB_LVCMOS"
) (
    input LATCH_INPUT_VALUE, CLOCK_ENABLE, INPUT_CLK, OUTPUT_CLK, OUTPUT_ENABLE, D_OUT_0, D_OUT_1,
    output PACKAGE_PIN, D_IN_0, D_IN_1
);
  assign PACKAGE_PIN = D_OUT_0;
  assign D_IN_0 = PACKAGE_PIN;
  assign D_IN_1 = 1'b0;
endmodule
