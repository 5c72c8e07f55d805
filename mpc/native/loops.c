/* What numpy does in several passes over memory, in one. loops.py calls these and checks what it gives them.

   What is done is to depend on how many elements there are and how long they are, and never on what they are: no branch,
   no address. So comparisons of elements are written as arithmetic, of which compilers make no jump. Words are
   little-endian, as loops.py sees to. */

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__) && defined(__GLIBC__)
#define FOR_ANY_CPU __attribute__((target_clones("avx2", "default"))) /* chosen when the library is loaded */
#else
#define FOR_ANY_CPU
#endif

enum {
    FORM = 2,    /* of all that follows, so that loops.py takes no library of another one */
    BLOCK = 4096 /* words of a sum that stay in the first-level cache while all rows come by */
};

int form(void) { return FORM; }
int block(void) { return BLOCK; }

/* Of a sum and its rows, what stays the same from call to call of put.h's loops. loops.py fills it: FORM goes up when its
   members change. */
struct stretch {
    void *sum;
    const void *rows;
    uint8_t *outside;
    size_t apart, width;
    uint64_t mask, p;
};

#define NAME add_32
#define WORD uint32_t
#define MINUS 0
#include "put.h"

#define NAME subtract_32
#define WORD uint32_t
#define MINUS 1
#include "put.h"

#define NAME add_64
#define WORD uint64_t
#define MINUS 0
#include "put.h"

#define NAME subtract_64
#define WORD uint64_t
#define MINUS 1
#include "put.h"

/* Writes `bits` bits of each of `count` elements, lowest bit first, one behind the other: ceil(count * bits / 8) bytes.
   The last byte is filled up with zero bits. Elements have at most `bits` bits, 1..32. */
FOR_ANY_CPU void pack_32(uint8_t *restrict out, const uint32_t *restrict elements, size_t count, unsigned bits) {
    uint64_t held = 0;
    unsigned full = 0; /* bits that are held, fewer than 32 between elements */
    for (size_t i = 0; i < count; i++) {
        held |= (uint64_t)elements[i] << full;
        full += bits;
        if (full >= 32) {
            uint32_t word = (uint32_t)held;
            memcpy(out, &word, sizeof word);
            out += sizeof word;
            held >>= 32;
            full -= 32;
        }
    }
    for (; full > 0; full = full > 8 ? full - 8 : 0) {
        *out++ = (uint8_t)held;
        held >>= 8;
    }
}

/* The elements of pack_32 again, from `size` bytes. Returns whether one is not below p. */
FOR_ANY_CPU int unpack_32(uint32_t *restrict out, const uint8_t *restrict bytes, size_t size, size_t count,
                          unsigned bits, uint32_t p) {
    uint64_t mask = ((uint64_t)1 << bits) - 1;
    uint32_t outside = 0;
    size_t whole = size < 8 ? 0 : (size - 8) * 8 / bits; /* elements behind whose first byte seven others are */
    whole = whole < count ? whole : count;
    for (size_t i = 0; i < count; i++) {
        size_t at = i * bits / 8;
        uint64_t word = 0;
        if (i < whole) {
            memcpy(&word, bytes + at, 8);
        } else {
            memcpy(&word, bytes + at, size - at < 8 ? size - at : 8);
        }
        out[i] = (uint32_t)(word >> i * bits % 8 & mask);
        outside |= -(uint32_t)(out[i] >= p);
    }
    return outside & 1;
}

#define WHOLE 4503599627370496.0 /* 2^52: a double of this size has no fraction, and its lowest bits are an integer's */

/* Values, clipped to low..high, as levels (value - low) / width * top, below 2^32; rounded down, or up where noise /
   noise_top is below the fraction; times `factor`. The noise is below noise_top, and that at most 2^31. Returns how many
   values were clipped. */
FOR_ANY_CPU size_t round_32(uint32_t *restrict out, const float *restrict values, const uint32_t *restrict noise,
                            size_t count, double low, double high, double width, double top, double noise_top,
                            uint32_t factor) {
    size_t clipped = 0;
    for (size_t i = 0; i < count; i++) {
        double value = values[i];
        double inside = value < low ? low : value;
        inside = inside > high ? high : inside;
        clipped += inside != value;
        double scaled = (inside - low) / width * top;
        double level = floor(scaled);
        unsigned up = (double)(int32_t)noise[i] / noise_top < scaled - level;
        level += WHOLE;
        uint64_t word;
        memcpy(&word, &level, sizeof word);
        out[i] = ((uint32_t)word + up) * factor;
    }
    return clipped;
}
