/* Templates: conversations as the models' own templates render them, what is scored, templates told
 * by their marks, and what is refused. */
#define _POSIX_C_SOURCE 200809L
#include "data/template_file.h"

#include "lib/file.h"
#include "tests/unit/check.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Every token that a named template needs, its roles aside that zephyr spells as text. */
static const char *const SPECIALS[] = {"<bos>",
                                       "<q>",
                                       "<a>",
                                       "<e>",
                                       "<|im_start|>",
                                       "<|im_end|>",
                                       "<|eot_id|>",
                                       "<think>",
                                       "</think>",
                                       "<mark>",
                                       "<|begin_of_text|>",
                                       "<|start_header_id|>",
                                       "<|end_header_id|>"};
enum { N_SPECIALS = sizeof SPECIALS / sizeof *SPECIALS };

static Tokenizer *new_tokenizer(int specials) {
    Error err = {0};
    Str text = str("low lower lowest");
    Tokenizer *t = tokenizer_train(&text, 1, 300, SPECIALS, specials, NULL, &err);
    CHECK(t, "%s", err.text);
    TokenizerParts parts = tokenizer_parts(t); /* as one whose files put a token before a row */
    parts.opening = tokenizer_special(t, "<bos>");
    Tokenizer *opened = tokenizer_new(&parts);
    tokenizer_free(t);
    return opened;
}

static Template must_name(const char *name, const Tokenizer *t) {
    Template template;
    Error err = {0};
    CHECK(template_named(&template, name, (Str){NULL, 0}, t, &err), "%s: %s", name, err.text);
    return template;
}

/* ---- conversations ---- */

typedef struct {
    const char *system;   /* or NULL */
    const char *turns[4]; /* user, assistant, ... */
} Talk;

static const Talk TALKS[3] = {
    {" Be brief. ",
     {"Hi ", "<think>\nwhy\n</think>\n\nHello!", "Bye", "\n\nGood <think>\nso</think>\nbye "}},
    {NULL, {"Hi"}},
    {NULL, {"Hi", "\nHo"}}};

/* The whole conversation, as tokens. *answer is where the last answer begins, and *end where it
 * ends. Of a talk that ends with the user the answer is empty: asked for, with its thought. */
static void put_talk(const Template *f, Tokenizer *t, const Talk *talk, IntBuf *ids, int *answer,
                     int *end) {
    int n = 0;
    while (n < 4 && talk->turns[n]) n++;
    template_start(f, t, talk->system ? str(talk->system) : (Str){NULL, 0}, ids);
    for (int i = 0; i + 2 < n; i += 2)
        template_turn(f, t, str(talk->turns[i]), str(talk->turns[i + 1]), ids);
    bool asked = n % 2 == 1;
    Str prompt = str(talk->turns[asked ? n - 1 : n - 2]);
    Str last = str(asked ? "</think>" : talk->turns[n - 1]);
    TurnForm form = template_form(f, last);
    template_prompt(f, t, prompt, form, ids);
    *answer = *end = ids->n;
    if (asked) return;
    template_answer(f, t, last, form, ids);
    *end = ids->n;
    template_between(f, t, ids);
}

#define IM(role, text) "<|im_start|>" role "\n" text "<|im_end|>\n"
#define HEADER(role) "<|start_header_id|>" role "<|end_header_id|>\n\n"
#define L3(role, text) HEADER(role) text "<|eot_id|>"
#define SMOL "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
#define QWEN "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."
#define TODAY "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n"
#define FIRST "<think>\nwhy\n</think>\n\nHello!"
#define SECOND "Good <think>\nso</think>\nbye"
#define OPENED IM("system", " Be brief. ") IM("user", "Hi ")

/* Golden: Python's jinja2 3.1.6, Environment(trim_blocks=True, lstrip_blocks=True), renders TALKS
 * by trl 1.16.0's chat_templates/{qwen2_5,qwen3,llama3,llama3_1}.jinja, and by the templates of
 * SmolLM2-135M-Instruct and zephyr-7b-beta. */
