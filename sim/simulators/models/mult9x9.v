// Behaviour of the Gowin multiplier of 9 x 9 bits as far as hdl/devices/gowin.py uses it.
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
    gowin_mult #(.WIDTH(9), .AREG(AREG), .BREG(BREG), .OUT_REG(OUT_REG)) model (
        .A(A), .B(B), .ASIGN(ASIGN), .BSIGN(BSIGN), .CE(CE), .CLK(CLK), .RESET(RESET), .DOUT(DOUT)
    );
endmodule
