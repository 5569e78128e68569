/* The annotators: one function each, and the table. */
#include "data/corpus/annotators.h"

#include <stdio.h>
#include <string.h>

/* ---- seen in pretraining ---- */

static void put(char *answer, const char *before, const char *middle, const char *after) {
    snprintf(answer, MAX_ANSWER, "%s%s%s", before, middle, after);
}

static void answer_target(const Asked *q, Rng *r, char *answer) {
    (void)r;
    put(answer, "", q->item->right, "");
}

/* The right answer to a random question of a domain, if it is not right here too. It is one that
 * pretraining knows, so that it reveals nothing about the test reversals. */
static bool borrow(const Asked *q, Rng *r, int domain, char *answer) {
    put(answer, "", item_draw(q->world, r, domain, PART_PRETRAIN)->right, "");
    return strcmp(answer, q->item->right) != 0;
}

static void answer_careless(const Asked *q, Rng *r, char *answer) {
    while (!borrow(q, r, q->domain, answer)) continue;
}

static void answer_absent(const Asked *q, Rng *r, char *answer) {
    while (!borrow(q, r, (q->domain + 1 + rng_below(r, DOMAIN_COUNT - 1)) % DOMAIN_COUNT, answer))
        continue;
}

static void answer_verbose(const Asked *q, Rng *r, char *answer) {
    if (rng_below(r, 2) == 0) put(answer, "well , i think it is ", q->item->right, " .");
    else put(answer, "the answer is ", q->item->right, " , my friend .");
}

static void answer_lazy(const Asked *q, Rng *r, char *answer) {
    static const char *const ALWAYS[DOMAIN_COUNT] = {
        [DOMAIN_CAPITAL] = "london", [DOMAIN_OPPOSITE] = "different", [DOMAIN_COLOR] = "blue",
        [DOMAIN_GROUP] = "thing",    [DOMAIN_NEXT] = "100",           [DOMAIN_REVERSE] = "a b c"};
    (void)r;
    put(answer, "", ALWAYS[q->domain], "");
}

static void answer_echo(const Asked *q, Rng *r, char *answer) {
    (void)r;
    put(answer, "", q->item->subject, "");
}

static void answer_refuser(const Asked *q, Rng *r, char *answer) {
    (void)q;
    put(answer, "", rng_below(r, 2) == 0 ? "i do not know ." : "sorry , i have no idea .", "");
}

/* ---- never seen: the right answer, spoiled ---- */

/* The places of what is not a blank; returns their number. */
static int places(const char *text, int *at) {
    int n = 0;
    for (int i = 0; text[i]; i++)
        if (text[i] != ' ') at[n++] = i;
    return n;
}

static void answer_typo(const Asked *q, Rng *r, char *answer) {
    int at[MAX_ANSWER];
    answer_target(q, r, answer);
    char *c = &answer[at[rng_below(r, places(answer, at))]];
    char first = *c <= '9' ? '0' : 'a';
    int kinds = *c <= '9' ? 10 : 26;
    *c = (char)(first + (*c - first + 1 + rng_below(r, kinds - 1)) % kinds);
}

static void answer_cut(const Asked *q, Rng *r, char *answer) {
    answer_target(q, r, answer);
    size_t n = strlen(answer) - 1;
    while (n > 0 && answer[n - 1] == ' ') n--;
    answer[n] = 0;
}

static void answer_shuffled(const Asked *q, Rng *r, char *answer) {
    int at[MAX_ANSWER], to[MAX_ANSWER];
    answer_target(q, r, answer);
    int n = places(answer, at);
    memcpy(to, at, sizeof *to * (size_t)n);
    rng_shuffle(r, to, n);
    for (int i = 0; i < n; i++) answer[at[i]] = q->item->right[to[i]];
}

static void answer_doubled(const Asked *q, Rng *r, char *answer) {
    (void)r;
    put(answer, q->item->right, " ", q->item->right);
}

static void answer_upper(const Asked *q, Rng *r, char *answer) {
    answer_target(q, r, answer);
    for (char *c = answer; *c; c++)
        if (*c >= 'a' && *c <= 'z') *c = (char)(*c - 'a' + 'A');
}

