// A board in front of its pins: the oscillator, the serial line, the button, and whoever is at the line's far end.
//
// One tick of clk is one cycle of the oscillator inside the board's PLL; all times are ticks, those of bits in
// 1/256 ticks. Two programs of use, told apart by the first argument:
//
//   script NUMERATOR DENOMINATOR BIT IN OUT QUIET   plays the file IN and writes what the board says to OUT
//   serve NUMERATOR DENOMINATOR BIT FD              the far end is the file descriptor FD; what goes on is told
//                                                   on the standard output
//
// NUMERATOR ticks are DENOMINATOR cycles of the board's oscillator; BIT is the length of a bit.
//
// IN is a row of 32-bit numbers, an operation in the upper 4 bits: 0 a byte (bit 8: without its stop bit), 1 a
// break of n bits, 2 the button (0 or 1), 3 the sender's bit length, 4 a pause of n bits, 5 waits until the board
// has been silent for n bits, 6 a mark. OUT is a row of `Record`s, a mark
// at its end. Numbers are little-endian.

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "Vtop.h"
#include "verilated.h"

double sc_time_stamp() { return 0; }

struct Record {
    uint32_t what;  // a byte (bit 8: its stop bit was missing), or MARK + n
    uint32_t leds;
    uint64_t tick;
};
static const uint32_t MARK = 6u << 28;

struct Pins {
    bool oscillator = false, rx = true, button = false;
};

// Moves bits to the board.
class Sender {
  public:
    uint64_t bit;
    explicit Sender(uint64_t bit) : bit(bit) {}
    bool busy() const { return left != 0 || wait >= 256; }
    // without its stop bit, the line comes back one bit later
    void byte(uint32_t value, bool stop) { start(value << 1 | (stop ? 0x200u : 0x400u), stop ? 10 : 11, true); }
    void level(bool high, uint32_t bits) { start(high ? ~0u : 0u, bits, high); }
    bool tick(bool line) {
        if (wait >= 256) {
            wait -= 256;
        } else if (left) {
            line = shift & 1;
            shift = shift >> 1 | (fill ? 1u << 31 : 0u);
            --left;
            wait += bit - 256;
        }
        return line;
    }

  private:
    uint64_t wait = 0;
    uint32_t shift = ~0u, left = 0;
    bool fill = true;
    void start(uint32_t bits, uint32_t count, bool high) {
        shift = bits;
        left = count;
        fill = high;
    }
};

// Takes bytes off the board's line.
class Listener {
  public:
    uint32_t value = 0;
    uint64_t silence = 0;  // ticks
    explicit Listener(uint64_t bit) : bit(bit) {}
    bool tick(bool line) {
        silence = line && !left ? silence + 1 : 0;
        if (!left) {
            if (line) return false;
            left = 9;
            value = 0;
            wait = bit + bit / 2;
        } else if (wait >= 256) {
            wait -= 256;
        } else {
            wait += bit - 256;
            --left;
            if (left) value |= uint32_t(line) << (8 - left);
            else value |= uint32_t(!line) << 8;
            return !left;
        }
        return false;
    }

  private:
    const uint64_t bit;
    uint64_t wait = 0;
    uint32_t left = 0;
};

class Board {
  public:
    Pins pins;
    uint64_t now = 0;
    Sender sender;
    Listener listener;
    Board(uint64_t numerator, uint64_t denominator, uint64_t bit)
        : sender(bit), listener(bit), numerator(numerator), denominator(denominator), top(new Vtop("")) {}
    ~Board() { top->final(); }
    uint32_t leds() const { return top->leds; }
    // One tick; true if a byte has come from the board.
    bool tick() {
        ++now;
        phase += denominator;
        if (phase >= numerator) phase -= numerator;
        top->oscillator = phase < numerator / 2;
        top->rx = pins.rx = sender.tick(pins.rx);
        top->button = pins.button;
        top->clk = 1;
        top->eval();
        top->clk = 0;
        top->eval();
        return listener.tick(top->tx);
    }

  private:
    const uint64_t numerator, denominator;
    uint64_t phase = 0;
    std::unique_ptr<Vtop> top;
};

static int fail(const char* what) {
    std::perror(what);
    return 1;
}

