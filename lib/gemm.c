/* The fast product is loops around one micro-kernel (the idea of BLIS: Van Zee and van de Geijn
 * 2015).
 *
 *           NC columns of B,         A           C
 *           in strips of NR
 *          +----+----+----+      +------+   +---------+
 *      KC  | /\ |    |    |   MR |=====>|   | tile    |    the kernel adds KC products to each of
 *          | || |    |    |      |      |   |         |    MR x NR sums, which stay in registers
 *          +----+----+----+      +------+   +---------+
 *
 * gemm_part takes NC columns and KC rows of B at a time and packs them in strips, so that the
 * kernel reads them in order. A is read in place when its rows are contiguous and fill a tile.
 * Otherwise the block is packed first. Where the rows in memory are short, a transposed A is read
 * in place too, and so is a B that few rows of A would read. Threads own disjoint parts of C, and
 * each packs for itself.
 */
#include "lib/gemm.h"

#include "lib/threads.h"
#include "lib/vector.h"

enum {
    MR = VEC_TILE_ROWS,
    NR = 2 * VEC,
    WIDE = VEC_BYTES == 64,  /* vectors of which a packed strip is 48 KB; of others 24 or less */
    KC = 384,                /* k-block: a packed strip of KC x NR is about the first-level cache */
    NC = WIDE ? 256 : 512,   /* columns of B packed at once: about the second-level cache */
    MC = 8 * MR,             /* rows of A packed at once: full cache lines of a transposed matrix */
    SHORT = WIDE ? 256 : 32, /* elements of a row: of longer ones, a column falls into few sets of
                              * a cache */
    FEW = 256                /* rows of A for which packing B does not pay */
};

_Static_assert(GEMM_ALIGN % NR == 0 && NC % NR == 0,
               "a column that is a multiple of these begins a strip");

/* The micro-kernel: c[rows][vectors * VEC] = start + a[MR][k] b[k][vectors * VEC]. start and c have
 * rows of stride start_row (0: one row for all) and c_row.
 *
 * The sums stay in registers because everything is unrolled: `vectors`, and `rows` where it is MR,
 * are constants at each call. With fewer rows the kernel computes all MR, from the zeros that pad
 * the packed block of A, and drops the rest. Four steps of k at a time leave few enough jumps for
 * the processor to foresee the last one. */
static inline __attribute__((always_inline)) void tile(int rows, int vectors, int k, const real *a,
                                                       size_t a_row, size_t a_column, const real *b,
                                                       size_t b_row, const real *start,
                                                       size_t start_row, real *c, size_t c_row) {
    Vec sum[MR][2];
#pragma GCC unroll 8
    for (int i = 0; i < MR; i++) {
        const real *from = start + (i < rows ? (size_t)i * start_row : 0);
        sum[i][0] = vec_load(from);
        sum[i][1] = vec_load(from + (vectors - 1) * VEC); /* unused if there is one vector */
    }
#pragma GCC unroll 4
    for (int p = 0; p < k; p++, a += a_column, b += b_row) {
        Vec b0 = vec_load(b), b1 = vec_load(b + (vectors - 1) * VEC);
#pragma GCC unroll 8
        for (int i = 0; i < MR; i++) {
            /* Broadcast: x - 0 is x, also for -0, where x + 0 is not. */
            Vec ai = a[(size_t)i * a_row] - (Vec){0};
            sum[i][0] = vec_fma(ai, b0, sum[i][0]);
            if (vectors == 2) sum[i][1] = vec_fma(ai, b1, sum[i][1]);
        }
    }
#pragma GCC unroll 8
    for (int i = 0; i < MR; i++) {
        if (i >= rows) continue;
        vec_store(c + (size_t)i * c_row, sum[i][0]);
        if (vectors == 2) vec_store(c + (size_t)i * c_row + VEC, sum[i][1]);
    }
}

/* An entire tile. As a function of its own it has the registers for itself: inlined among the other
 * tiles, gcc keeps strides and pointers in memory. */
static __attribute__((noinline)) void tile_entire(int k, const real *a, size_t a_row,
                                                  size_t a_column, const real *b, size_t b_row,
                                                  const real *start, size_t start_row, real *c,
                                                  size_t c_row) {
    tile(MR, 2, k, a, a_row, a_column, b, b_row, start, start_row, c, c_row);
}

/* A tile of fewer rows or columns. Where the columns are no vectors it is computed on zero-padded
 * copies. */