static const struct {
    const char *name, *text[3], *answer[3];
} GOLDEN[] = {
    {"smollm2",
     {OPENED IM("assistant", FIRST) IM("user", "Bye") IM("assistant", "\n\n" SECOND " "),
      IM("system", SMOL) IM("user", "Hi") "<|im_start|>assistant\n",
      IM("system", SMOL) IM("user", "Hi") IM("assistant", "\nHo")},
     {"\n\n" SECOND " <|im_end|>", "", "\nHo<|im_end|>"}},
    {"qwen2.5",
     {OPENED IM("assistant", FIRST) IM("user", "Bye") IM("assistant", "\n\n" SECOND " "),
      IM("system", QWEN) IM("user", "Hi") "<|im_start|>assistant\n",
      IM("system", QWEN) IM("user", "Hi") IM("assistant", "\nHo")},
     {"\n\n" SECOND " <|im_end|>", "", "\nHo<|im_end|>"}},
    {"qwen3",
     {OPENED IM("assistant", "Hello!") IM("user", "Bye")
          IM("assistant", "<think>\nso\n</think>\n\nbye "),
      IM("user", "Hi") "<|im_start|>assistant\n",
      IM("user", "Hi") IM("assistant", "<think>\n\n</think>\n\nHo")},
     {"<think>\nso\n</think>\n\nbye <|im_end|>", "", "Ho<|im_end|>"}},
    {"llama3",
     {"<|begin_of_text|>" L3("system", "Be brief.") L3("user", "Hi") L3("assistant", FIRST)
          L3("user", "Bye") L3("assistant", SECOND),
      "<|begin_of_text|>" L3("user", "Hi") HEADER("assistant"),
      "<|begin_of_text|>" L3("user", "Hi") L3("assistant", "Ho")},
     {SECOND "<|eot_id|>", "", "Ho<|eot_id|>"}},
    {"llama3.2",
     {"<|begin_of_text|>" L3("system", TODAY "Be brief.") L3("user", "Hi") L3("assistant", FIRST)
          L3("user", "Bye") L3("assistant", SECOND),
      "<|begin_of_text|>" L3("system", TODAY) L3("user", "Hi") HEADER("assistant"),
      "<|begin_of_text|>" L3("system", TODAY) L3("user", "Hi") L3("assistant", "Ho")},
     {SECOND "<|eot_id|>", "", "Ho<|eot_id|>"}},
    /* <bos> and <e> are this tokenizer's <s> and </s>. The tokenizer adds the former. */
    {"zephyr",
     {"<bos><|system|>\n Be brief. <e>\n<|user|>\nHi <e>\n<|assistant|>\n" FIRST
      "<e>\n<|user|>\nBye<e>\n<|assistant|>\n\n\n" SECOND " <e>\n",
      "<bos><|user|>\nHi<e>\n<|assistant|>\n", "<bos><|user|>\nHi<e>\n<|assistant|>\n\nHo<e>\n"},
     {"\n\n" SECOND " <e>", "", "\nHo<e>"}},
};

static void check_text(const Tokenizer *t, const int *ids, int n, const char *want,
                       const char *what) {
    Buf got = {0};
    buf_puts(&got, "");
    tokenizer_decode(t, ids, n, &got);
    CHECK(strcmp(got.s, want) == 0, "%s: got \"%s\", wanted \"%s\"", what, got.s, want);
    buf_free(&got);
}

/* The text of each conversation, and of what is scored: all of the answer and its end token, and
 * nothing after it. The end is one token and not its spelling. */
static void test_conversations(void) {
    Tokenizer *t = new_tokenizer(N_SPECIALS);
    for (size_t i = 0; i < sizeof GOLDEN / sizeof *GOLDEN; i++) {
        Template f = must_name(GOLDEN[i].name, t);
        for (int k = 0; k < 3; k++) {
            IntBuf ids = {0};
            int answer, end;
            put_talk(&f, t, &TALKS[k], &ids, &answer, &end);
            check_text(t, ids.v, ids.n, GOLDEN[i].text[k], f.name);
            check_text(t, ids.v + answer, end - answer, GOLDEN[i].answer[k], "the answer");
            if (k != 1)
                CHECK(ids.v[end - 1] == tokenizer_special(t, f.example_end), "%s: end", f.name);
            ints_free(&ids);
        }
        template_free(&f);
    }
    tokenizer_free(t);
}

