// Behaviour of the Gowin multiplier of 18 x 18 bits as far as hdl/devices/gowin.py uses it: signed or unsigned on
// each side, optional registers at the inputs and the output.
module MULT18X18 #(
    parameter AREG = 0,
    parameter BREG = 0,
    parameter OUT_REG = 0,
    parameter PIPE_REG = 0,
    parameter ASIGN_REG = 0,
    parameter BSIGN_REG = 0,
    parameter SOA_REG = 0
) (
    input [17:0] A, B, SIA, SIB,
    input ASIGN, BSIGN, ASEL, BSEL, CE, CLK, RESET,
    output [35:0] DOUT
);
    reg [17:0] a_held = 0, b_held = 0;
    reg [35:0] held = 0;

    wire [17:0] a = AREG ? a_held : A, b = BREG ? b_held : B;
    wire signed [18:0] a_wide = {ASIGN & a[17], a}, b_wide = {BSIGN & b[17], b};
    wire signed [37:0] product = a_wide * b_wide;
    assign DOUT = OUT_REG ? held : product[35:0];

    always @(posedge CLK)
        if (RESET) begin
            a_held <= 0;
            b_held <= 0;
            held <= 0;
        end else if (CE) begin
            a_held <= A;
            b_held <= B;
            held <= product[35:0];
        end
endmodule
