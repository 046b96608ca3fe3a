// The ECP5's PLL, as far as boards/pll/ecp5.py uses it.
//
// One tick of bench.clk (boards/simulated/board.cpp) is one cycle of the oscillator inside. So the bench decides how fast that
// runs, and the PLL locks only if its phase detector sees equal frequencies from the input and from the feedback
// wire: a wrong divider, or a loop that is left open, keeps it from locking.
module EHXPLLL (
    input CLKI, CLKFB, RST, STDBY, PHASESEL0, PHASESEL1, PHASEDIR, PHASESTEP, PHASELOADREG, PLLWAKESYNC, ENCLKOP,
    output reg CLKOP, CLKOS, LOCK
);
  parameter PLLRST_ENA = "DISABLED", INTFB_WAKE = "DISABLED", STDBY_ENABLE = "DISABLED";
  parameter DPHASE_SOURCE = "DISABLED", OUTDIVIDER_MUXA = "DIVA", OUTDIVIDER_MUXB = "DIVB";
  parameter FEEDBK_PATH = "CLKOP", CLKOP_ENABLE = "DISABLED", CLKOS_ENABLE = "DISABLED";
  parameter CLKI_DIV = 1, CLKFB_DIV = 1, CLKOP_DIV = 8, CLKOS_DIV = 8;
  parameter CLKOP_CPHASE = 0, CLKOP_FPHASE = 0, CLKOS_CPHASE = 0, CLKOS_FPHASE = 0;

  localparam PERIODS = 32;  // of the phase detector that must be right before it locks

  reg [31:0] op, os, input_edges, loop_edges, right;
  reg input_was, loop_was;
  wire input_rises = CLKI && !input_was;
  wire loop_rises = CLKFB && !loop_was;
  wire [31:0] loop_now = loop_edges + {31'd0, loop_rises};

  initial begin
    {op, os, input_edges, loop_edges, right} = 0;
    {input_was, loop_was, CLKOP, CLKOS, LOCK} = 0;
  end

  always @(posedge bench.clk) begin
    op <= op + 1 == CLKOP_DIV ? 0 : op + 1;
    os <= os + 1 == CLKOS_DIV ? 0 : os + 1;
    CLKOP <= CLKOP_ENABLE == "ENABLED" && op < CLKOP_DIV / 2;
    CLKOS <= CLKOS_ENABLE == "ENABLED" && os < CLKOS_DIV / 2;
    input_was <= CLKI;
    loop_was <= CLKFB;
    loop_edges <= loop_now;
    if (input_rises) begin
      input_edges <= input_edges + 1;
      if (input_edges + 1 == CLKI_DIV) begin
        input_edges <= 0;
        loop_edges <= 0;
        if (loop_now == CLKFB_DIV) begin
          if (right != PERIODS) right <= right + 1;
          else LOCK <= 1;
        end else begin
          right <= 0;
          LOCK <= 0;
        end
      end
    end
  end
endmodule