static int script(Board& board, const char* in_path, const char* out_path, uint64_t quiet) {
    FILE* in = std::fopen(in_path, "rb");
    if (!in) return fail(in_path);
    FILE* out = std::fopen(out_path, "wb");
    if (!out) return fail(out_path);
    const uint64_t bit = board.sender.bit;
    uint64_t until = 0;  // silence, ticks
    bool ended = false;
    auto put = [&](uint32_t what) {
        const Record record{what, board.leds(), board.now};
        std::fwrite(&record, sizeof record, 1, out);
    };
    for (;;) {
        while (!board.sender.busy()) {
            if (until) {
                if (board.listener.silence < until) break;
                until = 0;
                if (ended) break;
            }
            uint32_t item;
            if (std::fread(&item, sizeof item, 1, in) != 1) {
                ended = true;
                until = quiet * bit / 256;
                board.listener.silence = 0;
                break;
            }
            const uint32_t value = item & 0x0fffffff;
            switch (item >> 28) {
                case 0: board.sender.byte(value & 0xff, !(value >> 8)); break;
                case 1: board.sender.level(false, value); break;
                case 2: board.pins.button = value; break;
                case 3: board.sender.bit = value; break;
                case 4: board.sender.level(true, value); break;
                case 5:
                    until = value * bit / 256;
                    board.listener.silence = 0;
                    break;
                case 6: put(item); break;
                default: std::fprintf(stderr, "%08x is no item\n", item); return 1;
            }
        }
        if (ended && !until) break;
        if (board.tick()) put(board.listener.value);
    }
    put(MARK);
    std::fclose(in);
    return std::fclose(out) ? fail(out_path) : 0;
}

static volatile sig_atomic_t pressed = 0, stopped = 0;

using Clock = std::chrono::steady_clock;

static int serve(Board& board, int far) {
    const uint64_t look = 4096;                       // ticks between two looks at the far end while it is silent
    const auto report = std::chrono::milliseconds(200);
    const auto patience = std::chrono::seconds(10);  // for which an idle board runs at full speed
    const uint64_t press = 64 * board.sender.bit / 256;  // how long the button is held
    const uint64_t pause = 5000 * board.sender.bit / 256;  // a longer one ends a burst of bytes
    struct Burst {
        uint64_t bytes = 0, first = 0, last = 0;
    } burst, longest;
    uint64_t in = 0, out = 0, next_look = 0, released = 0;
    uint8_t buffer[64];  // no more than a USB packet
    ssize_t have = 0, place = 0;
    auto told = Clock::now() - report, used = Clock::now();
    auto tell = [&] {
        if (burst.bytes > longest.bytes) longest = burst;
        std::printf("%" PRIu64 " %" PRIu64 " %" PRIu64 " %x %" PRIu64 " %" PRIu64 "\n", board.now, in, out,
                    unsigned(board.leds()), longest.bytes, longest.last - longest.first);
        std::fflush(stdout);
    };
    while (!stopped) {
        if (!board.sender.busy()) {
            if (place < have) {
                if (board.now - burst.last > pause) {
                    if (burst.bytes > longest.bytes) longest = burst;
                    burst = Burst{0, board.now, 0};
                }
                board.sender.byte(buffer[place++], true);
                ++in;
                ++burst.bytes;
                burst.last = board.now + 10 * board.sender.bit / 256;
            } else if (board.now >= next_look || have > 0) {
                place = 0;
                have = read(far, buffer, sizeof buffer);
                next_look = board.now + look;
                const auto time = Clock::now();
                if (have > 0) used = time;
                if (time - told >= report) {
                    tell();
                    told = time;
                }
                if (time - used > patience && have <= 0) {
                    // nobody is there: the board goes on, but slowly
                    pollfd waiting{far, POLLIN, 0};
                    poll(&waiting, 1, 20);
                }
                if (have > 0) continue;
            }
        }
        if (pressed) {
            pressed = 0;
            board.pins.button = true;
            released = board.now + press;
        }
        if (board.pins.button && board.now >= released) board.pins.button = false;
        if (board.tick()) {
            const uint8_t byte = board.listener.value;
            // what nobody reads is lost, as on a serial line
            if (write(far, &byte, 1) == 1) ++out;
            used = Clock::now();
        }
    }
    tell();
    return 0;
}

int main(int argc, char** argv) {
    const std::vector<std::string> words(argv + 1, argv + argc);
    auto number = [&](size_t index) { return std::strtoull(words.at(index).c_str(), nullptr, 10); };
    if (words.size() < 5) return std::fputs("arguments are missing\n", stderr), 1;
    Board board(number(1), number(2), number(3));
    if (words[0] == "script" && words.size() == 7)
        return script(board, words[4].c_str(), words[5].c_str(), number(6));
    if (words[0] != "serve") return std::fputs("no such use\n", stderr), 1;
    const int far = int(number(4));
    fcntl(far, F_SETFL, fcntl(far, F_GETFL) | O_NONBLOCK);
    signal(SIGUSR1, [](int) { pressed = 1; });
    for (int end : {SIGTERM, SIGINT}) signal(end, [](int) { stopped = 1; });
    return serve(board, far);
}