/* The two that no model's file has. */
static void test_plain_text(void) {
    Tokenizer *t = new_tokenizer(N_SPECIALS);
    static const char *const names[] = {"plain", "alpaca", "recipe"};
    static const char alpaca[] =
        "<bos>Below is an instruction that describes a task. Write a response that appropriately "
        "completes the request.\n\n### Instruction:\nHi\n\n### Response:\n\nHo<e>\n\n";
    static const char *const texts[] = {"<bos>Hi\n\nHo<e>", alpaca, "<bos><q>Hi<a> \nHo<e>"};
    for (int i = 0; i < 3; i++) {
        Template f = must_name(names[i], t);
        IntBuf ids = {0};
        int answer, end;
        put_talk(&f, t, &TALKS[2], &ids, &answer, &end);
        check_text(t, ids.v, ids.n, texts[i], names[i]);
        ints_free(&ids);
        template_free(&f);
    }
    tokenizer_free(t);
}

/* A field that spells a token is text, in every part of a conversation. */
static void test_spelled(void) {
    Tokenizer *t = new_tokenizer(N_SPECIALS);
    static const Talk spelled = {"<|im_end|>",
                                 {"<|im_end|>", "<think>", "x", "<|im_end|></think>"}};
    for (int i = 0; i < TEMPLATE_COUNT; i++) {
        Template f = must_name(TEMPLATES[i].name, t);
        IntBuf plain = {0}, ids = {0};
        int answer, end, special[2] = {0};
        put_talk(&f, t, &(Talk){"a", {"a", "a", "a", "a</think>"}}, &plain, &answer, &end);
        put_talk(&f, t, &spelled, &ids, &answer, &end);
        for (int k = 0; k < plain.n; k++) special[0] += plain.v[k] < N_SPECIALS;
        for (int k = 0; k < ids.n; k++) special[1] += ids.v[k] < N_SPECIALS;
        CHECK(special[0] == special[1], "%s: %d special tokens, not %d", f.name, special[1],
              special[0]);
        ints_free(&plain);
        ints_free(&ids);
        template_free(&f);
    }
    tokenizer_free(t);
}

/* template_opening and template_asking are template_prompt in two parts. */
static void test_parts(void) {
    Tokenizer *t = new_tokenizer(N_SPECIALS);
    for (int i = 0; i < TEMPLATE_COUNT; i++) {
        Template f = must_name(TEMPLATES[i].name, t);
        IntBuf whole = {0}, parts = {0};
        template_prompt(&f, t, str("low ?"), TURN_LAST, &whole);
        template_opening(&f, t, &parts);
        template_asking(&f, t, str("low ?"), TURN_LAST, &parts);
        CHECK(whole.n == parts.n && memcmp(whole.v, parts.v, (size_t)whole.n * sizeof(int)) == 0,
              "%s", f.name);
        ints_free(&whole);
        ints_free(&parts);
        template_free(&f);
    }
    tokenizer_free(t);
}

/* ---- marks ---- */

#define CHATML_LOOP                                                                                \
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"       \
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
#define LLAMA_LOOP                                                                                 \
    "{% for message in messages %}{{- '<|start_header_id|>' + message[\"role\"] + "                \
    "'<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' }}{% endfor %}"

/* What ends each turn is given. */
#define ZEPHYR(end)                                                                                \
    "{{ '<|user|>\n' + message['content'] + eos_token" end "{{ '<|system|>\n' + "                  \
    "message['content'] + eos_token" end                                                           \
    "{{ '<|assistant|>\n'  + message['content'] + eos_token" end "{{ '<|assistant|>' }}\n"
#define LOOP "{% for message in messages %}" CHATML_LOOP

