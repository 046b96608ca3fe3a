// bench.sv once more, round a design in CXXRTL: moves whole files of beats, with the same stalls at the same
// cycles, the same rules watched, the same files written. Arguments are +NAME=VALUE, as bench.sv's plusargs.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "top.cpp"

typedef std::vector<uint8_t> Bytes;  // most significant first

// A port of the design; one that the design has not is nothing to write and reads as a constant.
struct Port {
    std::vector<cxxrtl::debug_item> parts;
    uint64_t constant;
    Port(const cxxrtl::debug_items& items, const std::string& name, uint64_t constant = 0) : constant(constant) {
        if (items.count(name)) parts = items.at(name);
    }
    size_t bits() const { return parts.empty() ? 1 : parts.back().lsb_at + parts.back().width; }
    uint32_t* word(size_t bit, bool write, size_t& at) const {
        for (const cxxrtl::debug_item& part : parts)
            if (bit >= part.lsb_at && bit < part.lsb_at + part.width) {
                at = bit - part.lsb_at;
                return (write ? part.next : part.curr) + at / 32;
            }
        return nullptr;
    }
    bool bit(size_t index) const {
        size_t at;
        const uint32_t* from = word(index, false, at);
        return from ? *from >> at % 32 & 1 : constant >> index & 1;
    }
    void set(size_t index, bool value) const {
        size_t at;
        uint32_t* to = word(index, true, at);
        if (to) *to = (*to & ~(1u << at % 32)) | uint32_t(value) << at % 32;
    }
    Bytes read(size_t size) const {
        Bytes bytes(size);
        for (size_t index = 0; index < bits(); index++) bytes[size - 1 - index / 8] |= bit(index) << index % 8;
        return bytes;
    }
    void write(const Bytes& bytes) const {
        for (size_t index = 0; index < bits() && index / 8 < bytes.size(); index++)
            set(index, bytes[bytes.size() - 1 - index / 8] >> index % 8 & 1);
    }
};

static std::map<std::string, std::string> settings;
static uint64_t number(const char* name) { return std::strtoull(settings.at(name).c_str(), nullptr, 10); }

static FILE* opened(const char* name, const char* mode) {
    FILE* file = std::fopen(settings.at(name).c_str(), mode);
    if (!file) std::exit(5);
    return file;
}

static uint32_t xorshift(uint32_t x) {
    x ^= x << 13;
    x ^= x >> 17;
    return x ^ x << 5;
}

static uint32_t stall(uint32_t x, uint32_t bits) { return (x >> 8) & ((1u << (x & 255) % (bits + 1)) - 1); }

static void hex(FILE* file, const Bytes& bytes) {
    for (uint8_t byte : bytes) std::fprintf(file, "%02x", byte);
}

