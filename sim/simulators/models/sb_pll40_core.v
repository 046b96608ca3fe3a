// The iCE40's PLL behind any signal, as far as boards/pll/ice40.py uses it.
//
// One tick of bench.clk is one cycle of the oscillator inside, as in ehxplll.v. It locks only if that many ticks as
// the dividers say go into so many cycles of the input.
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