static __attribute__((noinline)) void tile_part(int rows, int columns, int k, const real *a,
                                                size_t a_row, size_t a_column, const real *b,
                                                size_t b_row, const real *start, size_t start_row,
                                                real *c, size_t c_row) {
    if (columns == NR) tile(rows, 2, k, a, a_row, a_column, b, b_row, start, start_row, c, c_row);
    else if (columns == VEC && rows == MR)
        tile(MR, 1, k, a, a_row, a_column, b, b_row, start, start_row, c, c_row);
    else if (columns == VEC)
        tile(rows, 1, k, a, a_row, a_column, b, b_row, start, start_row, c, c_row);
    else {
        real padded[MR * NR] = {0};
        for (int i = 0; i < rows; i++)
            memcpy(padded + i * NR, start + (size_t)i * start_row, (size_t)columns * sizeof(real));
        tile(MR, 2, k, a, a_row, a_column, b, b_row, padded, NR, padded, NR);
        for (int i = 0; i < rows; i++)
            memcpy(c + (size_t)i * c_row, padded + i * NR, (size_t)columns * sizeof(real));
    }
}

/* Copies b[k][n] into strips of `width` columns, each [k][width], `strip` elements apart. Zeros pad
 * the last strip. Always inline, so that `width` is a constant at each call: a row of a strip is
 * then one or two vector moves instead of a copy of variable length. */
static inline __attribute__((always_inline)) void pack(int width, int k, int n, const real *b,
                                                       size_t b_row, size_t b_column, real *packed,
                                                       size_t strip) {
    int whole = b_column == 1 ? n / width * width : 0;
    /* Copy the full strips, row by row, so that each cache line is read once. */
    for (int p = 0; p < k && whole > 0; p++)
        for (int j = 0; j < whole; j += width)
            memcpy(packed + (size_t)(j / width) * strip + p * width, b + (size_t)p * b_row + j,
                   (size_t)width * sizeof(real));
    packed += (size_t)(whole / width) * strip;
    for (int j = whole; j < n; j += width, packed += strip) {
        int columns = n - j < width ? n - j : width, l = 0, full = b_row == 1 ? k / VEC * VEC : 0;
        const real *from = b + (size_t)j * b_column;
        /* Read a transposed matrix along its rows, VEC x VEC elements at a time. */
        for (; full && l + VEC <= columns; l += VEC) {
            for (int p = 0; p < full; p += VEC)
                vec_transpose(packed + p * width + l, (size_t)width,
                              from + (size_t)l * b_column + p, b_column);
            for (int p = full; p < k; p++)
                for (int i = l; i < l + VEC; i++)
                    packed[p * width + i] = from[(size_t)i * b_column + (size_t)p];
        }
        /* Take the remaining columns one by one, and zeros after them. */
        for (int p = 0; p < k; p++)
            for (int i = l; i < width; i++)
                packed[p * width + i] =
                    i < columns ? from[(size_t)i * b_column + (size_t)p * b_row] : 0;
    }
}

/* The same for a B in bfloat16: strip by strip, made real first. */
static void pack_half(int k, int n, const uint16_t *b, size_t b_row, size_t b_column, real *packed,
                      size_t strip) {
    static _Thread_local real block[KC * NR] __attribute__((aligned(64)));
    bool turned = b_row == 1;
    for (int j = 0; j < n; j += NR, packed += strip) {
        int columns = n - j < NR ? n - j : NR;
        int lines = turned ? columns : k, width = turned ? k : columns;
        const uint16_t *from = b + (size_t)j * b_column;
        for (int i = 0; i < lines; i++)
            real_copy(block + i * width, NULL, from, (size_t)i * (turned ? b_column : b_row),
                      (size_t)width);
        pack(NR, k, columns, block, turned ? 1 : (size_t)width, turned ? (size_t)width : 1, packed,
             strip);
    }
}

/* C = start + A B for one k-block, k <= KC. B is strips of NR columns, `strip` elements apart, with
 * rows of stride b_row: packed NR, in place any. In place, n is a multiple of VEC. */