int main(int argc, char** argv) {
    for (int index = 1; index < argc; index++) {
        const std::string word(argv[index] + 1);
        settings[word.substr(0, word.find('='))] = word.substr(word.find('=') + 1);
    }
    enum { NONE, FELL, CHANGED, HANGS, EXTRA, FILES };
    const uint64_t n_in = number("n_in"), n_out = number("n_out"), frame = number("frame");
    const uint64_t patience = number("patience"), quiet = number("quiet");
    const uint32_t seed = number("seed"), p_in = number("p_in"), p_out = number("p_out");
    const uint32_t log_in = number("log_in"), log_out = number("log_out");
    FILE *in = opened("in", "rb"), *out = opened("out", "w"), *times = opened("times", "w");

    cxxrtl_design::p_top top;
    cxxrtl::debug_items items;
    top.debug_info(&items, nullptr, "");
    const Port clk(items, "clk"), rst(items, "rst");
    const Port in_payload(items, "i__payload"), in_valid(items, "i__valid"), in_ready(items, "i__ready", 1);
    const Port out_payload(items, "o__payload"), out_valid(items, "o__valid", 1), out_ready(items, "o__ready");
    const size_t in_bytes = (number("in_bits") + 7) / 8, out_bytes = (number("out_bits") + 7) / 8;

    uint32_t random_in = seed * 2654435769u ^ 1u, random_out = seed * 2246822519u ^ 0x80000000u;
    if (!random_in) random_in = 1;
    if (!random_out) random_out = 1;
    uint64_t cycle = 0, given = 0, taken = 0, offered = 0, position = 0, idle = 0;
    uint32_t wait_in = number("settle"), wait_out = 0;
    bool valid = false, ready = false, held = false, done = false;
    int resetting = 4, fault = NONE;
    Bytes payload(in_bytes), held_payload, raw(in_bytes);

    while (!done) {
        // what the clock's edge will see
        rst.set(0, resetting != 0);
        in_payload.write(payload);
        in_valid.set(0, valid);
        out_ready.set(0, ready);
        clk.set(0, false);
        top.step();
        const bool in_moves = valid && in_ready.bit(0), offers = out_valid.bit(0), out_moves = offers && ready;
        const bool free = !valid || in_ready.bit(0);
        const Bytes shown = offers ? out_payload.read(out_bytes) : Bytes();
        clk.set(0, true);
        top.step();
        if (resetting) {
            --resetting;
            continue;
        }

        const uint32_t was_in = random_in, was_out = random_out;
        const uint64_t had_given = given, had_taken = taken, had_idle = idle;
        random_in = xorshift(was_in);
        random_out = xorshift(was_out);
        if (free) {
            valid = false;
            for (size_t index = 0; index < in_bytes; index++)
                payload[in_bytes - 1 - index] = was_in >> 8 * (index % 4);
            if (wait_in) --wait_in;
            else if (was_in >> 16 < p_in) wait_in = stall(was_out, log_in);
            else if (offered != n_in) {
                if (std::fread(raw.data(), 1, in_bytes, in) != in_bytes) {
                    fault = FILES;
                    done = true;
                }
                payload = raw;
                valid = true;
                ++offered;
            }
        }
        if (in_moves) {
            ++given;
            if (position == 0 || position + 1 == frame) std::fprintf(times, "%016llx\n", (unsigned long long)cycle);
            position = position + 1 == frame ? 0 : position + 1;
        }
        const bool was_ready = ready;
        if (wait_out) {
            --wait_out;
            ready = false;
        } else if (was_out >> 16 < p_out) {
            wait_out = stall(was_in, log_out);
            ready = false;
        } else ready = true;
        if (out_moves) {
            ++taken;
            std::fprintf(out, "%016llx", (unsigned long long)cycle);
            hex(out, shown);
            std::fprintf(out, "\n");
        }
        ++cycle;
        idle = in_moves || out_moves ? 0 : idle + 1;
        const int why = held && !offers                       ? FELL
                        : held && shown != held_payload       ? CHANGED
                        : offers && had_taken == n_out        ? EXTRA
                        : had_idle >= patience                ? HANGS
                                                              : NONE;
        const bool ends = had_given == n_in && had_taken == n_out && had_idle >= quiet;
        if (why != NONE || ends) {
            fault = ends && why == HANGS ? NONE : why;
            done = true;
        }
        held = offers && !was_ready;
        held_payload = shown;
    }
    top.step();
    FILE* result = opened("result", "w");
    std::fprintf(result, "{\"fault\": %d, \"cycle\": %llu, \"given\": %llu, \"taken\": %llu", fault,
                 (unsigned long long)cycle, (unsigned long long)given, (unsigned long long)taken);
    // the component's further outputs, each by its name
    for (const auto& setting : settings)
        if (setting.first.compare(0, 6, "other_") == 0) {
            const Port port(items, setting.first.substr(6));
            std::fprintf(result, ", \"%s\": \"", setting.first.c_str());
            hex(result, port.read((port.bits() + 7) / 8));
            std::fprintf(result, "\"");
        }
    std::fprintf(result, "}\n");
    for (FILE* file : {in, out, times, result}) std::fclose(file);
}
