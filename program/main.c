/* The command line: the table of commands, and their dispatch. */
#include <string.h>

#include "data/run.h"
#include "lib/file.h"
#include "lib/manual.h"
#include "program/commands.h"
#include "program/idle.h"
#include "program/machine.h"

static const Command COMMANDS[] = {
    {"corpus", command_corpus, NULL,
     "writes the built-in instruction corpus, in which it is known which answers are bad"},
    {"tokenizer", command_tokenizer, NULL, "trains a byte-level BPE vocabulary"},
    {"encode", command_encode, NULL, "text to token ids: one JSON array for each line of stdin"},
    {"decode", command_decode, NULL, "token ids to text: one JSON array a line on stdin"},
    {"pretrain", command_pretrain, NULL,
     "trains a model on sessions or text, from random weights or from those of a model"},
    {"score", command_score, NULL, "a score and a weight for each record of a pool"},
    {"select", command_select, NULL,
     "the records of a pool that a score file chooses, byte for byte, for any other program"},
    {"train", command_train, NULL, "weighted fine-tuning"},
    {"eval", command_eval, NULL, "how probable the right answers of a file are"},
    {"generate", command_generate, NULL, "completes a prompt, or each prompt of a file"},
    {"chat", command_chat, NULL,
     "a conversation with a model: the lines that you type, or a pipe's"},
    {"merge", command_merge, NULL, "one model of adapters and their base"},
    {"import", command_import, NULL, "a model of llama2.c as a model folder"},
    {"inspect", command_inspect, "FILE",
     "the tensors of a safetensors file: type, shape, and the range of their values"},
    {"diff", command_diff, "A B",
     "two safetensors files tensor by tensor; ends with status 1 if they differ"},
    {"report", command_report, "RUN...",
     "tables, results.json and an HTML page from run folders and saved results"},
    {"bench", command_bench, NULL, "how fast this machine runs matrix products and training steps"},
    {0}};

/* What --help shows at its end. tests/system/commands.sh holds each against the options. */
static const struct {
    const char *command, *lines[3];
} EXAMPLES[] = {
    {"corpus",
     {"corpus --out corpus --seed 1", "corpus --out hard --size full --draw 2 --no-pretrain",
      "corpus --out typos --noise typo,cut --noise-rate 0.3"}},
    {"tokenizer",
     {"tokenizer --data corpus/pretrain.jsonl --vocab-size 512 --out tok",
      "tokenizer --data a.jsonl b.jsonl --vocab-size 8000 --out tok",
      "tokenizer --data notes.json --out tok --threads 2"}},
    {"encode",
     {"encode --tokenizer tok <text.txt", "encode --tokenizer run --threads 1 <text.txt >ids.jsonl",
      "encode --tokenizer tok <text.txt | wc -l"}},
    {"decode",
     {"decode --tokenizer tok <ids.jsonl",
      "decode --tokenizer run --threads 1 <ids.jsonl >text.txt",
      "decode --tokenizer tok <ids.jsonl | head"}},
    {"pretrain",
     {"pretrain --data corpus/pretrain.jsonl --tokenizer tok --out base",
      "pretrain --data book.jsonl --tokenizer tok --layers 6 --channels 192 --heads 6 --out base",
      "pretrain --resume base"}},
    {"score",
     {"score --model base --pool pool.jsonl --holdout trusted.jsonl --out scores.jsonl",
      "score --model base --pool p.jsonl --holdout t.jsonl --weight-map accept --out s.jsonl",
      "score --model base --pool p.jsonl --holdout t.jsonl --shard 1/4 --out 1.jsonl"}},
    {"select",
     {"select --pool pool.jsonl --scores scores.jsonl --out clean.jsonl",
      "select --pool pool.jsonl --scores scores.jsonl --share 0.5 --out half.jsonl",
      "select --pool p.jsonl --scores s.jsonl --weight-map rank --with-weights --out w.jsonl"}},
    {"train",
     {"train --model base --pool pool.jsonl --holdout trusted.jsonl --weights ica --out run",
      "train --model base --pool p.jsonl --eval-share 0.1 --eval-steps 20 --patience 3 --out run",
      "train --model base --objective dpo --pool pairs.jsonl --out run"}},
    {"eval",
     {"eval --model run --data test.jsonl",
      "eval --model base --data test.jsonl --holdout t.jsonl --k 3",
      "eval --model run --reference base --objective dpo --data pairs.jsonl --json"}},
    {"generate",
     {"generate --model run --prompt 'what is the capital of france ?'",
      "generate --model run --prompt 'after 12' --temperature 0.8 --top-k 40 --seed 2",
      "generate --model run --prompt-file prompts.txt --max-new-tokens 20 >answers.jsonl"}},
    {"chat",
     {"chat --model run",
      "chat --model run --system 'You are brief.' --temperature 0.7 --top-p 0.9",
      "chat --model run <questions.txt >answers.txt"}},
    {"import",
     {"import --model stories15M.bin --tokenizer tokenizer.bin --out stories",
      "import --model model.bin --out model", "import --model model.bin --out model --threads 2"}},
    {"merge",
     {"merge --model lora --out merged", "merge --model lora --out merged --threads 2",
      "merge --model runs/ica --out clean"}},
    {"inspect",
     {"inspect run/model.safetensors", "inspect run/training_state.safetensors",
      "inspect run/model.safetensors --json"}},
    {"diff",
     {"diff a/model.safetensors b/model.safetensors",
      "diff a/model.safetensors b/model.safetensors --tolerance 1e-6",
      "diff a/model.safetensors b/model.safetensors --json"}},
    {"report",
     {"report run", "report runs/uniform runs/ica --out report.html",
      "report runs/uniform runs/ica --results results.json --csv logs.csv"}},
    {"bench", {"bench", "bench --only gemm", "bench --only step --config C --threads 2"}},
};

