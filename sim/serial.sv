// A board's top between an oscillator, a serial line and LEDs: plays a file of bytes and pauses to the line and
// writes down what the board answers. Nothing outside needs to act before `done` rises.
//
// One tick of clk is one cycle of the oscillator inside the board's PLL. A line of the file is a number in
// hexadecimal: 000..0ff a byte, 100..1ff a byte whose stop bit is missing, 20000000 + n the button (0 or 1), and
// 40000000 + n a pause of n bits.

`timescale 1ns / 1ns

module bench #(
    parameter NUMERATOR = 1,    // ticks in ...
    parameter DENOMINATOR = 1,  // ... so many cycles of the board's oscillator
    parameter LEDS = 8
) (
    input clk,
    output reg done /* verilator public_flat_rd */
);
  reg oscillator, line, button;
  wire answer;
  wire [LEDS-1:0] leds;
  board board (.oscillator(oscillator), .button(button), .rx(line), .tx(answer), .leds(leds));

  // what is read when the run has ended, under the names that sim/frames.py asks for
  reg [63:0] cycle /* verilator public_flat_rd */;  // ticks
  reg [63:0] given /* verilator public_flat_rd */;  // lines played
  reg [63:0] taken /* verilator public_flat_rd */;  // bytes that came back
  reg [3:0] fault /* verilator public_flat_rd */;   // 1: the files cannot be read or written
  wire [63:0] others /* verilator public_flat_rd */ = 64'(leds);

  reg [1023:0] in_path, out_path;
  reg [63:0] bit_ticks, answer_ticks, quiet;  // 24.8 fixed point; bits
  reg [31:0] phase, item;
  integer in_file, out_file, got;
  reg ended;
  reg [63:0] until_next, until_sample, silence;
  reg [10:0] sending;
  reg [31:0] bits_left, bits_to_come;
  reg [7:0] heard;

  initial begin
    {oscillator, line, button, done} = 4'b0100;
    {cycle, given, taken, fault, phase, ended} = 0;
    {until_next, until_sample, silence, bits_left, bits_to_come, heard} = 0;
    sending = ~0;
    got = $value$plusargs("in=%s", in_path) + $value$plusargs("out=%s", out_path)
        + $value$plusargs("bit=%d", bit_ticks) + $value$plusargs("answer_bit=%d", answer_ticks)
        + $value$plusargs("quiet=%d", quiet);
    in_file = $fopen(in_path, "r");
    out_file = $fopen(out_path, "w");
    if (got != 5 || in_file == 0 || out_file == 0) fault = 1;
  end

  always @(posedge clk)
    if (fault != 0) done <= 1;
    else if (!done) begin
      cycle <= cycle + 1;

      // the oscillator on the board
      phase <= phase + DENOMINATOR >= NUMERATOR ? phase + DENOMINATOR - NUMERATOR : phase + DENOMINATOR;
      oscillator <= phase < NUMERATOR / 2;

      // towards the board
      if (until_next >= 256) until_next <= until_next - 256;
      else if (bits_left != 0) begin
        until_next <= until_next + bit_ticks - 256;
        line <= sending[0];
        sending <= {1'b1, sending[10:1]};
        bits_left <= bits_left - 1;
      end else if (!ended) begin
        // after a byte the line stands at its stop bit, for which the time has now passed
        got = $fscanf(in_file, "%h", item);
        if (got != 1) ended <= 1;
        else begin
          given <= given + 1;
          if (item[30]) begin
            line <= 1;
            bits_left <= 32'(item[29:0]);
            sending <= ~0;
          end else if (item[29]) button <= item[0];
          else begin
            line <= 0;
            sending <= {2'b11, !item[8], item[7:0]};
            bits_left <= item[8] ? 10 : 9;
            until_next <= until_next + bit_ticks - 256;
          end
        end
      end

      // from the board
      silence <= ended && answer && bits_to_come == 0 ? silence + 256 : 0;
      if (bits_to_come == 0) begin
        if (!answer) begin
          bits_to_come <= 9;
          until_sample <= answer_ticks + answer_ticks / 2;
        end
      end else if (until_sample >= 256) until_sample <= until_sample - 256;
      else begin
        until_sample <= until_sample + answer_ticks - 256;
        bits_to_come <= bits_to_come - 1;
        heard <= {answer, heard[7:1]};
        if (bits_to_come == 1) begin
          taken <= taken + 1;
          $fwrite(out_file, "%h %h %h\n", heard, answer, 16'(leds));
        end
      end
      if (ended && silence > quiet * answer_ticks) begin
        done <= 1;
        $fflush;
      end
    end
endmodule
