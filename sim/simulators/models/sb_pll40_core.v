// The iCE40's PLL behind any signal; see sim/simulators/models/sb_pll40_pad.v.
module SB_PLL40_CORE #(
    parameter FEEDBACK_PATH = "SIMPLE",
    parameter [3:0] DIVR = 0,
    parameter [6:0] DIVF = 0,
    parameter [2:0] DIVQ = 0,
    parameter [2:0] FILTER_RANGE = 0
) (
    input REFERENCECLK, RESETB, BYPASS,
    output PLLOUTGLOBAL,
    output LOCK
);
  wire clock;
  pll_model #(.INPUT(DIVR + 1), .TICKS(DIVF + 1), .OUTPUT(1 << DIVQ)) model (
    .source(REFERENCECLK), .clock(clock), .locked(LOCK)
  );
  assign PLLOUTGLOBAL = BYPASS ? REFERENCECLK : clock && RESETB;
endmodule
