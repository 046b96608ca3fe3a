// The simulator's main program, in place of cocotb's own: that one asks Python's side for events after every
// half clock, this one makes the clock itself and runs it until someone waits for that time or `done` rises.
// Two units of time are one clock.

#include <algorithm>
#include <csignal>
#include <memory>

#include "Vtop.h"
#include "verilated.h"
#include "verilated_vpi.h"

static vluint64_t now = 0;
static const vluint64_t NOBODY = ~0ULL;
static const vluint64_t STRETCH = 1 << 17;

double sc_time_stamp() { return now; }

extern "C" void vlog_startup_routines_bootstrap(void);

static void changed() {
    while (VerilatedVpi::callValueCbs()) {}
}

int main(int argc, char** argv) {
    Verilated::commandArgs(argc, argv);
    Verilated::fatalOnVpiError(false);
    std::unique_ptr<Vtop> top(new Vtop(""));
    vlog_startup_routines_bootstrap();
    VerilatedVpi::callCbs(cbStartOfSimulation);
    changed();
    // Python would only note an interrupt down, and not look before the end
    std::signal(SIGINT, SIG_DFL);
    while (!Verilated::gotFinish()) {
        do {
            do {
                top->eval();
                VerilatedVpi::clearEvalNeeded();
                VerilatedVpi::doInertialPuts();
                changed();
            } while (VerilatedVpi::evalNeeded());
            VerilatedVpi::callCbs(cbReadWriteSynch);
            VerilatedVpi::doInertialPuts();
            changed();
        } while (VerilatedVpi::evalNeeded());
        VerilatedVpi::callCbs(cbReadOnlySynch);

        const vluint64_t wanted = VerilatedVpi::cbNextDeadline();
        if (top->done && wanted == NOBODY) break;
        const vluint64_t end = wanted == NOBODY ? now + STRETCH : wanted;
        while (now + 2 <= end && !top->done) {
            top->clk = 1;
            top->eval();
            top->clk = 0;
            top->eval();
            now += 2;
        }
        if (top->done && wanted != NOBODY) now = std::max(now, wanted);
        VerilatedVpi::callCbs(cbNextSimTime);
        changed();
        VerilatedVpi::callTimedCbs();
        changed();
    }
    top->final();
    VerilatedVpi::callCbs(cbEndOfSimulation);
    return Verilated::threadContextp()->errorCount() > 0;
}
