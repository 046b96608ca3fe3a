// Behaviour of the Lattice iCE40 UltraPlus multiplier as far as hdl/devices/ice40.py uses it: one product of 16 x 16
// bits or two of 8 x 8, signed or unsigned on each side, optional registers before and behind it.
module SB_MAC16 #(
    parameter A_REG = 0,
    parameter B_REG = 0,
    parameter A_SIGNED = 0,
    parameter B_SIGNED = 0,
    parameter MODE_8x8 = 0,
    parameter TOP_8x8_MULT_REG = 0,
    parameter BOT_8x8_MULT_REG = 0,
    parameter PIPELINE_16x16_MULT_REG2 = 0,
    parameter [1:0] TOPOUTPUT_SELECT = 0,
    parameter [1:0] BOTOUTPUT_SELECT = 0
) (
    input CLK, CE,
    input [15:0] A, B, C, D,
    input AHOLD, BHOLD, CHOLD, DHOLD,
    input IRSTTOP, IRSTBOT, ORSTTOP, ORSTBOT, OLOADTOP, OLOADBOT, ADDSUBTOP, ADDSUBBOT, OHOLDTOP, OHOLDBOT,
    input CI, ACCUMCI, SIGNEXTIN,
    output [31:0] O
);
    reg [15:0] a_held = 0, b_held = 0, top_held = 0, bottom_held = 0;
    reg [31:0] whole_held = 0;

    wire [15:0] a = A_REG ? a_held : A, b = B_REG ? b_held : B;
    wire signed [8:0] a_top = {A_SIGNED[0] & a[15], a[15:8]}, b_top = {B_SIGNED[0] & b[15], b[15:8]};
    wire signed [8:0] a_bottom = {A_SIGNED[0] & a[7], a[7:0]}, b_bottom = {B_SIGNED[0] & b[7], b[7:0]};
    wire signed [16:0] a_whole = {A_SIGNED[0] & a[15], a}, b_whole = {B_SIGNED[0] & b[15], b};
    wire signed [17:0] top = a_top * b_top, bottom = a_bottom * b_bottom;
    wire signed [33:0] whole = a_whole * b_whole;

    wire [31:0] one = PIPELINE_16x16_MULT_REG2 ? whole_held : whole[31:0];
    wire [15:0] above = TOP_8x8_MULT_REG ? top_held : top[15:0];
    wire [15:0] below = BOT_8x8_MULT_REG ? bottom_held : bottom[15:0];
    // Selections 0 and 1 are the adder's, which nobody uses.
    assign O[31:16] = TOPOUTPUT_SELECT == 3 ? one[31:16] : TOPOUTPUT_SELECT == 2 ? above : 16'bx;
    assign O[15:0] = BOTOUTPUT_SELECT == 3 ? one[15:0] : BOTOUTPUT_SELECT == 2 ? below : 16'bx;

    always @(posedge CLK) begin
        if (IRSTTOP) begin
            a_held <= 0;
            top_held <= 0;
        end else if (CE) begin
            if (!AHOLD) a_held <= A;
            top_held <= top[15:0];
        end
        if (IRSTBOT) begin
            b_held <= 0;
            bottom_held <= 0;
            whole_held <= 0;
        end else if (CE) begin
            if (!BHOLD) b_held <= B;
            bottom_held <= bottom[15:0];
            whole_held <= whole[31:0];
        end
    end
endmodule