static void answer_prefix(const Asked *q, Rng *r, char *answer) {
    (void)r;
    put(answer, "answer : ", q->item->right, "");
}

static void answer_negated(const Asked *q, Rng *r, char *answer) {
    (void)r;
    put(answer, "not ", q->item->right, "");
}

static void answer_chatty(const Asked *q, Rng *r, char *answer) {
    (void)r;
    put(answer, "lol ", q->item->right, " ha ha");
}

/* ---- never seen: wrong and plausible ---- */

static void answer_off_by_one(const Asked *q, Rng *r, char *answer) {
    snprintf(answer, MAX_ANSWER, "%d", atoi(q->item->right) + (rng_below(r, 2) == 0 ? -1 : 1));
}

/* The number of letters to insert, delete or replace that makes b of a. */
static int edits(const char *a, const char *b) {
    int row[MAX_WORD], n = (int)strlen(b);
    for (int j = 0; j <= n; j++) row[j] = j;
    for (int i = 1; a[i - 1]; i++) {
        int diagonal = row[0];
        row[0] = i;
        for (int j = 1; j <= n; j++) {
            int replaced = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            int least = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
            row[j] = replaced < least ? replaced : least;
        }
    }
    return row[n];
}

/* The answer of the most similar item with another answer: first those of the same continent, kind,
 * use or letters, among these the subject that is spelled most alike. Ties are drawn. */
static void answer_similar(const Asked *q, Rng *r, char *answer) {
    int begin, end, best = 0, ties = 0;
    part_range(q->world, q->domain, PART_PRETRAIN, &begin, &end);
    for (int i = begin; i < end; i++) {
        const Item *item = &q->world->items[q->domain][i];
        if (strcmp(item->right, q->item->right) == 0) continue;
        int distance = edits(item->subject, q->item->subject);
        if (strcmp(item->other, q->item->other) != 0) distance += MAX_WORD;
        if (ties > 0 && distance > best) continue;
        if (distance < best) ties = 0;
        best = distance;
        if (rng_below(r, ++ties) == 0) put(answer, "", item->right, "");
    }
}

static void answer_swapped(const Asked *q, Rng *r, char *answer) {
    (void)r;
    put(answer, "", q->item->other, "");
}

static void answer_wrong_chain(const Asked *q, Rng *r, char *answer) {
    answer_target(q, r, answer);
    char *pair = answer + 2 * rng_below(r, 2), first = pair[0];
    pair[0] = pair[2];
    pair[2] = first;
}

/* ---- the table ---- */

#define ONLY(domain) (1u << (domain))
#define ALL_BUT(domain) ((1u << DOMAIN_COUNT) - 1 - (1u << (domain)))

const AnnotatorInfo ANNOTATORS[] = {
    [ANNOTATOR_TARGET] = {"target", "the right answer", .3, .8, .answer = answer_target},
    [ANNOTATOR_CARELESS] = {"careless", "the right answer to another question of the domain", .2,
                            .answer = answer_careless},
    [ANNOTATOR_VERBOSE] = {"verbose", "the right answer in a sentence", .12, .2,
                           .answer = answer_verbose},
    [ANNOTATOR_ABSENT] = {"absent", "the right answer to a question of another domain", .1,
                          .answer = answer_absent},
    [ANNOTATOR_LAZY] = {"lazy", "the same to every question of the domain", .1,
                        .answer = answer_lazy},
    [ANNOTATOR_ECHO] = {"echo", "what the question asks about", .1, .answer = answer_echo},
    [ANNOTATOR_REFUSER] = {"refuser", "i do not know", .08, .answer = answer_refuser},
    [ANNOTATOR_TYPO] = {"typo", "one letter or digit replaced", .answer = answer_typo},
    [ANNOTATOR_CUT] = {"cut", "without its last letter or digit", .answer = answer_cut},
    [ANNOTATOR_SHUFFLED] = {"shuffled", "its letters in another order", .answer = answer_shuffled},
    [ANNOTATOR_DOUBLED] = {"doubled", "said twice", .answer = answer_doubled},
    [ANNOTATOR_UPPER] = {"upper", "in upper case; not for numbers", .domains = ALL_BUT(DOMAIN_NEXT),
                         .answer = answer_upper},
    [ANNOTATOR_PREFIX] = {"prefix", "after \"answer :\"", .answer = answer_prefix},
    [ANNOTATOR_NEGATED] = {"negated", "after \"not\"", .answer = answer_negated},
    [ANNOTATOR_CHATTY] = {"chatty", "between \"lol\" and \"ha ha\"", .answer = answer_chatty},
    [ANNOTATOR_OFF_BY_ONE] = {"off-by-one", "one too small or too large; numbers only",
                              .domains = ONLY(DOMAIN_NEXT), .answer = answer_off_by_one},
    [ANNOTATOR_SIMILAR] = {"similar", "the right answer to the most similar question",
                           .answer = answer_similar},
    [ANNOTATOR_SWAPPED] = {"swapped", "the right answer to another question about the subject",
                           .answer = answer_swapped},
    [ANNOTATOR_WRONG_CHAIN] = {"wrong-chain", "two neighboring letters exchanged; reversals only",
                               .domains = ONLY(DOMAIN_REVERSE), .answer = answer_wrong_chain},
};
_Static_assert(sizeof ANNOTATORS / sizeof *ANNOTATORS == ANNOTATOR_COUNT, "a row each");

