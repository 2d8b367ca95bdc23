/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The only library functions a compiler may call. Built so that their loops do not turn into calls of themselves. */
#include <string.h>

void *memcpy(void *restrict to, const void *restrict from, size_t bytes) {
    unsigned char *d = to;
    const unsigned char *s = from;
    while (bytes-- > 0u) {
        *d++ = *s++;
    }
    return to;
}

void *memmove(void *to, const void *from, size_t bytes) {
    unsigned char *d = to;
    const unsigned char *s = from;
    if ((size_t)(d - s) >= bytes) { /* modulo 2^32: to is before from, or behind its end */
        return memcpy(to, from, bytes);
    }
    while (bytes-- > 0u) {
        d[bytes] = s[bytes];
    }
    return to;
}

void *memset(void *to, int value, size_t bytes) {
    unsigned char *d = to;
    while (bytes-- > 0u) {
        *d++ = (unsigned char)value;
    }
    return to;
}

int memcmp(const void *a, const void *b, size_t bytes) {
    const unsigned char *x = a;
    const unsigned char *y = b;
    for (; bytes > 0u; bytes--, x++, y++) {
        if (*x != *y) {
            return *x < *y ? -1 : 1;
        }
    }
    return 0;
}

/* Arm run-time ABI (IHI 0043, section 4.3.4): the names clang uses. memset has its arguments in another order. */
#define ALIASES(suffix)                                                                                               \
    void __aeabi_memcpy##suffix(void *to, const void *from, size_t bytes);                                            \
    void __aeabi_memmove##suffix(void *to, const void *from, size_t bytes);                                           \
    void __aeabi_memset##suffix(void *to, size_t bytes, int value);                                                   \
    void __aeabi_memclr##suffix(void *to, size_t bytes);                                                              \
    void __aeabi_memcpy##suffix(void *to, const void *from, size_t bytes) { (void)memcpy(to, from, bytes); }          \
    void __aeabi_memmove##suffix(void *to, const void *from, size_t bytes) { (void)memmove(to, from, bytes); }        \
    void __aeabi_memset##suffix(void *to, size_t bytes, int value) { (void)memset(to, value, bytes); }                \
    void __aeabi_memclr##suffix(void *to, size_t bytes) { (void)memset(to, 0, bytes); }

ALIASES()
ALIASES(4)
ALIASES(8)
