/* tensorboard, sample: event files byte by byte, and what a model answers while it trains. */
#include "lib/tensorboard.h"

#include <string.h>

#include "data/sample.h"
#include "tests/unit/check.h"

/* What tensorboard 2 (tensorboard.compat.proto) writes for the same events:
 *   from tensorboard.compat.proto import event_pb2 as e, summary_pb2 as s, tensor_pb2 as t
 *   from tensorboard.compat.proto import tensor_shape_pb2 as p, types_pb2 as y
 *   from tensorboard.summary.writer.record_writer import RecordWriter
 *   w = RecordWriter(open("f", "wb"))
 *   put = lambda **k: w.write(e.Event(**k).SerializeToString())
 *   put(wall_time=1e9, file_version="brain.Event:2")
 *   v = s.Summary.Value
 *   put(wall_time=1e9 + 1, step=10, summary=s.Summary(value=[
 *       v(tag="train/loss", simple_value=.5), v(tag="eval/nll", simple_value=.25)]))
 *   plugin = s.SummaryMetadata.PluginData(plugin_name="text")
 *   shape = p.TensorShapeProto(dim=[p.TensorShapeProto.Dim(size=1)])
 *   put(wall_time=1e9 + 1, step=300, summary=s.Summary(value=[v(tag="sample",
 *       tensor=t.TensorProto(dtype=y.DT_STRING, tensor_shape=shape,
 *                            string_val=[b"paris \xc3\xa9"]),
 *       metadata=s.SummaryMetadata(plugin_data=plugin))]))
 *   w.flush(); print(open("f", "rb").read().hex()) */
static const char GOLDEN[] =
    "1800000000000000a37f4b22090000000065cdcd411a0d627261696e2e4576656e743a32f4eb195e31000000"
    "000000009d8383e9090000800065cdcd41100a2a240a110a0a747261696e2f6c6f7373150000003f0a0f0a08"
    "6576616c2f6e6c6c150000803eb17b3f4136000000000000004f578cef090000800065cdcd4110ac022a280a"
    "260a0673616d706c65421208071204120208014208706172697320c3a94a080a060a0474657874fab96571";

static void test_golden(void) {
    Buf b = {0}, hex = {0};
    TensorboardScalar x[] = {{"train/loss", 0.5}, {"eval/nll", 0.25}};
    tensorboard_begin(&b, 1e9);
    tensorboard_scalars(&b, 1e9 + 1, 10, x, 2);
    tensorboard_text(&b, 1e9 + 1, 300, "sample", str("paris \xc3\xa9"));
    for (size_t i = 0; i < b.n; i++) buf_printf(&hex, "%02x", (unsigned char)b.s[i]);
    CHECK(strcmp(hex.s, GOLDEN) == 0, "other bytes: %s", hex.s);
    buf_free(&hex);
    buf_free(&b);
}

/* Every record's length and both checksums, for lengths around those of one varint byte. */
static void test_records(void) {
    for (size_t n = 0; n < 300; n += n < 60 || n > 250 ? 50 : 1) {
        Buf b = {0};
        char *text = mem_new(n + 1, 1);
        memset(text, 'x', n);
        tensorboard_text(&b, 0, (int64_t)1 << 40, "t", (Str){text, n});
        uint64_t length;
        uint32_t sum[2];
        memcpy(&length, b.s, 8); /* tests run on little-endian machines */
        memcpy(&sum[0], b.s + 8, 4);
        CHECK(b.n == length + 16, "%zu bytes for %zu", b.n, (size_t)length);
        if (b.n == length + 16) {
            memcpy(&sum[1], b.s + 12 + length, 4);
            const char *s[] = {b.s, b.s + 12};
            const size_t bytes[] = {8, (size_t)length};
            for (int i = 0; i < 2; i++) {
                uint32_t rotated = sum[i] - 0xa282ead8u, crc = (rotated >> 17) | (rotated << 15);
                CHECK(crc == crc32c(s[i], bytes[i], 0), "checksum %d of %zu bytes", i, bytes[i]);
            }
        }
        /* string_val's number and kind, its length in two bytes, and the text */
        if (n == 128) {
            size_t at = 0;
            while (at + 3 < b.n && memcmp(b.s + at, "\x42\x80\x01x", 4) != 0) at++;
            CHECK(at + 3 < b.n, "a length of 128");
        }
        free(text);
        buf_free(&b);
    }
}

/* Each token of the answer is the most probable one after all before it, and so is what ends it. */
static void test_greedy(void) {
    enum { VOCAB = 11, CONTEXT = 12, MOST = 6 };
    Error err = {0};
    int ended = 0, full = 0;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        ModelConfig shape = {
            .layers = 2, .heads = 2, .channels = 8, .context = CONTEXT, .vocab = VOCAB};
        Model *m = model_new(shape, &err);
        model_initialize(m, seed);
        for (size_t i = 0; i < m->parameters; i++) m->w[i] *= 8; /* else all answers are alike */
        int prompt[CONTEXT + 1] = {1, (int)(seed % VOCAB), 3}, end = (int)(seed % 5);
        int length = 3 + (int)(seed % 3) * 4, hits[1];
        IntBuf answer = {0};
        for (int i = 3; i < length; i++) prompt[i] = i % VOCAB;
        sample_greedy(m, prompt, length, end, MOST, &answer);
        CHECK(answer.n <= MOST && length + answer.n <= CONTEXT + 1, "%d tokens", answer.n);
        bool stopped = answer.n < MOST && length + answer.n < CONTEXT + 1;
        int row[CONTEXT + MOST + 2];
        memcpy(row, prompt, (size_t)length * sizeof *row);
        for (int i = 0; i < answer.n; i++) row[length + i] = answer.v[i];
        if (stopped) row[length + answer.n] = end;
        int n = length + answer.n + stopped;
        Batch b = {0};
        Workspace *ws = workspace_new();
        double logp[1];
        if (n > length) {
            batch_row(&b, row, n, length, NULL);
            model_forward(m, ws, &b, false, logp, hits);
            CHECK(hits[0] == n - length, "%d of %d tokens are the most probable", hits[0],
                  n - length);
        }
        ended += stopped;
        full += !stopped;
        batch_free(&b);
        workspace_free(ws);
        ints_free(&answer);
        model_free(m);
    }
    CHECK(ended > 0 && full > 0, "%d answers ended, %d were cut", ended, full);
}

int main(void) {
    test_golden();
    test_records();
    test_greedy();
    return check_report("test_tensorboard");
}