static void multiply(int m, int n, int k, const real *a, size_t a_row, size_t a_column,
                     const real *b, size_t b_row, size_t strip, const real *start, size_t start_row,
                     real *c, size_t c_row) {
    static _Thread_local real panel[KC * MC] __attribute__((aligned(64)));
    for (int ic = 0; ic < m; ic += MC, a += MC * a_row) {
        int mc = m - ic < MC ? m - ic : MC;
        /* Read contiguous or short rows in place. Pack a transposed block and rows of the lower
         * edge. */
        bool near = a_column == 1 || (a_row == 1 && a_column <= SHORT);
        int in_place = near ? mc / MR * MR : 0;
        if (in_place < mc)
            pack(MR, k, mc - in_place, a + (size_t)in_place * a_row, a_column, a_row, panel,
                 (size_t)k * MR);
        for (int i = 0; i < mc; i += MR) {
            bool packed = i >= in_place;
            const real *ai =
                packed ? panel + (size_t)(i - in_place) * (size_t)k : a + (size_t)i * a_row;
            size_t ai_row = packed ? 1 : a_row, ai_column = packed ? MR : a_column;
            const real *from = start + (size_t)(ic + i) * start_row, *bj = b;
            real *to = c + (size_t)(ic + i) * c_row;
            int rows = mc - i < MR ? mc - i : MR;
            for (int j = 0; j < n; j += NR, bj += strip) {
                int columns = n - j < NR ? n - j : NR;
                if (columns == NR && rows == MR)
                    tile_entire(k, ai, ai_row, ai_column, bj, b_row, from + j, start_row, to + j,
                                c_row);
                else
                    tile_part(rows, columns, k, ai, ai_row, ai_column, bj, b_row, from + j,
                              start_row, to + j, c_row);
            }
        }
    }
}

static const real ZEROS[NC] = {0}; /* a row where sums start */

/* One thread's part of the product, like gemm. */
static void gemm_part(int m, int n, int k, const real *a, size_t a_row, size_t a_column,
                      const real *b, const uint16_t *half, size_t b_row, size_t b_column, real *c,
                      size_t c_row, const real *bias, bool accumulate) {
    static _Thread_local real strips[KC * NC] __attribute__((aligned(64)));
    for (int jc = 0; jc < n; jc += NC) {
        int nc = n - jc < NC ? n - jc : NC;
        for (int pc = 0; pc == 0 || pc < k; pc += KC) { /* once even for k = 0 */
            int kc = k - pc < KC ? k - pc : KC;
            /* The sums start from C, or in the first k-block from the bias or zeros. */
            bool fresh = pc == 0 && !accumulate;
            const real *start = !fresh ? c + jc : bias ? bias + jc : ZEROS;
            size_t at = (size_t)pc * b_row + (size_t)jc * b_column;
            const real *ap = a + (size_t)pc * a_column;
            if (b && b_column == 1 && b_row <= SHORT && m <= FEW && nc % VEC == 0) {
                multiply(m, nc, kc, ap, a_row, a_column, b + at, b_row, NR, start,
                         fresh ? 0 : c_row, c + jc, c_row);
                continue;
            }
            if (b) pack(NR, kc, nc, b + at, b_row, b_column, strips, (size_t)kc * NR);
            else pack_half(kc, nc, half + at, b_row, b_column, strips, (size_t)kc * NR);
            multiply(m, nc, kc, ap, a_row, a_column, strips, NR, (size_t)kc * NR, start,
                     fresh ? 0 : c_row, c + jc, c_row);
        }
    }
}

void gemm_pack(real *packed, int rows, int row, int column, int k, int n, const real *b,
               size_t b_row, size_t b_column) {
    size_t strip = (size_t)rows * NR;
    pack(NR, k, n, b, b_row, b_column, packed + (size_t)column * (size_t)rows + (size_t)row * NR,
         strip);
}

void gemm_packed(int m, int n, int k, const real *a, size_t a_row, size_t a_column,
                 const real *packed, int rows, real *c, size_t c_row, bool accumulate) {
    for (int jc = 0; jc < n; jc += NC)
        for (int pc = 0; pc == 0 || pc < k; pc += KC) {
            bool fresh = pc == 0 && !accumulate;
            multiply(m, n - jc < NC ? n - jc : NC, k - pc < KC ? k - pc : KC,
                     a + (size_t)pc * a_column, a_row, a_column,
                     packed + (size_t)jc * (size_t)rows + (size_t)pc * NR, NR, (size_t)rows * NR,
                     fresh ? ZEROS : c + jc, fresh ? 0 : c_row, c + jc, c_row);
        }
}

void gemm(int m, int n, int k, const real *a, size_t a_row, size_t a_column, const real *b,
          size_t b_row, size_t b_column, real *c, size_t c_row, const real *bias, bool accumulate) {
    gemm_frozen(m, n, k, a, a_row, a_column, b, NULL, b_row, b_column, c, c_row, bias, accumulate);
}

