/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A plugin of QEMU that counts the instructions of every step, by function and by layer, for any core that QEMU runs.
   It is called at each entry of a translated block and adds the block's instructions to its function. An instruction
   whose condition or predicate fails counts as executed. Called as -plugin LIBRARY,table=FILE,out=FILE.
   table: addresses of tl_probe_begin and tl_probe_end (without the Thumb bit), the number of functions, the number of
   layers; per function, by address: start, end, its layers from .. behind, in the order in which a step calls it.
   out: a line `calls sum min max total`, then `cell FUNCTION LAYER INSTRUCTIONS` and `entries LAYER CALLS`, from 0. */
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What is used of qemu-plugin.h, which distributions seldom ship. */
struct qemu_plugin_tb;
TL_API extern int qemu_plugin_version;
TL_API int qemu_plugin_install(uint64_t id, const void *info, int argc, char **argv);
void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id, void (*call)(uint64_t id, struct qemu_plugin_tb *tb));
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *tb, void (*call)(unsigned cpu, void *user), int flags,
                                          void *user);
void qemu_plugin_register_atexit_cb(uint64_t id, void (*call)(uint64_t id, void *user), void *user);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *tb);

int qemu_plugin_version = TL_QEMU_API;

typedef struct {
    uint64_t start, end;
    uint32_t first, behind; /* its layers */
    uint32_t next;          /* the layer of its next call */
} function;

typedef struct {
    uint64_t address, instructions;
    uint32_t function;
} block;

static struct {
    FILE *out;
    uint64_t begin, end;
    function *functions;
    uint32_t function_count, layers;
    uint64_t *cells;   /* [functions + 1][layers + 1] of the region; the last function has no symbol; layer 0: none */
    uint64_t *entries; /* [layers + 1] */
    uint64_t total, entered, calls, sum, min, max;
    uint32_t before, caller; /* functions: of the block before this one, of the call of the layer */
    uint32_t layer;          /* that runs, from 1; 0: none */
    bool inside;             /* between tl_probe_begin and tl_probe_end */
} count;

static void open_region(void) {
    count.inside = true;
    count.entered = count.total;
    count.layer = 0;
    for (uint32_t k = 0; k < count.function_count; k++) {
        count.functions[k].next = count.functions[k].first;
    }
}

static void close_region(void) {
    uint64_t steps = count.total - count.entered;
    count.min = count.calls == 0 || steps < count.min ? steps : count.min;
    count.max = steps > count.max ? steps : count.max;
    count.sum += steps;
    count.calls++;
    count.inside = false;
}

/* A layer lasts from the entry of its kernel until its caller runs again. */
static void follow_layer(const block *b) {
    if (count.layer != 0 && b->function == count.caller) {
        count.layer = 0;
    }
    function *f = &count.functions[b->function];
    if (count.layer == 0 && b->function < count.function_count && b->address == f->start && f->first != f->behind) {
        count.layer = 1 + f->next;
        f->next = f->next + 1 == f->behind ? f->first : f->next + 1;
        count.caller = count.before;
        count.entries[count.layer]++;
    }
}

static void run_block(unsigned cpu, void *user) {
    const block *b = user;
    if (cpu != 0) { /* the other cores of a board sleep, or spin: none of it is the model's */
        return;
    }
    if (count.inside && b->address == count.end) {
        close_region();
    }
    count.total += b->instructions;
    if (count.inside) {
        follow_layer(b);
        count.cells[b->function * (count.layers + 1) + count.layer] += b->instructions;
    }
    if (b->address == count.begin) { /* behind the count: the return of tl_probe_begin is not the model's */
        open_region();
    }
    count.before = b->function;
}

static uint32_t function_at(uint64_t address) {
    for (uint32_t k = 0; k < count.function_count; k++) {
        if (address >= count.functions[k].start && address < count.functions[k].end) {
            return k;
        }
    }
    return count.function_count;
}

static void see_block(uint64_t id, struct qemu_plugin_tb *tb) {
    block *b = malloc(sizeof *b); /* as long as QEMU keeps the block, which it does not tell */
    (void)id;
    if (b == NULL) {
        abort();
    }
    b->address = qemu_plugin_tb_vaddr(tb);
    b->instructions = qemu_plugin_tb_n_insns(tb);
    b->function = function_at(b->address);
    qemu_plugin_register_vcpu_tb_exec_cb(tb, run_block, 0, b);
}

static void finish(uint64_t id, void *user) {
    (void)id;
    (void)user;
    fprintf(count.out, "%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", count.calls, count.sum,
            count.min, count.max, count.total);
    for (uint32_t k = 0; k <= count.function_count; k++) {
        for (uint32_t layer = 0; layer <= count.layers; layer++) {
            uint64_t cell = count.cells[k * (count.layers + 1) + layer];
            if (cell != 0) {
                fprintf(count.out, "cell %" PRIu32 " %" PRIu32 " %" PRIu64 "\n", k, layer, cell);
            }
        }
    }
    for (uint32_t layer = 1; layer <= count.layers; layer++) {
        fprintf(count.out, "entries %" PRIu32 " %" PRIu64 "\n", layer, count.entries[layer]);
    }
    fclose(count.out);
}

static bool read_table(const char *path) {
    FILE *f = fopen(path, "r");
    bool good = f != NULL && fscanf(f, "%" SCNu64 " %" SCNu64 " %" SCNu32 " %" SCNu32, &count.begin, &count.end,
                                    &count.function_count, &count.layers) == 4;
    if (good) {
        count.functions = calloc(count.function_count + 1, sizeof *count.functions);
        count.cells = calloc((size_t)(count.function_count + 1) * (count.layers + 1), sizeof *count.cells);
        count.entries = calloc(count.layers + 1, sizeof *count.entries);
        good = count.functions != NULL && count.cells != NULL && count.entries != NULL;
    }
    for (uint32_t k = 0; good && k < count.function_count; k++) {
        function *at = &count.functions[k];
        good = fscanf(f, "%" SCNu64 " %" SCNu64 " %" SCNu32 " %" SCNu32, &at->start, &at->end, &at->first,
                      &at->behind) == 4;
    }
    if (f != NULL) {
        fclose(f);
    }
    return good;
}

TL_API int qemu_plugin_install(uint64_t id, const void *info, int argc, char **argv) {
    bool table = false;
    (void)info;
    for (int k = 0; k < argc; k++) {
        if (strncmp(argv[k], "table=", 6) == 0) {
            table = read_table(argv[k] + 6);
        } else if (strncmp(argv[k], "out=", 4) == 0) {
            count.out = fopen(argv[k] + 4, "w");
        }
    }
    if (!table || count.out == NULL) {
        return -1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, see_block);
    qemu_plugin_register_atexit_cb(id, finish, NULL);
    return 0;
}
