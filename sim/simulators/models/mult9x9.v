// Behaviour of the Gowin multiplier of 9 x 9 bits as far as hdl/devices/gowin.py uses it: signed or unsigned on
// each side, optional registers at the inputs and the output.
module MULT9X9 #(
    parameter AREG = 0,
    parameter BREG = 0,
    parameter OUT_REG = 0,
    parameter PIPE_REG = 0,
    parameter ASIGN_REG = 0,
    parameter BSIGN_REG = 0,
    parameter SOA_REG = 0
) (
    input [8:0] A, B, SIA, SIB,
    input ASIGN, BSIGN, ASEL, BSEL, CE, CLK, RESET,
    output [17:0] DOUT
);
    reg [8:0] a_held = 0, b_held = 0;
    reg [17:0] held = 0;

    wire [8:0] a = AREG ? a_held : A, b = BREG ? b_held : B;
    wire signed [9:0] a_wide = {ASIGN & a[8], a}, b_wide = {BSIGN & b[8], b};
    wire signed [19:0] product = a_wide * b_wide;
    assign DOUT = OUT_REG ? held : product[17:0];

    always @(posedge CLK)
        if (RESET) begin
            a_held <= 0;
            b_held <= 0;
            held <= 0;
        end else if (CE) begin
            a_held <= A;
            b_held <= B;
            held <= product[17:0];
        end
endmodule
