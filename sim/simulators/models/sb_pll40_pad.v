// The iCE40's PLL at its own pin: that behind any signal, see sb_pll40_core.v.
module SB_PLL40_PAD #(
    parameter FEEDBACK_PATH = "SIMPLE",
    parameter [3:0] DIVR = 0,
    parameter [6:0] DIVF = 0,
    parameter [2:0] DIVQ = 0,
    parameter [2:0] FILTER_RANGE = 0
) (
    input PACKAGEPIN, RESETB, BYPASS,
    output PLLOUTGLOBAL,
    output LOCK
);
  SB_PLL40_CORE #(.DIVR(DIVR), .DIVF(DIVF), .DIVQ(DIVQ)) core (
    .REFERENCECLK(PACKAGEPIN), .RESETB(RESETB), .BYPASS(BYPASS), .PLLOUTGLOBAL(PLLOUTGLOBAL), .LOCK(LOCK)
  );
endmodule
