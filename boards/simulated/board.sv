// Round a board's top: what boards/simulated/board.cpp drives. Models of PLLs count the ticks of bench.clk.
module bench #(
    parameter LEDS = 8
) (
    input clk, oscillator, button, rx,
    output tx,
    output [LEDS-1:0] leds
);
  board board (.oscillator(oscillator), .button(button), .rx(rx), .tx(tx), .leds(leds));
endmodule
