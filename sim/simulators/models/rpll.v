// Gowin's PLL with the feedback inside, as far as boards/pll/gowin.py uses it; see sb_pll40_core.v.
module rPLL #(
    parameter FCLKIN = "27",
    parameter IDIV_SEL = 0,
    parameter FBDIV_SEL = 0,
    parameter ODIV_SEL = 8,
    parameter DYN_IDIV_SEL = "false",
    parameter DYN_FBDIV_SEL = "false",
    parameter DYN_ODIV_SEL = "false",
    parameter CLKFB_SEL = "internal",
    parameter DEVICE = ""
) (
    input CLKIN, CLKFB, RESET, RESET_P,
    input [5:0] FBDSEL, IDSEL, ODSEL,
    input [3:0] PSDA, DUTYDA, FDLY,
    output CLKOUT,
    output LOCK
);
  wire clock;
  pll_model #(.INPUT(IDIV_SEL + 1), .TICKS((FBDIV_SEL + 1) * ODIV_SEL), .OUTPUT(ODIV_SEL)) model (
    .source(CLKIN), .clock(clock), .locked(LOCK)
  );
  assign CLKOUT = clock && !RESET && !RESET_P;
endmodule