/* The first is SmolLM2's, the second a way of writing the same, and so on. NULL: not known. */
static const struct {
    const char *name, *system, *jinja;
} MARKED[] = {
    {"chatml", SMOL,
     "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
     "{{ '<|im_start|>system\n" SMOL "<|im_end|>\n' }}{% endif %}" CHATML_LOOP},
    {"chatml", NULL, "{#- don't -#}{% for message in messages %}" CHATML_LOOP},
    {"chatml", NULL,
     "{%- for message in messages %}\n  {{- \"<|im_start|>\" + message.role + \"\\n\" + "
     "message.content + \"<|im_end|>\\n\" }}\n{%- endfor %}{{- '<|im_start|>assistant\\n' }}"},
    {"llama3", NULL, "{{ bos_token }}" LLAMA_LOOP},
    {"llama3.2", "",
     "{{- bos_token }}{{- \"Cutting Knowledge Date: December 2023\\n\" }}{{- \"Today Date: \" + "
     "date_string + \"\\n\\n\" }}" LLAMA_LOOP},
    {"zephyr", NULL, "{% if m %}\n" ZEPHYR(" }}\n")},
    {"zephyr", NULL, ZEPHYR(" + '\n' }}")},
    {"qwen3", NULL,
     "{{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>' + '\\n' }}"
     "{{- '<|im_start|>' + message.role + '\\n<think>\\n' + reasoning_content.strip('\\n') + "
     "'\\n</think>\\n\\n' + content.lstrip('\\n') }}{{- '<|im_start|>assistant\\n' }}"
     "{{- '<think>\\n\\n</think>\\n\\n' }}"},
    {NULL, NULL, ""},
    {NULL, NULL, "{% for m in messages %}{{ m['content'] }}{% endfor %}"},
    /* a template whose answers are trimmed, or thought about, is not ChatML */
    {NULL, NULL, "{{ x|trim }}" CHATML_LOOP},
    {NULL, NULL, "{{ '<think>' }}" CHATML_LOOP},
    /* nor is one that begins with a token, as Hermes 3, or one whose system turn is more than a
     * string */
    {NULL, NULL, "{{bos_token}}{% for message in messages %}" CHATML_LOOP},
    {NULL, NULL, "{{ \"<|im_start|>system\nYou are Bob's.<|im_end|>\n\" }}" CHATML_LOOP},
    {NULL, NULL, "{{ '<|im_start|>system\nIt is ' + day + '.<|im_end|>\n' }}" CHATML_LOOP},
    {"chatml", SMOL,
     "{{ '<|im_start|>system\nIt is ' + day }}"
     "{{ '<|im_start|>system\n" SMOL "<|im_end|>\n' }}"
     "{{ '<|im_start|>system\n' + messages[0]['content'] }}" CHATML_LOOP},
    /* a default system turn in a variable, or put before the messages; and in raw text */
    {NULL, NULL,
     "{% if m %}{% set system_message = messages[0]['content'] %}{% else %}{% set system_message = "
     "'Be kind.' %}{% endif %}{{ '<|im_start|>system\n' + system_message + '<|im_end|>\n' }}" LOOP},
    {NULL, NULL, "{% set d = 'Be kind.' %}{{ '<|im_start|>system\n' + d + '<|im_end|>\n' }}" LOOP},
    {NULL, NULL, "{% set messages = [{'role':'system','content':'Be kind.'}] + messages %}" LOOP},
    {NULL, NULL, "{{ system | default('Be kind.') }}" LOOP},
    {"chatml", SMOL, "{% if m %}<|im_start|>system\n" SMOL "<|im_end|>\n{% endif %}" LOOP},
    {NULL, NULL,
     "{{ bos_token }}{{ '<|start_header_id|>system<|end_header_id|>\n\nBe kind.<|eot_id|>' "
     "}}" LLAMA_LOOP},
    {NULL, NULL, "{{ '<|system|>\nBe kind.' + eos_token }}" ZEPHYR(" }}\n")},
    /* a first token that is spelled, or stands in raw text, or in a variable; and Zephyr's */
    {NULL, NULL, "{{ '<|begin_of_text|>' }}" LOOP},
    {NULL, NULL, "<|begin_of_text|>" LOOP},
    {NULL, NULL, "{%- set first = '<|begin_of_text|>' -%}{{- first -}}" LOOP},
    {NULL, NULL, "{{ bos_token }}" ZEPHYR(" }}\n")},
    /* line breaks, blanks and tokens beside the turns, by trim_blocks and lstrip_blocks */
    {NULL, NULL,
     "{% for message in messages %}\n{{'<|im_start|>' + message['role'] + '\n' + "
     "message['content'] + '<|im_end|>' + '\n'}}\n{% endfor %}{{ '<|im_start|>assistant\n' }}"},
    {NULL, NULL, "{% for message in messages %}\n    " CHATML_LOOP},
    {"chatml", NULL,
     "{% for message in messages %}\n    {% if a %}\n    {% endif %}\n" CHATML_LOOP},
    {"chatml", NULL, "  {% for message in messages %}\r\n{# a note #}\n" CHATML_LOOP},
    {NULL, NULL, LOOP "{{ eos_token }}"},
    {NULL, NULL, LOOP "{{ '<|sep|>' }}"},
    {NULL, NULL, "{% for message in messages[-1:] %}" CHATML_LOOP},
    {NULL, NULL, ZEPHYR(" }}\n{%- if b -%}{% endif %}")},
    {"zephyr", NULL, ZEPHYR(" }}\r\n")},
    {"llama3", NULL,
     "{{ bos_token }}{% if message['role'] == 'user' %}{% else %}" LLAMA_LOOP "{% endif %}"},
    /* text at the end, no line breaks, or no system turns */
    {NULL, NULL, LOOP "The end."},
    {NULL, NULL, ZEPHYR(" }}")},
    {NULL, NULL, ZEPHYR(" -}}\n")},
    {NULL, NULL, "{% if m %}{% set messages = messages[1:] %}{% endif %}" LOOP},
    {NULL, NULL, "{% if message['role'] == 'user' %}{% endif %}" LOOP},
    {NULL, NULL, "{% if message['role'] != 'system' %}{% endif %}" LOOP},
    /* a variable that is empty, or is not written, changes nothing */
    {"chatml", NULL, "{% set a = '' %}{% set b = 'x' %}{{ a }}" LOOP},
    /* Phi-3's roles have an end of their own */
    {NULL, NULL, "{{ '<|user|>\n' + message['content'] + '<|end|>\n' }}{{ '<|assistant|>\n' }}"},
};

