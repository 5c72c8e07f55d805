/* The loop NAME, for words of the type WORD: loops.c includes this once for each. MINUS: whether it takes off.

   Adds `count` rows of `width` words, cut to `mask`, to `sum` mod p, or takes them off. The rows begin `apart` words
   from each other. Every word of the sum is below p before and after. A cut word that is not below p counts as 0;
   where a block of a row has one, `outside` is 1 for it, and else 0: the blocks of the first row, then those of the
   next. Returns whether any has. p and mask are below half of what a word holds, so that a difference below 0 shows by
   its top bit.

   Three rows go by at once where 4 * p is a word: then the sum is read, reduced and written once for all three. */

/* All bits of a word where `cut` is not below p, else 0. */
#define OUTSIDE(cut) (-((WORD)(p - 1 - (cut)) >> (8 * sizeof(WORD) - 1)))

/* `next` less `multiple` of p where that is not below 0: where it is, it goes round and is the larger one. */
#define LESS(next, multiple) ((WORD)(next - multiple * p) < next ? (WORD)(next - multiple * p) : next)

FOR_ANY_CPU int NAME(const struct stretch *of, size_t count) {
    WORD *restrict sum = of->sum;
    const WORD *restrict rows = of->rows;
    uint8_t *restrict outside = of->outside;
    const size_t apart = of->apart, width = of->width;
    const WORD mask = (WORD)of->mask, p = (WORD)of->p;
    const size_t blocks = (width + BLOCK - 1) / BLOCK, by_three = p <= (WORD)-1 / 4 ? count - count % 3 : 0;
    WORD all = 0;
    for (size_t block = 0; block < blocks; block++, outside++) {
        const size_t from = block * BLOCK, to = width - from > BLOCK ? from + BLOCK : width;
        size_t row = 0;
        for (; row < by_three; row += 3) {
            const WORD *a = rows + row * apart, *b = a + apart, *c = b + apart;
            WORD any_a = 0, any_b = 0, any_c = 0;
            for (size_t i = from; i < to; i++) {
                WORD cut_a = a[i] & mask, cut_b = b[i] & mask, cut_c = c[i] & mask;
                WORD over_a = OUTSIDE(cut_a), over_b = OUTSIDE(cut_b), over_c = OUTSIDE(cut_c);
                any_a |= over_a, any_b |= over_b, any_c |= over_c;
                WORD cut = (cut_a & ~over_a) + (cut_b & ~over_b) + (cut_c & ~over_c);
                WORD next = MINUS ? sum[i] + 3 * p - cut : sum[i] + cut;
                next = LESS(next, 2);
                sum[i] = LESS(next, 1);
            }
            outside[row * blocks] = any_a & 1;
            outside[(row + 1) * blocks] = any_b & 1;
            outside[(row + 2) * blocks] = any_c & 1;
            all |= any_a | any_b | any_c;
        }
        for (; row < count; row++) {
            const WORD *a = rows + row * apart;
            WORD any = 0;
            for (size_t i = from; i < to; i++) {
                WORD cut = a[i] & mask, over = OUTSIDE(cut);
                any |= over;
                cut &= ~over;
                WORD next = MINUS ? sum[i] + p - cut : sum[i] + cut;
                sum[i] = LESS(next, 1);
            }
            outside[row * blocks] = any & 1;
            all |= any;
        }
    }
    return all & 1;
}

#undef OUTSIDE
#undef LESS
#undef NAME
#undef WORD
#undef MINUS