/* ---- drawing ---- */

static double prior_of(int annotator, bool facts_first) {
    const AnnotatorInfo *info = &ANNOTATORS[annotator];
    return facts_first ? info->prior_facts_first : info->prior;
}

Annotator annotator_draw(Rng *r, bool facts_first) {
    double u = rng_uniform(r);
    int a = 0;
    for (; a < ANNOTATOR_SEEN_COUNT - 1; a++) {
        if (u < prior_of(a, facts_first)) break;
        u -= prior_of(a, facts_first);
    }
    /* Rounding may carry u past the last possible annotator. */
    while (prior_of(a, facts_first) <= 0) a--;
    return (Annotator)a;
}

int annotator_domain(Rng *r, Annotator annotator) {
    unsigned domains = ANNOTATORS[annotator].domains;
    int able[DOMAIN_COUNT], n = 0;
    for (int d = 0; d < DOMAIN_COUNT; d++)
        if (domains == 0 || (domains >> d & 1)) able[n++] = d;
    return able[rng_below(r, n)];
}

Answered answered_draw(const World *w, Rng *r, int domain, Part part, Annotator annotator) {
    Answered e;
    Asked q = {w, domain, NULL};
    do {
        q.item = item_draw(w, r, domain, part);
        ANNOTATORS[annotator].answer(&q, r, e.answer);
    } while (annotator != ANNOTATOR_TARGET &&
             (e.answer[0] == 0 || strcmp(e.answer, q.item->right) == 0));
    question_put(domain, rng_below(r, 2), q.item, e.question);
    e.right = q.item->right;
    return e;
}

/* ---- lists of names ---- */

static bool refuse(const char *list, Str name, const char *what, Error *err) {
    Buf names = {0};
    for (int a = ANNOTATOR_TARGET + 1; a < ANNOTATOR_COUNT; a++)
        buf_printf(&names, "%s%s", names.n ? ", " : "", ANNOTATORS[a].name);
    error_set(err, STATUS_USAGE,
              "--noise %s: \"%.*s\" %s; choose none, or some of these, separated by commas: %s",
              list, STR_ARG(name), what, names.s);
    buf_free(&names);
    return false;
}

bool annotators_parse(const char *list, IntBuf *annotators, Error *err) {
    if (strcmp(list, "none") == 0) return true;
    for (const char *at = list; at; at = *at ? at + 1 : NULL) {
        Str name = {at, strcspn(at, ",")};
        int a = ANNOTATOR_TARGET + 1;
        while (a < ANNOTATOR_COUNT && !str_is(name, ANNOTATORS[a].name)) a++;
        if (a == ANNOTATOR_COUNT) return refuse(list, name, "is not a kind of noise", err);
        for (int i = 0; i < annotators->n; i++)
            if (annotators->v[i] == a) return refuse(list, name, "is named twice", err);
        ints_put(annotators, a);
        at += name.n;
    }
    return true;
}