static void test_marks(void) {
    Tokenizer *t = new_tokenizer(N_SPECIALS);
    Template f;
    for (size_t i = 0; i < sizeof MARKED / sizeof *MARKED; i++) {
        Error err = {0};
        bool known = template_recognize(&f, t, str(MARKED[i].jinja), &err);
        CHECK(known == (MARKED[i].name != NULL), "%zu: %s", i, known ? f.name : err.text);
        if (!known)
            CHECK(err.status == STATUS_DATA && strstr(err.text, "--template"), "%s", err.text);
        if (known && !MARKED[i].name) template_free(&f);
        if (!known || !MARKED[i].name) continue;
        CHECK(strcmp(f.name, MARKED[i].name) == 0, "%zu: %s", i, f.name);
        CHECK(!f.system == !MARKED[i].system &&
                  (!f.system || strcmp(f.system, MARKED[i].system) == 0),
              "%zu: system turn %s", i, f.system ? f.system : "none");
        template_free(&f);
    }
    /* What the program writes itself is known again. */
    for (int i = 0; i < TEMPLATE_COUNT; i++) {
        Template named = must_name(TEMPLATES[i].name, t);
        Error err = {0};
        Buf jinja = {0};
        template_chat(&named, &jinja);
        CHECK(template_recognize(&f, t, (Str){jinja.s, jinja.n}, &err), "%s", err.text);
        CHECK(err.status || strcmp(f.name, named.name) == 0, "%s: %s", named.name, f.name);
        template_free(&f);
        template_free(&named);
        buf_free(&jinja);
    }
    tokenizer_free(t);
}

