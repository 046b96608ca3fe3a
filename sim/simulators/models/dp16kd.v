// Behaviour of the Lattice ECP5 block RAM (Lattice FPGA-TN-02204, memory usage guide), as hdl/devices/ecp5.py uses it and
// as yosys maps memories to it: 1,024 words of 18 bits; ports of 1, 2, 4, 9 or 18 bits, or 36 bits that are
// written through port A with the data of both and read through port B into the outputs of both.
//
// What the chip leaves undefined, a bit read at one port while the other writes it, comes out inverted: so a
// netlist that relies on it is a wrong one. An asynchronous reset stops the simulation.
module DP16KD #(
    parameter [319:0] INITVAL_00 = 0,
    parameter [319:0] INITVAL_01 = 0,
    parameter [319:0] INITVAL_02 = 0,
    parameter [319:0] INITVAL_03 = 0,
    parameter [319:0] INITVAL_04 = 0,
    parameter [319:0] INITVAL_05 = 0,
    parameter [319:0] INITVAL_06 = 0,
    parameter [319:0] INITVAL_07 = 0,
    parameter [319:0] INITVAL_08 = 0,
    parameter [319:0] INITVAL_09 = 0,
    parameter [319:0] INITVAL_0A = 0,
    parameter [319:0] INITVAL_0B = 0,
    parameter [319:0] INITVAL_0C = 0,
    parameter [319:0] INITVAL_0D = 0,
    parameter [319:0] INITVAL_0E = 0,
    parameter [319:0] INITVAL_0F = 0,
    parameter [319:0] INITVAL_10 = 0,
    parameter [319:0] INITVAL_11 = 0,
    parameter [319:0] INITVAL_12 = 0,
    parameter [319:0] INITVAL_13 = 0,
    parameter [319:0] INITVAL_14 = 0,
    parameter [319:0] INITVAL_15 = 0,
    parameter [319:0] INITVAL_16 = 0,
    parameter [319:0] INITVAL_17 = 0,
    parameter [319:0] INITVAL_18 = 0,
    parameter [319:0] INITVAL_19 = 0,
    parameter [319:0] INITVAL_1A = 0,
    parameter [319:0] INITVAL_1B = 0,
    parameter [319:0] INITVAL_1C = 0,
    parameter [319:0] INITVAL_1D = 0,
    parameter [319:0] INITVAL_1E = 0,
    parameter [319:0] INITVAL_1F = 0,
    parameter [319:0] INITVAL_20 = 0,
    parameter [319:0] INITVAL_21 = 0,
    parameter [319:0] INITVAL_22 = 0,
    parameter [319:0] INITVAL_23 = 0,
    parameter [319:0] INITVAL_24 = 0,
    parameter [319:0] INITVAL_25 = 0,
    parameter [319:0] INITVAL_26 = 0,
    parameter [319:0] INITVAL_27 = 0,
    parameter [319:0] INITVAL_28 = 0,
    parameter [319:0] INITVAL_29 = 0,
    parameter [319:0] INITVAL_2A = 0,
    parameter [319:0] INITVAL_2B = 0,
    parameter [319:0] INITVAL_2C = 0,
    parameter [319:0] INITVAL_2D = 0,
    parameter [319:0] INITVAL_2E = 0,
    parameter [319:0] INITVAL_2F = 0,
    parameter [319:0] INITVAL_30 = 0,
    parameter [319:0] INITVAL_31 = 0,
    parameter [319:0] INITVAL_32 = 0,
    parameter [319:0] INITVAL_33 = 0,
    parameter [319:0] INITVAL_34 = 0,
    parameter [319:0] INITVAL_35 = 0,
    parameter [319:0] INITVAL_36 = 0,
    parameter [319:0] INITVAL_37 = 0,
    parameter [319:0] INITVAL_38 = 0,
    parameter [319:0] INITVAL_39 = 0,
    parameter [319:0] INITVAL_3A = 0,
    parameter [319:0] INITVAL_3B = 0,
    parameter [319:0] INITVAL_3C = 0,
    parameter [319:0] INITVAL_3D = 0,
    parameter [319:0] INITVAL_3E = 0,
    parameter [319:0] INITVAL_3F = 0,
    parameter DATA_WIDTH_A = 18,
    parameter DATA_WIDTH_B = 18,
    parameter REGMODE_A = "NOREG",
    parameter REGMODE_B = "NOREG",
    parameter CSDECODE_A = "0b000",
    parameter CSDECODE_B = "0b000",
    parameter WRITEMODE_A = "NORMAL",
    parameter WRITEMODE_B = "NORMAL",
    parameter CLKAMUX = "CLKA",
    parameter CLKBMUX = "CLKB",
    parameter RESETMODE = "SYNC",
    parameter ASYNC_RESET_RELEASE = "SYNC",
    parameter GSR = "AUTO"
) (
    input CLKA, CEA, OCEA, WEA, RSTA, CSA0, CSA1, CSA2,
    input ADA0, ADA1, ADA2, ADA3, ADA4, ADA5, ADA6, ADA7, ADA8, ADA9, ADA10, ADA11, ADA12, ADA13,
    input DIA0, DIA1, DIA2, DIA3, DIA4, DIA5, DIA6, DIA7, DIA8, DIA9, DIA10, DIA11, DIA12, DIA13, DIA14,
        DIA15, DIA16, DIA17,
    output DOA0, DOA1, DOA2, DOA3, DOA4, DOA5, DOA6, DOA7, DOA8, DOA9, DOA10, DOA11, DOA12, DOA13,
        DOA14, DOA15, DOA16, DOA17,
    input CLKB, CEB, OCEB, WEB, RSTB, CSB0, CSB1, CSB2,
    input ADB0, ADB1, ADB2, ADB3, ADB4, ADB5, ADB6, ADB7, ADB8, ADB9, ADB10, ADB11, ADB12, ADB13,
    input DIB0, DIB1, DIB2, DIB3, DIB4, DIB5, DIB6, DIB7, DIB8, DIB9, DIB10, DIB11, DIB12, DIB13, DIB14,
        DIB15, DIB16, DIB17,
    output DOB0, DOB1, DOB2, DOB3, DOB4, DOB5, DOB6, DOB7, DOB8, DOB9, DOB10, DOB11, DOB12, DOB13,
        DOB14, DOB15, DOB16, DOB17
);
    reg [17:0] words [0:1023];
    reg [17:0] read_a = 0, read_b = 0, read_low = 0, out_a = 0, out_b = 0, out_low = 0;
    localparam WIDE = DATA_WIDTH_B == 36;

    wire [13:0] address_a = {ADA13, ADA12, ADA11, ADA10, ADA9, ADA8, ADA7, ADA6, ADA5, ADA4, ADA3, ADA2,
        ADA1, ADA0};
    wire [13:0] address_b = {ADB13, ADB12, ADB11, ADB10, ADB9, ADB8, ADB7, ADB6, ADB5, ADB4, ADB3, ADB2,
        ADB1, ADB0};
    wire [17:0] data_a = {DIA17, DIA16, DIA15, DIA14, DIA13, DIA12, DIA11, DIA10, DIA9, DIA8, DIA7, DIA6,
        DIA5, DIA4, DIA3, DIA2, DIA1, DIA0};
    wire [17:0] data_b = {DIB17, DIB16, DIB15, DIB14, DIB13, DIB12, DIB11, DIB10, DIB9, DIB8, DIB7, DIB6,
        DIB5, DIB4, DIB3, DIB2, DIB1, DIB0};
    assign {DOA17, DOA16, DOA15, DOA14, DOA13, DOA12, DOA11, DOA10, DOA9, DOA8, DOA7, DOA6, DOA5, DOA4,
        DOA3, DOA2, DOA1, DOA0} = WIDE ? (REGMODE_B == "OUTREG" ? out_low : read_low)
                                       : (REGMODE_A == "OUTREG" ? out_a : read_a);
    assign {DOB17, DOB16, DOB15, DOB14, DOB13, DOB12, DOB11, DOB10, DOB9, DOB8, DOB7, DOB6, DOB5, DOB4,
        DOB3, DOB2, DOB1, DOB0} = REGMODE_B == "OUTREG" ? out_b : read_b;

    // lowest bit of a narrow value in its word: two bytes of 9 bits, of which narrower values use 8
    function [4:0] place(input integer width, input [13:0] address);
        case (width)
            1: place = 9 * address[3] + address[2:0];
            2: place = 9 * address[3] + {address[2:1], 1'b0};
            4: place = 9 * address[3] + {address[2], 2'b00};
            9: place = 9 * address[3];
            default: place = 0;
        endcase
    endfunction

    // bits of a word that a write touches; where words are 18 bits wide or more, address bits choose bytes
    function [17:0] touched(input integer width, input [13:0] address, input [9:0] word);
        if (width == 36)
            touched = address[13:5] != word[9:1] ? 18'd0
                    : word[0] ? {{9{address[3]}}, {9{address[2]}}} : {{9{address[1]}}, {9{address[0]}}};
        else if (address[13:4] != word) touched = 0;
        else if (width == 18) touched = {{9{address[1]}}, {9{address[0]}}};
        else touched = ((18'd1 << width) - 18'd1) << place(width, address);
    endfunction

    localparam [64 * 320 - 1 : 0] CONTENTS = {INITVAL_3F, INITVAL_3E, INITVAL_3D, INITVAL_3C, INITVAL_3B,
        INITVAL_3A, INITVAL_39, INITVAL_38, INITVAL_37, INITVAL_36, INITVAL_35, INITVAL_34, INITVAL_33,
        INITVAL_32, INITVAL_31, INITVAL_30, INITVAL_2F, INITVAL_2E, INITVAL_2D, INITVAL_2C, INITVAL_2B,
        INITVAL_2A, INITVAL_29, INITVAL_28, INITVAL_27, INITVAL_26, INITVAL_25, INITVAL_24, INITVAL_23,
        INITVAL_22, INITVAL_21, INITVAL_20, INITVAL_1F, INITVAL_1E, INITVAL_1D, INITVAL_1C, INITVAL_1B,
        INITVAL_1A, INITVAL_19, INITVAL_18, INITVAL_17, INITVAL_16, INITVAL_15, INITVAL_14, INITVAL_13,
        INITVAL_12, INITVAL_11, INITVAL_10, INITVAL_0F, INITVAL_0E, INITVAL_0D, INITVAL_0C, INITVAL_0B,
        INITVAL_0A, INITVAL_09, INITVAL_08, INITVAL_07, INITVAL_06, INITVAL_05, INITVAL_04, INITVAL_03,
        INITVAL_02, INITVAL_01, INITVAL_00};
    integer n;
    initial for (n = 0; n < 1024; n = n + 1) words[n] = CONTENTS[20 * n +: 18];

    wire writes_a = CEA && WEA, writes_b = CEB && WEB;
    wire [9:0] word_a = address_a[13:4], word_b = WIDE ? {address_b[13:5], 1'b1} : address_b[13:4];
    wire [9:0] word_low = {address_b[13:5], 1'b0};
    wire [9:0] high_a = {address_a[13:5], 1'b1}, low_a = {address_a[13:5], 1'b0};
    wire [17:0] mask_a = touched(DATA_WIDTH_A, address_a, word_a);
    wire [17:0] mask_b = touched(DATA_WIDTH_B, address_b, word_b);
    wire [17:0] next_a = (words[word_a] & ~mask_a) | ((data_a << place(DATA_WIDTH_A, address_a)) & mask_a);
    wire [17:0] next_b = (words[word_b] & ~mask_b) | ((data_b << place(DATA_WIDTH_B, address_b)) & mask_b);
    // of the word that is read at one port, what the other writes
    wire [17:0] clash_a = writes_b && !WIDE ? touched(DATA_WIDTH_B, address_b, word_a) : 18'd0;
    wire [17:0] clash_b = writes_a ? touched(DATA_WIDTH_A, address_a, word_b) : 18'd0;
    wire [17:0] clash_low = writes_a ? touched(DATA_WIDTH_A, address_a, word_low) : 18'd0;
    wire [17:0] seen_a = (writes_a && WRITEMODE_A == "WRITETHROUGH" ? next_a : words[word_a]) ^ clash_a;
    wire [17:0] seen_b = (writes_b && WRITEMODE_B == "WRITETHROUGH" ? next_b : words[word_b]) ^ clash_b;

    always @(posedge CLKA) begin
        if (RSTA && RESETMODE != "SYNC") $fatal(1, "DP16KD: this model has no asynchronous reset");
        if (writes_a && DATA_WIDTH_A == 36) begin
            words[low_a] <= (words[low_a] & ~touched(36, address_a, low_a))
                | (data_a & touched(36, address_a, low_a));
            words[high_a] <= (words[high_a] & ~touched(36, address_a, high_a))
                | (data_b & touched(36, address_a, high_a));
        end else if (writes_a) words[word_a] <= next_a;
        if (CEA && !(WEA && WRITEMODE_A == "NORMAL")) read_a <= seen_a >> place(DATA_WIDTH_A, address_a);
        if (OCEA) out_a <= read_a;
        if (RSTA) {read_a, out_a} <= 0;
    end

    always @(posedge CLKB) begin
        if (RSTB && RESETMODE != "SYNC") $fatal(1, "DP16KD: this model has no asynchronous reset");
        if (writes_b && WIDE) $fatal(1, "DP16KD: 36 bits are written through port A");
        if (writes_b) words[word_b] <= next_b;
        if (CEB && !(WEB && WRITEMODE_B == "NORMAL")) begin
            read_b <= seen_b >> place(DATA_WIDTH_B, address_b);
            read_low <= words[word_low] ^ clash_low;
        end
        if (OCEB) {out_b, out_low} <= {read_b, read_low};
        if (RSTB) {read_b, out_b, read_low, out_low} <= 0;
    end
endmodule