void gemm_frozen(int m, int n, int k, const real *a, size_t a_row, size_t a_column, const real *b,
                 const uint16_t *half, size_t b_row, size_t b_column, real *c, size_t c_row,
                 const real *bias, bool accumulate) {
#ifdef NAIVE
    (void)half; /* naive builds keep weights as real numbers */
    gemm_naive(m, n, k, a, a_row, a_column, b, b_row, b_column, c, c_row, bias, accumulate);
    return;
#endif
    int threads = (double)m * n * k < 1e5 ? 1 : threads_now();
    if (threads == 1) { /* attention comes here for every block: spare it the parallel loop */
        gemm_part(m, n, k, a, a_row, a_column, b, half, b_row, b_column, c, c_row, bias,
                  accumulate);
        return;
    }
    /* Split the rows, in tiles: the element functions do the same, so a thread finds its rows in
     * its cache. Split the columns, in strips, if there are few rows or A is transposed, provided
     * that the longest part becomes shorter. For each k a part of w columns has the length w m in
     * products and MR (w + m) for the elements that it reads. Those of a transposed A are of all
     * rows, and so come from another thread's cache. */
    int strips = (n + NR - 1) / NR, tiles = (m + MR - 1) / MR;
    double wide = (double)((strips + threads - 1) / threads) * NR,
           high = (double)((tiles + threads - 1) / threads) * MR;
    bool columns = (a_column != 1 || tiles < 4 * threads) &&
                   wide * m + MR * (wide + m) <= high * n + MR * (high + n);
    int units = columns ? strips : tiles, unit = columns ? NR : MR, all = columns ? n : m;
#pragma omp parallel for num_threads(threads) schedule(static, 1)
    for (int t = 0; t < threads; t++) {
        int from = (int)((long)units * t / threads) * unit,
            to = (int)((long)units * (t + 1) / threads) * unit;
        if (to > all) to = all;
        if (to > from && columns)
            gemm_part(m, to - from, k, a, a_row, a_column, b ? b + (size_t)from * b_column : NULL,
                      half ? half + (size_t)from * b_column : NULL, b_row, b_column, c + from,
                      c_row, bias ? bias + from : NULL, accumulate);
        else if (to > from)
            gemm_part(to - from, n, k, a + (size_t)from * a_row, a_row, a_column, b, half, b_row,
                      b_column, c + (size_t)from * c_row, c_row, bias, accumulate);
    }
}

void gemm_naive(int m, int n, int k, const real *a, size_t a_row, size_t a_column, const real *b,
                size_t b_row, size_t b_column, real *c, size_t c_row, const real *bias,
                bool accumulate) {
    for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j++) {
            real sum = accumulate ? c[(size_t)i * c_row + (size_t)j] : bias ? bias[j] : 0;
            for (int p = 0; p < k; p++)
                sum += a[(size_t)i * a_row + (size_t)p * a_column] *
                       b[(size_t)p * b_row + (size_t)j * b_column];
            c[(size_t)i * c_row + (size_t)j] = sum;
        }
}

double gemm_peak_flops(void) {
    enum { CHAINS = 12, TURNS = 200000 };
    double best = 0;
    for (int trial = 0; trial < 5; trial++) {
        Vec sum[CHAINS], x = (Vec){0} + (real)0.999, y = (Vec){0} + (real)1e-3;
        for (int i = 0; i < CHAINS; i++) sum[i] = (Vec){0} + (real)i;
        double start = seconds_now();
        for (int turn = 0; turn < TURNS; turn++) {
#pragma GCC unroll 12
            for (int i = 0; i < CHAINS; i++) sum[i] = vec_fma(sum[i], x, y);
        }
        double seconds = seconds_now() - start;
        volatile real keep; /* so that the loop is not optimized away */
        for (int i = 0; i < CHAINS; i++) keep = sum[i][0];
        (void)keep;
        double rate = 2.0 * CHAINS * VEC * TURNS / seconds;
        if (rate > best) best = rate;
    }
    return best;
}

const char *gemm_description(void) {
#ifdef REAL_DOUBLE
    return VEC == 8 ? "8 x double" : VEC == 4 ? "4 x double" : "2 x double";
#else
    return VEC == 16 ? "16 x float" : VEC == 8 ? "8 x float" : "4 x float";
#endif
}