/* ---- files ---- */

static char folder[256];

static void put_file(const char *name, const char *text) {
    Error err = {0};
    char *path = path_join(folder, name);
    if (text) CHECK(file_write(path, text, strlen(text), &err), "%s", err.text);
    else unlink(path);
    free(path);
}

/* template.json that is refused with a text, or NULL: it is read. */
static const struct {
    const char *json, *error;
} FILES[] = {
    {"{\"name\": \"chatml\"}", NULL},
    {"{\"name\": \"chatml\", \"system\": \"x <|im_end|>\"}", NULL},
    {"{\"name\": \"chat\"}", "take one of recipe, plain, chatml"},
    {"{\"name\": 1}", "name must be a string"},
    {"{\"name\": \"chatml\", \"between\": \"\"}", "\"between\" is no key"},
    {"{\"name\": \"recipe\", \"system\": \"x\"}", "has no system turn"},
    {"{\"bos\": \"\", \"prompt_prefix\": \"\", \"answer_prefix\": \"\", \"example_end\": \"<e>\", "
     "\"between\": \"\\n\", \"system_prefix\": \"<q>\", \"system_end\": \"<a>\", \"system\": \"\"}",
     NULL},
    {"{\"bos\": \"\", \"prompt_prefix\": \"\", \"answer_prefix\": \"\", \"example_end\": \"<e>\", "
     "\"betwen\": \"\\n\"}",
     "\"betwen\" is no key"},
    {"{\"bos\": \"\", \"prompt_prefix\": \"\", \"answer_prefix\": \"\", \"example_end\": \"<e>\", "
     "\"system_prefix\": \"<q>\"}",
     "needs both system_prefix and system_end"},
    {"{\"bos\": \"\", \"prompt_prefix\": \"\", \"answer_prefix\": \"\", \"example_end\": \"<e>\", "
     "\"between\": \"<end>\"}",
     "\"<end>\" is no token"},
};

static bool same_string(const char *a, const char *b) {
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static void test_files(void) {
    Tokenizer *t = new_tokenizer(N_SPECIALS);
    Template f, again;
    for (size_t i = 0; i < sizeof FILES / sizeof *FILES; i++) {
        Error err = {0};
        put_file("template.json", FILES[i].json);
        bool ok = template_load(&f, t, folder, NULL, &err);
        CHECK(ok == !FILES[i].error, "%s: %s", FILES[i].json, err.text);
        if (!ok) {
            CHECK(err.status == STATUS_DATA && strstr(err.text, FILES[i].error), "%s", err.text);
            continue;
        }
        /* What is saved is the same template. */
        CHECK(template_save(&f, folder, &err) && template_load(&again, t, folder, NULL, &err), "%s",
              err.text);
        CHECK(same_string(f.name, again.name) && same_string(f.system, again.system) &&
                  same_string(f.between, again.between) && same_string(f.bos, again.bos) &&
                  same_string(f.system_prefix, again.system_prefix) &&
                  same_string(f.example_end, again.example_end),
              "%s is not what it was", FILES[i].json);
        template_free(&f);
        template_free(&again);
    }
    tokenizer_free(t);
}

/* A chat_template that is no text: of several the one named default counts, and one must be. */
static void test_several_chat(void) {
    static const struct {
        const char *value, *want;
    } cases[] = {
        {"{\"default\":\"{{'<|im_start|>' + message.role + '\\n' + message.content + "
         "'<|im_end|>\\n'}}{{'<|im_start|>assistant\\n'}}\",\"rag\":\"\"}",
         "chatml"},
        {"null", NULL},
        {"{\"rag\":\"\"}", "none in it is named default"},
        {"[{\"name\":\"rag\",\"template\":\"\"}]", "none in it is named default"},
        {"{\"default\":3}", "none in it is named default"},
        {"7", "--template FILE"},
        {"[]", "tokenizer_config.json: chat_template is no text"},
    };
    Tokenizer *t = new_tokenizer(N_SPECIALS);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Template f;
        Error err = {0};
        Buf text = {0};
        buf_printf(&text, "{\"chat_template\":%s}", cases[i].value);
        put_file("tokenizer_config.json", text.s);
        bool ok = template_load(&f, t, folder, NULL, &err);
        CHECK(ok == (i < 2), "%s: %s", text.s, err.text);
        if (!ok) CHECK(strstr(err.text, cases[i].want), "%s", err.text);
        else
            CHECK(!f.name == !cases[i].want && (!f.name || strcmp(f.name, cases[i].want) == 0),
                  "%s: another template", text.s);
        if (ok) template_free(&f);
        buf_free(&text);
    }
    put_file("tokenizer_config.json", NULL);
    tokenizer_free(t);
}

