// What the PLLs with one clock have in common: a divider of bench.clk, and a lock that watches the input.
module pll_model #(
    parameter INPUT = 1,   // cycles of the input in which the oscillator has to make
    parameter TICKS = 1,   // so many cycles
    parameter OUTPUT = 2   // cycles of the oscillator that are one of the clock
) (
    input source,
    output reg clock,
    output reg locked
);
  localparam PERIODS = 32;  // that must be right before it locks

  reg [31:0] place, edges, ticks, right;
  reg was;

  initial begin
    {place, edges, ticks, right} = 0;
    {was, clock, locked} = 0;
  end

  always @(posedge bench.clk) begin
    place <= place + 1 == OUTPUT ? 0 : place + 1;
    clock <= place < OUTPUT / 2;
    was <= source;
    ticks <= ticks + 1;
    if (source && !was) begin
      edges <= edges + 1;
      if (edges + 1 == INPUT) begin
        edges <= 0;
        ticks <= 0;
        if (ticks + 1 != TICKS) begin
          right <= 0;
          locked <= 0;
        end else if (right != PERIODS) right <= right + 1;
        else locked <= 1;
      end
    end
  end
endmodule
