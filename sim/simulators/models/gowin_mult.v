// What the Gowin multipliers have in common: signed or unsigned on each side, optional registers at the inputs and
// the output.
module gowin_mult #(
    parameter WIDTH = 18,
    parameter AREG = 0,
    parameter BREG = 0,
    parameter OUT_REG = 0
) (
    input [WIDTH-1:0] A, B,
    input ASIGN, BSIGN, CE, CLK, RESET,
    output [2*WIDTH-1:0] DOUT
);
    reg [WIDTH-1:0] a_held = 0, b_held = 0;
    reg [2*WIDTH-1:0] held = 0;

    wire [WIDTH-1:0] a = AREG ? a_held : A, b = BREG ? b_held : B;
    wire signed [WIDTH:0] a_wide = {ASIGN & a[WIDTH-1], a}, b_wide = {BSIGN & b[WIDTH-1], b};
    wire signed [2*WIDTH+1:0] product = a_wide * b_wide;
    assign DOUT = OUT_REG ? held : product[2*WIDTH-1:0];

    always @(posedge CLK)
        if (RESET) begin
            a_held <= 0;
            b_held <= 0;
            held <= 0;
        end else if (CE) begin
            a_held <= A;
            b_held <= B;
            held <= product[2*WIDTH-1:0];
        end
endmodule
