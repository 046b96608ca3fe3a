// Moves whole files of beats through a design with one input stream and one output stream, with stalls
// on both sides, while it watches the stream rules. Nothing outside needs to act at a clock: a run starts
// with the first clock, is described by plusargs, and has ended when `done` rises.
//
// Plain enough for any simulator that reads files and plusargs; randomness is an xorshift of the seed, so
// that every simulator sees the same stalls.

`timescale 1ns / 1ns

module bench #(
    parameter IW = 1,   // bits of an input beat
    parameter OW = 1,   // bits of an output beat
    parameter EW = 1    // bits of all other outputs
) (
    input clk,
    output reg done /* verilator public_flat_rd */
);
  localparam IB = (IW + 7) / 8;
  localparam OB = (OW + 7) / 8;

  // what can be wrong with a design; the numbers are known to sim/bench/bench.py
  localparam [3:0] NONE = 0, FELL = 1, CHANGED = 2, HANGS = 3, EXTRA = 4, FILES = 5;

  reg rst;
  reg [IW-1:0] i_payload;
  reg i_valid;
  wire i_ready;
  wire [OW-1:0] o_payload;
  wire o_valid;
  reg o_ready;
  wire [EW-1:0] others /* verilator public_flat_rd */;

  dut dut (
      .clk(clk), .rst(rst),
      .i_payload(i_payload), .i_valid(i_valid), .i_ready(i_ready),
      .o_payload(o_payload), .o_valid(o_valid), .o_ready(o_ready),
      .others(others)
  );

  // the run, from plusargs
  string in_path, out_path, times_path;
  reg [63:0] n_in, n_out, frame, patience, quiet;
  reg [31:0] seed, p_in, p_out, log_in, log_out, settle;

  // where it stands
  reg [63:0] cycle /* verilator public_flat_rd */;      // since the end of reset
  reg [63:0] given /* verilator public_flat_rd */;      // input beats transferred
  reg [63:0] taken /* verilator public_flat_rd */;      // output beats transferred
  reg [3:0] fault /* verilator public_flat_rd */;
  reg [63:0] offered, position, idle;
  reg [31:0] random_in, random_out, wait_in, wait_out;
  reg held;                                             // the design was stalled in the last cycle
  reg [OW-1:0] held_payload;
  reg [3:0] resetting;
  reg [8*IB-1:0] raw;
  integer in_file, out_file, times_file, got;
  wire [8*OB-1:0] o_bytes = {{(8*OB-OW){1'b0}}, o_payload};
  wire in_moves = i_valid && i_ready;
  wire out_moves = o_valid && o_ready;

  function [31:0] xorshift(input [31:0] x);
    reg [31:0] y;
    begin
      y = x ^ (x << 13);
      y = y ^ (y >> 17);
      xorshift = y ^ (y << 5);
    end
  endfunction

  // length of a stall beyond its first cycle: up to 2**bits - 1, short and long ones about as often
  function [31:0] stall(input [31:0] x, input [31:0] bits);
    stall = (x >> 8) & ((32'd1 << (x[7:0] % (bits + 1))) - 1);
  endfunction

  task finish(input [3:0] why);
    begin
      fault <= why;
      done <= 1;
      $fflush;
    end
  endtask

  initial begin
    done = 0; fault = NONE; rst = 1; resetting = 4;
    i_valid = 0; o_ready = 0; i_payload = 0;
    cycle = 0; given = 0; taken = 0; offered = 0; position = 0; idle = 0;
    wait_out = 0; held = 0; held_payload = 0;
    got = $value$plusargs("in=%s", in_path) + $value$plusargs("out=%s", out_path)
        + $value$plusargs("times=%s", times_path)
        + $value$plusargs("n_in=%d", n_in) + $value$plusargs("n_out=%d", n_out)
        + $value$plusargs("frame=%d", frame) + $value$plusargs("seed=%d", seed)
        + $value$plusargs("p_in=%d", p_in) + $value$plusargs("p_out=%d", p_out)
        + $value$plusargs("log_in=%d", log_in) + $value$plusargs("log_out=%d", log_out)
        + $value$plusargs("patience=%d", patience) + $value$plusargs("quiet=%d", quiet)
        + $value$plusargs("settle=%d", settle);
    wait_in = settle;
    in_file = $fopen(in_path, "rb");
    out_file = $fopen(out_path, "w");
    times_file = $fopen(times_path, "w");
    random_in = (seed * 32'd2654435769) ^ 32'd1;
    random_out = (seed * 32'd2246822519) ^ 32'h80000000;
    if (random_in == 0) random_in = 1;
    if (random_out == 0) random_out = 1;
    if (got != 14 || in_file == 0 || out_file == 0 || times_file == 0) begin
      fault = FILES;
      resetting = 0;
    end
  end

  always @(posedge clk)
    if (fault == FILES) done <= 1;
    else if (resetting != 0) begin
      resetting <= resetting - 1;
      rst <= resetting != 1;
    end else if (!done) begin
      cycle <= cycle + 1;
      random_in <= xorshift(random_in);
      random_out <= xorshift(random_out);

      // the source: what it offers it holds until it is taken; with nothing to offer the payload is noise
      if (!i_valid || i_ready) begin
        i_valid <= 0;
        i_payload <= {(IW + 31) / 32{random_in}};
        if (wait_in != 0) wait_in <= wait_in - 1;
        else if (random_in[31:16] < p_in) wait_in <= stall(random_out, log_in);
        else if (offered != n_in) begin
          got = $fread(raw, in_file);
          if (got != IB) finish(FILES);
          i_payload <= raw[IW-1:0];
          i_valid <= 1;
          offered <= offered + 1;
        end
      end
      if (in_moves) begin
        given <= given + 1;
        position <= position + 1 == frame ? 0 : position + 1;
        if (position == 0 || position + 1 == frame) $fwrite(times_file, "%h\n", cycle);
      end

      // the sink
      if (wait_out != 0) begin
        wait_out <= wait_out - 1;
        o_ready <= 0;
      end else if (random_out[31:16] < p_out) begin
        wait_out <= stall(random_in, log_out);
        o_ready <= 0;
      end else o_ready <= 1;
      if (out_moves) begin
        taken <= taken + 1;
        $fwrite(out_file, "%h%h\n", cycle, o_bytes);
      end
      if (cycle[15:0] == 0) $fflush(out_file);

      // the rules of a stream, and the ends of a run
      held <= o_valid && !o_ready;
      held_payload <= o_payload;
      idle <= in_moves || out_moves ? 0 : idle + 1;
      if (held && !o_valid) finish(FELL);
      else if (held && o_payload != held_payload) finish(CHANGED);
      else if (o_valid && taken == n_out) finish(EXTRA);
      else if (given == n_in && taken == n_out && idle >= quiet) finish(NONE);
      else if (idle >= patience) finish(HANGS);
    end
endmodule
