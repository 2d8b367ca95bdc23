/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Networks as data: what generated models do per step, through the kernels that tests/machines.py lists. One image a core. */
#include "tl_state.h"
#include "tl_w8a8.h"

typedef void shim_cell(void *h_new, int16_t *second, const void *h, const void *x, const void *p);
typedef void shim_head(int32_t *y, const void *h, const void *p);
extern shim_cell *const shim_cells[];
extern shim_head *const shim_heads[];

typedef struct shim_layer {
    const void *p;
    void *h;         /* [hidden] */
    int16_t *second; /* [hidden] c, or scratch */
    uint16_t kernel; /* index in shim_cells */
    uint16_t hidden;
    uint8_t has_c;
} shim_layer;

typedef struct shim_network {
    const shim_layer *layers; /* [count] */
    const void *head;
    const tl_input *inputs;   /* [raw_count] */
    const tl_output *outputs; /* [forecast_count] */
    int16_t *sample;          /* [raw_count] x */
    int8_t *narrow;           /* [raw_count] x of the scheme w8a8 */
    void *next;               /* [widest layer] scratch */
    const int32_t *raw;       /* [steps][raw_count] */
    int32_t *forecast;        /* [steps][forecast_count] */
    uint8_t *saved;           /* [save_bytes] the last state as bytes */
    uint32_t *hashes;         /* [steps] the CRC-32 of each */
    uint32_t count, save_bytes;
    uint32_t before, steps; /* steps since reset, steps to make */
    uint16_t raw_count, forecast_count;
    uint16_t kernel; /* of the head: index in shim_heads */
    uint8_t small;   /* int8 activations */
    uint8_t model[8];
} shim_network;

void shim_run(const shim_network *p, uint32_t networks);

static const void *cells(const shim_network *p)
{
    const void *x = p->sample;
    if (p->small) {
        tl_narrow(p->narrow, p->sample, p->raw_count);
        x = p->narrow;
    }
    for (const shim_layer *layer = p->layers; layer != p->layers + p->count; layer++) {
        shim_cells[layer->kernel](p->next, layer->second, layer->h, x, layer->p);
        if (p->small) {
            tl_copy8(layer->h, p->next, layer->hidden);
        } else {
            tl_copy(layer->h, p->next, layer->hidden);
        }
        x = layer->h;
    }
    return x;
}

static uint32_t save(const shim_network *p, uint32_t steps)
{
    uint8_t *at = tl_state_begin(p->saved, p->model, steps, 0, 0);
    for (const shim_layer *layer = p->layers; layer != p->layers + p->count; layer++) {
        const uint32_t n = layer->hidden;
        at = p->small ? tl_put_values8(at, layer->h, n) : tl_put_values(at, layer->h, n);
        at = layer->has_c ? tl_put_values(at, layer->second, n) : at;
    }
    (void)tl_put_values(at, p->sample, p->raw_count);
    tl_state_end(p->saved, p->save_bytes - 4u);
    at = p->saved + p->save_bytes - 4u;
    return (uint32_t)tl_get16(at) | (uint32_t)tl_get16(at + 2) << 16;
}

/* Each network's `steps` raw samples through a stateful stream, which goes on from its state. */
void shim_run(const shim_network *p, uint32_t networks)
{
    for (const shim_network *end = p + networks; p != end; p++) {
        const int32_t *raw = p->raw;
        int32_t *forecast = p->forecast;
        for (uint32_t step = 0; step < p->steps; step++, raw += p->raw_count, forecast += p->forecast_count) {
            for (uint32_t j = 0; j < p->raw_count; j++) {
                p->sample[j] = tl_scale_in(raw[j], &p->inputs[j]);
            }
            shim_heads[p->kernel](forecast, cells(p), p->head);
            for (uint32_t j = 0; j < p->forecast_count; j++) {
                forecast[j] = tl_scale_out(forecast[j], &p->outputs[j]);
            }
            p->hashes[step] = save(p, p->before + step + 1u);
        }
    }
}
