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
    FORM = 1,    /* of all that follows, so that loops.py takes no library of another one */
    BLOCK = 4096 /* words of a sum that stay in the first-level cache while all rows come by */
};

int form(void) { return FORM; }
int block(void) { return BLOCK; }

/* Adds `count` rows of `width` words, cut to `mask`, to `sum` mod p, or takes them off. The rows begin `stride` words
   apart. Every word of the sum is below p before and after. A cut word that is not below p counts as 0; where a block
   of a row has one, `outside` is 1 for it, and else 0: the blocks of the first row, then those of the next. Returns
   whether any has. p and mask are below half of what a word holds, so that a difference below 0 shows by its top bit. */
#define PUT(word, minus)                                                      \
    const unsigned top = 8 * sizeof(word) - 1;                                \
    size_t blocks = (width + BLOCK - 1) / BLOCK;                              \
    word all = 0;                                                             \
    for (size_t at = 0; at < blocks; at++) {                                  \
        size_t from = at * BLOCK;                                             \
        size_t to = width - from > BLOCK ? from + BLOCK : width;              \
        for (size_t row = 0; row < count; row++) {                            \
            const word *words = rows + row * stride;                          \
            word any = 0;                                                     \
            for (size_t i = from; i < to; i++) {                              \
                word cut = words[i] & mask;                                   \
                word over = -((p - 1 - cut) >> top);                          \
                any |= over;                                                  \
                cut &= ~over;                                                 \
                word next = minus ? sum[i] - cut : sum[i] + cut - p;          \
                sum[i] = next + (p & -(next >> top));                         \
            }                                                                 \
            outside[row * blocks + at] = any & 1;                             \
            all |= any;                                                       \
        }                                                                     \
    }                                                                         \
    return all & 1;

#define LOOP(name, word, minus)                                                                                  \
    FOR_ANY_CPU int name(word *restrict sum, const word *restrict rows, uint8_t *restrict outside, size_t count, \
                         size_t stride, size_t width, word mask, word p) {                                       \
        PUT(word, minus)                                                                                         \
    }

LOOP(add_32, uint32_t, 0)
LOOP(subtract_32, uint32_t, 1)
LOOP(add_64, uint64_t, 0)
LOOP(subtract_64, uint64_t, 1)

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
