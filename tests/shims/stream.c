/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A network as data: what a generated model does per step, over the structs of tl_kernels.h. One build serves them all. */
#include "tl_state.h"

typedef struct shim_layer {
    const tl_lstm_w8a16 *lstm; /* one of the two */
    const tl_gru_w8a16 *gru;
} shim_layer;

typedef struct shim_network {
    const shim_layer *layers; /* [count] */
    const tl_dense_w16a16 *head;
    const tl_input *inputs;
    const tl_output *outputs; /* [head->outputs] */
    uint32_t count, save_bytes;
    uint8_t model[8];
} shim_network;

void shim_run(const shim_network *p, int16_t *state, const int32_t *raw, uint32_t steps, int32_t *forecast,
              uint8_t *saved, uint32_t *hashes);

/* `steps` raw samples through a stateful stream. state: per layer h (and c), then x; scratch last. hashes [steps]: the CRC-32 of
 * each saved state, of which the last stays in `saved`. */
void shim_run(const shim_network *p, int16_t *state, const int32_t *raw, uint32_t steps, int32_t *forecast,
              uint8_t *saved, uint32_t *hashes)
{
    const shim_layer *first = p->layers;
    const uint32_t inputs = first->gru ? first->gru->inputs : first->lstm->inputs, outputs = p->head->outputs;
    uint32_t size = inputs;
    for (uint32_t k = 0; k < p->count; k++) {
        const shim_layer *layer = &p->layers[k];
        size += layer->gru ? layer->gru->hidden : 2u * layer->lstm->hidden;
    }
    int16_t *sample = state + size - inputs, *next = state + size;
    for (uint32_t step = 0; step < steps; step++, raw += inputs, forecast += outputs) {
        for (uint32_t j = 0; j < inputs; j++) {
            sample[j] = tl_scale_in(raw[j], &p->inputs[j]);
        }
        const int16_t *x = sample;
        int16_t *h = state;
        for (uint32_t k = 0; k < p->count; k++) {
            const shim_layer *layer = &p->layers[k];
            const uint32_t n = layer->gru ? layer->gru->hidden : layer->lstm->hidden;
            if (layer->gru) {
                tl_gru_step_w8a16_ref(next, next + n, h, x, layer->gru);
            } else {
                tl_lstm_step_w8a16_ref(next, h + n, h, x, layer->lstm);
            }
            tl_copy(h, next, n);
            x = h;
            h += layer->gru ? n : 2u * n;
        }
        tl_dense_w16a16_ref(forecast, x, p->head);
        for (uint32_t j = 0; j < outputs; j++) {
            forecast[j] = tl_scale_out(forecast[j], &p->outputs[j]);
        }
        uint8_t *at = tl_state_begin(saved, p->model, step + 1u, 0, 0);
        (void)tl_put_values(at, state, size);
        tl_state_end(saved, p->save_bytes - 4u);
        at = saved + p->save_bytes - 4u;
        hashes[step] = (uint32_t)tl_get16(at) | (uint32_t)tl_get16(at + 2) << 16;
    }
}