static void put_examples(const char *command, Buf *out) {
    for (size_t i = 0; i < sizeof EXAMPLES / sizeof *EXAMPLES; i++)
        for (int j = 0; j < 3 && strcmp(EXAMPLES[i].command, command) == 0; j++)
            buf_printf(out, "%s  ica %s\n", j ? "" : "\nexamples:\n", EXAMPLES[i].lines[j]);
}

/* Commands that read records tell the options that nothing reads with them, once everything is
 * checked. Others tell them when they are done. */
static bool tells_records(const char *command) {
    static const char *const names[] = {"pretrain", "score", "train", "eval"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(command, names[i]) == 0) return true;
    return false;
}

static int run_command(const Command *command, int argc, char **argv, Arena *arena, Buf *options) {
    Error err = {0};
    Settings s = {0};
    Buf help = {0};
    OptionResult result;
    if (!settings_parse(command, argc, argv, &s, &result, arena, options, &err))
        return error_print(&err);
    if (result.help) {
        options_help(OPTIONS, COMMANDS, command, &help);
        put_examples(command->name, &help);
        bool ok = file_print(help.s, help.n, &err);
        buf_free(&help);
        return ok ? STATUS_OK : error_print(&err);
    }
    Buf idle = {0};
    if (!s.resume) idle_put(&idle, &s, &result); /* a run that is resumed has told it */
    s.idle = idle.s;
    machine_use_threads(s.threads);
    bool ok = command->run(&s, &err);
    if (ok && idle.s && !tells_records(command->name)) fputs(idle.s, stderr);
    buf_free(&idle);
    return ok ? STATUS_OK : error_print(&err);
}

/* Prints the manual page (shell NULL), or a shell's completions. */
static int print_manual(const char *shell) {
    static const Manual manual = {
        .program = "ica",
        .version = ICA_VERSION,
        .summary = "which fine-tuning examples are worth learning from",
        .about = ".SH EXIT STATUS\n0 done, 1 failed (diff: the files differ), 2 wrong usage, 3 bad "
                 "data, 4 a file cannot be\nread or written, 5 training diverged; 129, 130, 143 "
                 "stopped by a signal after saving.\n.SH SEE ALSO\nREADME.md and docs/ of the "
                 "program's sources.\n",
        .table = OPTIONS,
        .commands = COMMANDS};
    Error err = {0};
    Buf text = {0};
    if (!shell) manual_page(&manual, &text);
    else if (!manual_completion(&manual, shell, &text))
        error_set(&err, STATUS_USAGE, "--completion: '%.100s' is none of bash, zsh, fish", shell);
    if (err.status == 0) file_print(text.s, text.n, &err);
    buf_free(&text);
    return err.status ? error_print(&err) : STATUS_OK;
}

static int run_main(int argc, char **argv, Arena *arena, Buf *options) {
    Error err = {0};
    const char *name = argc > 1 ? argv[1] : "--help";
    bool helps =
        strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0;
    if (helps && argc > 2) { /* `ica help COMMAND` is `ica COMMAND --help` */
        static char option[] = "--help";
        char *arguments[] = {option};
        const Command *command = options_command(COMMANDS, argv[2], &err);
        return command ? run_command(command, 1, arguments, arena, options) : error_print(&err);
    }
    if (helps) {
        Buf help = {0};
        options_help(OPTIONS, COMMANDS, NULL, &help);
        bool ok = file_print(help.s, help.n, &err);
        buf_free(&help);
        return !ok ? error_print(&err) : argc > 1 ? STATUS_OK : STATUS_USAGE;
    }
    if (strcmp(name, "--version") == 0) {
        const char *version = "ica " ICA_VERSION "\n";
        return file_print(version, strlen(version), &err) ? STATUS_OK : error_print(&err);
    }
    if (strcmp(name, "--manual") == 0) return print_manual(NULL);
    if (strcmp(name, "--completion") == 0) return print_manual(argc > 2 ? argv[2] : "");
    const Command *command = options_command(COMMANDS, name, &err);
    if (!command) return error_print(&err);
    return run_command(command, argc - 2, argv + 2, arena, options);
}

int main(int argc, char **argv) {
    machine_settle_libraries(argv);
    machine_settle_files();
    machine_settle_memory();
    machine_end_on_signals();
    Arena arena = {0};
    Buf options = {0};
    int status = run_main(argc, argv, &arena, &options);
    arena_free(&arena);
    buf_free(&options);
    return status;
}
