/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Networks as data: what generated models do per step, through the kernels that tests/machines.py lists. One image a core. */
#include "tl_state.h"

typedef void shim_cell(int16_t *h_new, int16_t *second, const int16_t *h, const int16_t *x, const void *p);
typedef void shim_head(int32_t *y, const int16_t *h, const void *p);
extern shim_cell *const shim_cells[];
extern shim_head *const shim_heads[];

typedef struct shim_layer {
    const void *p;
    uint16_t kernel; /* index in shim_cells */
    uint16_t hidden;
    uint8_t has_c;
} shim_layer;

typedef struct shim_network {
    const shim_layer *layers; /* [count] */
    const void *head;
    const tl_input *inputs;   /* [raw_count] */
    const tl_output *outputs; /* [forecast_count] */
    int16_t *state;           /* per layer h (and c), then x */
    int16_t *next, *reset;    /* [widest layer] scratch */
    const int32_t *raw;       /* [steps][raw_count] */
    int32_t *forecast;        /* [steps][forecast_count] */
    uint8_t *saved;           /* [save_bytes] the last state as bytes */
    uint32_t *hashes;         /* [steps] the CRC-32 of each */
    uint32_t count, state_count, save_bytes;
    uint32_t before, steps; /* steps since reset, steps to make */
    uint16_t raw_count, forecast_count;
    uint16_t kernel; /* of the head: index in shim_heads */
    uint8_t model[8];
} shim_network;

void shim_run(const shim_network *p, uint32_t networks);

static const int16_t *cells(const shim_network *p, const int16_t *x)
{
    int16_t *h = p->state;
    for (const shim_layer *layer = p->layers; layer != p->layers + p->count; layer++) {
        const uint32_t n = layer->hidden;
        shim_cells[layer->kernel](p->next, layer->has_c ? h + n : p->reset, h, x, layer->p);
        tl_copy(h, p->next, n);
        x = h;
        h += layer->has_c ? 2u * n : n;
    }
    return x;
}

static uint32_t save(const shim_network *p, uint32_t steps)
{
    uint8_t *at = tl_state_begin(p->saved, p->model, steps, 0, 0);
    (void)tl_put_values(at, p->state, p->state_count);
    tl_state_end(p->saved, p->save_bytes - 4u);
    at = p->saved + p->save_bytes - 4u;
    return (uint32_t)tl_get16(at) | (uint32_t)tl_get16(at + 2) << 16;
}

/* Each network's `steps` raw samples through a stateful stream, which goes on from `state`. */
void shim_run(const shim_network *p, uint32_t networks)
{
    for (const shim_network *end = p + networks; p != end; p++) {
        int16_t *sample = p->state + p->state_count - p->raw_count;
        const int32_t *raw = p->raw;
        int32_t *forecast = p->forecast;
        for (uint32_t step = 0; step < p->steps; step++, raw += p->raw_count, forecast += p->forecast_count) {
            for (uint32_t j = 0; j < p->raw_count; j++) {
                sample[j] = tl_scale_in(raw[j], &p->inputs[j]);
            }
            shim_heads[p->kernel](forecast, cells(p, sample), p->head);
            for (uint32_t j = 0; j < p->forecast_count; j++) {
                forecast[j] = tl_scale_out(forecast[j], &p->outputs[j]);
            }
            p->hashes[step] = save(p, p->before + step + 1u);
        }
    }
}
