/* TestU01 on the words of mcgrad/compiler/noise.py, read in one of several orders. See README.md.

       gcc -O3 -march=native battery.c -o battery -ltestu01 -lm
       ./battery ORDER BITS BATTERY [FIRST [LAST]]

   ORDER   time, block, trajectory, seed, rollout, lanes, streams, corner: which address follows which
           (weak: a generator that should fail)
   BITS    upper, lower, both: which half of each word, or one after the other; upper-reversed, ...: bits in reverse order
   BATTERY words (print some), small, crush, big
   FIRST, LAST  the tests of a battery to run, from 1 on: to continue a long one

   One line for each statistic goes to file descriptor 3 if there is one, else to the standard error: p-value, name. A line of the
   worst ends it. TestU01's own reports go to the standard output. */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <TestU01.h>

/* ---- the generator, written anew from its definition -------------------------------------------------------- */

static uint64_t mix(uint64_t x, uint64_t key)
{
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u ^ key;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return x ^ (x >> 31);
}

static uint64_t word(uint64_t seed, uint64_t i, uint64_t t, uint64_t block)
{
    uint64_t y = mix(seed, 0x243F6A8885A308D3u) + i * 0x9E3779B97F4A7C15u;
    uint64_t x = mix(y, mix(seed, 0x13198A2E03707344u));
    return mix(x + t * 0xC13FA9A902A6328Fu + block * 0x91E10DA5C79E7B1Du, y);
}

/* ---- the order in which it is read: word number n of a stream ------------------------------------------------ */

enum { STEPS = 50, BLOCKS = 3, LANES = 16 };

static uint64_t along_time(uint64_t n) { return word(1, 2, n, 0); }
static uint64_t along_blocks(uint64_t n) { return word(1, 2, 3, n); }
static uint64_t along_trajectories(uint64_t n) { return word(1, n, 3, 0); }
static uint64_t along_seeds(uint64_t n) { return word(n, 2, 3, 0); }

/* Rollouts of 50 steps that draw 3 words each, one trajectory after the other. */
static uint64_t along_rollouts(uint64_t n)
{
    return word(7, n / (STEPS * BLOCKS), n / BLOCKS % STEPS, n % BLOCKS);
}

/* The same numbers in the order of a SIMD kernel: 16 trajectories side by side. */
static uint64_t along_lanes(uint64_t n)
{
    uint64_t lane = n % LANES, block = n / LANES % BLOCKS, t = n / (LANES * BLOCKS) % STEPS;
    return word(7, n / (LANES * BLOCKS * STEPS) * LANES + lane, t, block);
}

/* The 16 independent streams of each trajectory, at its start. */
static uint64_t along_streams(uint64_t n) { return word(1, (n / 16) + ((n % 16) << 60), 0xFFFFFFFFu, 0); }

/* A corner of the address: small seeds, few trajectories of each, few steps, few blocks. */
static uint64_t along_corner(uint64_t n) { return word(n / 64, n / 16 % 4, n / 4 % 4, n % 4); }

/* What the batteries should find: the last level without its second half. */
static uint64_t weak(uint64_t n)
{
    uint64_t x = mix(2, 1) + n * 0xC13FA9A902A6328Fu;
    return (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
}

typedef uint64_t (*Order)(uint64_t);
static const struct { const char *name; Order at; } ORDERS[] = {
    {"time", along_time}, {"block", along_blocks}, {"trajectory", along_trajectories}, {"seed", along_seeds},
    {"rollout", along_rollouts}, {"lanes", along_lanes}, {"streams", along_streams}, {"corner", along_corner},
    {"weak", weak},
};

/* ---- what TestU01 gets: 32 bits at a time -------------------------------------------------------------------- */

static Order order;
static uint64_t number;
static uint64_t kept;

static uint32_t reversed(uint32_t x)
{
    x = (x >> 1 & 0x55555555u) | (x & 0x55555555u) << 1;
    x = (x >> 2 & 0x33333333u) | (x & 0x33333333u) << 2;
    x = (x >> 4 & 0x0F0F0F0Fu) | (x & 0x0F0F0F0Fu) << 4;
    return __builtin_bswap32(x);
}

static unsigned int upper(void) { return order(number++) >> 32; }
static unsigned int lower(void) { return (uint32_t)order(number++); }
static unsigned int both(void)
{
    if (number++ % 2)
        return (uint32_t)kept;
    kept = order(number / 2);
    return kept >> 32;
}
static unsigned int upper_reversed(void) { return reversed(upper()); }
static unsigned int lower_reversed(void) { return reversed(lower()); }
static unsigned int both_reversed(void) { return reversed(both()); }

static const struct { const char *name; unsigned int (*next)(void); } BITS[] = {
    {"upper", upper}, {"lower", lower}, {"both", both},
    {"upper-reversed", upper_reversed}, {"lower-reversed", lower_reversed}, {"both-reversed", both_reversed},
};

/* ---- the batteries -------------------------------------------------------------------------------------------- */

static const struct { const char *name; int tests; void (*repeat)(unif01_Gen *, int[]); } BATTERIES[] = {
    {"small", 10, bbattery_RepeatSmallCrush}, {"crush", 96, bbattery_RepeatCrush}, {"big", 106, bbattery_RepeatBigCrush},
};

#define CHOOSE(table, wanted) choose(sizeof table / sizeof *table, (const char *)&table[0].name, sizeof *table, wanted)
static int choose(int count, const char *first, size_t stride, const char *name)
{
    for (int k = 0; k < count; k++)
        if (!strcmp(*(const char *const *)(first + k * stride), name))
            return k;
    fprintf(stderr, "unknown: %s\n", name);
    exit(2);
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        fprintf(stderr, "battery ORDER BITS BATTERY [FIRST [LAST]]\n");
        return 2;
    }
    order = ORDERS[CHOOSE(ORDERS, argv[1])].at;
    if (!strcmp(argv[3], "words")) { /* compared with Python by test_noise.py's known answers */
        for (int k = 0; k < 4; k++)
            printf("%016llx\n", (unsigned long long)order(k));
        return 0;
    }
    int battery = CHOOSE(BATTERIES, argv[3]);
    int first = argc > 4 ? atoi(argv[4]) : 1, last = argc > 5 ? atoi(argv[5]) : BATTERIES[battery].tests;
    swrite_Basic = FALSE;
    unif01_Gen *generator = unif01_CreateExternGenBits("mcgrad", BITS[CHOOSE(BITS, argv[2])].next);
    FILE *results = fdopen(3, "w"); /* TestU01 writes its own reports to the standard output */
    if (!results)
        results = stderr;
    int statistics = 0;
    double worst = 0.5;
    for (int k = first; k <= last; k++) {
        int repeat[200] = {0};
        repeat[k] = 1;
        BATTERIES[battery].repeat(generator, repeat);
        for (int j = 0; j < bbattery_NTests; j++) {
            double p = bbattery_pVal[j], tail = p < 0.5 ? p : 1 - p;
            fprintf(results, "%-10s %-15s %-6s %3d  %.3e  %s\n", argv[1], argv[2], argv[3], k, p, bbattery_TestNames[j]);
            fflush(results);
            worst = tail < worst ? tail : worst;
            statistics++;
        }
    }
    fprintf(results, "%-10s %-15s %-6s worst of %d: %.1e, words read: %.3g\n", argv[1], argv[2], argv[3], statistics, worst,
            (double)(strncmp(argv[2], "both", 4) ? number : number / 2));
    unif01_DeleteExternGenBits(generator);
    return 0;
}