/* The order in which a folder is asked, what is said about it, and --template. */
static void test_sources(void) {
    Tokenizer *t = new_tokenizer(N_SPECIALS), *few = new_tokenizer(4);
    Template f;
    Error err = {0};
    Buf note = {0};
    const char *marked = "{% for message in messages %}" CHATML_LOOP;
    put_file("template.json", NULL);
    CHECK(template_load(&f, t, folder, &note, &err) && !note.s && !f.name, "%s", err.text);
    CHECK(strcmp(f.example_end, "<e>") == 0 && strcmp(f.bos, "<bos>") == 0, "plain: %s", f.bos);
    template_free(&f);
    put_file(
        "tokenizer_config.json",
        "{\"chat_template\": [{\"name\": \"rag\", \"template\": \"\"}, {\"name\": \"default\", "
        "\"template\": \"{{'<|im_start|>' + message.role + '\\n' + message.content + "
        "'<|im_end|>\\n'}}{{'<|im_start|>assistant\\n'}}\"}]}");
    CHECK(template_load(&f, t, folder, &note, &err) && f.name, "%s", err.text);
    CHECK(note.s && strstr(note.s, "taken for the template \"chatml\"") &&
              strstr(note.s, "not run") && strstr(note.s, "tokenizer_config.json: chat_template"),
          "%s", note.s ? note.s : "no note");
    template_free(&f);
    /* what it needs is not there */
    CHECK(!template_load(&f, few, folder, NULL, &err) && strstr(err.text, "<|im_start|>") &&
              strstr(err.text, "--template"),
          "%s", err.text);
    err = (Error){0};
    put_file("chat_template.jinja", "{{ x }}");
    CHECK(!template_load(&f, t, folder, NULL, &err) && strstr(err.text, "chat_template.jinja") &&
              strstr(err.text, "--template FILE"),
          "%s", err.text);
    err = (Error){0};
    char *jinja = path_join(folder, "chat_template.jinja");
    put_file("chat_template.jinja", marked);
    CHECK(template_choose(&f, t, jinja, NULL, &err) && strcmp(f.name, "chatml") == 0, "%s",
          err.text);
    template_free(&f);
    put_file("template.json", FILES[6].json);
    CHECK(template_load(&f, t, folder, NULL, &err) && !f.name, "%s", err.text);
    template_free(&f);
    CHECK(template_choose(&f, t, "zephyr", NULL, &err) && strcmp(f.name, "zephyr") == 0, "%s",
          err.text);
    template_free(&f);
    CHECK(!template_choose(&f, t, "none.json", NULL, &err) && strstr(err.text, "none.json"), "%s",
          err.text);
    for (int i = 0; i < 3; i++)
        put_file((const char *const[]){"template.json", "tokenizer_config.json",
                                       "chat_template.jinja"}[i],
                 NULL);
    free(jinja);
    buf_free(&note);
    tokenizer_free(t);
    tokenizer_free(few);
}

int main(void) {
    const char *base = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/test_template.XXXXXX",
             base && strlen(base) < 200 ? base : "/tmp");
    if (!mkdtemp(folder)) {
        printf("cannot make a folder for temporary files: set TMPDIR\n");
        return 1;
    }
    test_conversations();
    test_plain_text();
    test_spelled();
    test_parts();
    test_marks();
    test_files();
    test_sources();
    test_several_chat();
    rmdir(folder);
    return check_report("template");
}
