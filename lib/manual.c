#include "lib/manual.h"

#include <string.h>

/* ---- the manual page ---- */

/* Text for troff: hyphens and backslashes are escaped, and a line never begins with a request. */
static void put_troff(Buf *out, const char *s) {
    for (; *s; s++) {
        bool first = out->n == 0 || out->s[out->n - 1] == '\n';
        if (first && (*s == '.' || *s == '\'')) buf_puts(out, "\\&");
        if (*s == '-') buf_puts(out, "\\-");
        else if (*s == '\\') buf_puts(out, "\\e");
        else buf_putc(out, *s);
    }
}

/* A heading in quotes, as macros take it. */
static void put_heading(Buf *out, const char *macro, const char *a, const char *b, const char *c) {
    buf_printf(out, ".%s \"", macro);
    put_troff(out, a);
    put_troff(out, b);
    put_troff(out, c);
    buf_puts(out, "\"\n");
}

static void put_row(Buf *out, const Option *row) {
    Buf left = {0}, right = {0};
    options_left(row, &left);
    options_right(row, &right);
    buf_puts(out, ".TP\n.B ");
    put_troff(out, left.s);
    buf_putc(out, '\n');
    if (row->fallback && strcmp(row->fallback, "!") == 0) buf_puts(out, "Needed. ");
    put_troff(out, right.s);
    buf_putc(out, '\n');
    for (int i = 0; i < row->names.count; i++) {
        const char *help, *name = options_choice(row, i, &help);
        if (!name || !help) continue;
        buf_puts(out, ".br\n.I ");
        put_troff(out, name);
        buf_puts(out, "\n\\(en ");
        put_troff(out, help);
        buf_putc(out, '\n');
    }
    buf_free(&left);
    buf_free(&right);
}

void manual_page(const Manual *m, Buf *out) {
    buf_printf(out, ".TH \"%s\" 1 \"\" \"%s %s\"\n.SH NAME\n%s \\- ", m->program, m->program,
               m->version, m->program);
    put_troff(out, m->summary);
    buf_printf(out, "\n.SH SYNOPSIS\n.B %s\n.I COMMAND\n[options]\n.br\n.B %s\n", m->program,
               m->program);
    buf_puts(out,
             ".RB [ \\-\\-help | \\-\\-version | \\-\\-manual | \\-\\-completion\n.IR SHELL ]\n"
             ".SH COMMANDS\nAn option is \\-\\-name value or \\-\\-name=value.\n");
    for (const Command *c = m->commands; c->name; c++) {
        put_heading(out, "SS", c->name, c->positional ? " " : "",
                    c->positional ? c->positional : "");
        put_troff(out, c->summary);
        buf_putc(out, '\n');
        for (const Option *row = m->table; row->name; row++)
            if (options_takes(row, c)) put_row(out, row);
    }
    buf_puts(out, m->about);
}

/* ---- completions ---- */

typedef enum { TAKES_NOTHING, TAKES_WORD, TAKES_CHOICE, TAKES_FILE, TAKES_FOLDER } Takes;

/* What follows the option on the command line. */
static Takes row_takes(const Option *row) {
    bool path = row->type == OPTION_FILES ||
                (row->type == OPTION_STRING && row->value && strcmp(row->value, "FILE") == 0);
    bool folder = row->type == OPTION_STRING && row->value &&
                  (strcmp(row->value, "DIR") == 0 || strcmp(row->value, "RUN") == 0);
    if (row->type == OPTION_FLAG) return TAKES_NOTHING;
    if (row->type == OPTION_CHOICE || (row->type == OPTION_STRING && row->names.count))
        return TAKES_CHOICE;
    return path ? TAKES_FILE : folder ? TAKES_FOLDER : TAKES_WORD;
}

static void put_choices(Buf *out, const Option *row) {
    const char *help;
    int count = 0;
    for (int i = 0; i < row->names.count; i++) {
        const char *name = options_choice(row, i, &help);
        if (name) buf_printf(out, "%s%s", count++ ? " " : "", name);
    }
}

/* The name as it is typed: of a flag that is on by default, its opposite. */
static void put_name(Buf *out, const Option *row) {
    bool on = row->type == OPTION_FLAG && row->fallback && strcmp(row->fallback, "true") == 0;
    buf_printf(out, "%s%s", on ? "no-" : "", row->name);
}

/* Text inside single quotes. In zsh's specifications brackets and colons mean something. */
static void put_quoted(Buf *out, const char *s, const char *escaped) {
    for (; *s; s++) {
        if (*s == '\'') buf_puts(out, "'\\''");
        else {
            if (strchr(escaped, *s)) buf_putc(out, '\\');
            buf_putc(out, *s);
        }
    }
}

static void put_bash(const Manual *m, Buf *out) {
    buf_printf(out, "# Completions of %s for bash.\n_%s() {\n", m->program, m->program);
    buf_puts(out, "    local IFS=$'\\n' cur=${COMP_WORDS[COMP_CWORD]} "
                  "prev=${COMP_WORDS[COMP_CWORD-1]} words=\n"
                  "    COMPREPLY=()\n    [ \"$prev\" != = ] || prev=${COMP_WORDS[COMP_CWORD-2]}\n"
                  "    [ \"$cur\" != = ] || { prev=${COMP_WORDS[COMP_CWORD-1]} cur=; }\n"
                  "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n        words='");
    for (const Command *c = m->commands; c->name; c++) buf_printf(out, "%s ", c->name);
    buf_puts(out, "--help --version --manual --completion'\n    else\n"
                  "        case ${COMP_WORDS[1]}:$prev in\n"
                  "        --completion:*) words='bash zsh fish' ;;\n");
    for (const Command *c = m->commands; c->name; c++)
        for (const Option *row = m->table; row->name; row++) {
            Takes takes = row_takes(row);
            if (!options_takes(row, c) || takes == TAKES_NOTHING) continue;
            buf_printf(out, "        %s:--%s) ", c->name, row->name);
            if (takes == TAKES_CHOICE) {
                buf_puts(out, "words='");
                put_choices(out, row);
                buf_puts(out, "' ;;\n");
            } else if (takes == TAKES_WORD) buf_puts(out, "return ;;\n");
            else
                buf_printf(out, "COMPREPLY=($(compgen -%c -- \"$cur\")); return ;;\n",
                           takes == TAKES_FILE ? 'f' : 'd');
        }
    buf_puts(out, "        *)\n            case ${COMP_WORDS[1]} in\n");
    for (const Command *c = m->commands; c->name; c++) {
        buf_printf(out, "            %s) words='", c->name);
        for (const Option *row = m->table; row->name; row++) {
            if (!options_takes(row, c)) continue;
            buf_puts(out, "--");
            put_name(out, row);
            buf_putc(out, ' ');
        }
        buf_puts(out, "--help' ;;\n");
    }
    buf_printf(out,
               "            esac\n"
               "            [[ $cur == -* ]] || { COMPREPLY=($(compgen -f -- \"$cur\")); return; } "
               ";;\n        esac\n    fi\n"
               "    COMPREPLY=($(IFS=' '; compgen -W \"$words\" -- \"$cur\"))\n}\n"
               "complete -o filenames -F _%s %s\n",
               m->program, m->program);
}

static void put_zsh_row(Buf *out, const Option *row) {
    Takes takes = row_takes(row);
    buf_printf(out, " \\\n            '%s--", row->type == OPTION_FILES ? "*" : "");
    put_name(out, row);
    buf_printf(out, "%s[", takes == TAKES_NOTHING ? "" : "=");
    put_quoted(out, row->help, "[]:\\");
    buf_putc(out, ']');
    if (takes != TAKES_NOTHING) buf_printf(out, ":%s:", row->value ? row->value : "value");
    if (takes == TAKES_CHOICE) {
        buf_putc(out, '(');
        put_choices(out, row);
        buf_putc(out, ')');
    } else if (takes != TAKES_NOTHING && takes != TAKES_WORD)
        buf_puts(out, takes == TAKES_FILE ? "_files" : "_files -/");
    buf_putc(out, '\'');
}

static void put_zsh(const Manual *m, Buf *out) {
    buf_printf(out, "#compdef %s\n# Completions of %s for zsh.\n_%s() {\n    local -a commands\n",
               m->program, m->program, m->program);
    buf_puts(out, "    commands=(\n");
    for (const Command *c = m->commands; c->name; c++) {
        buf_printf(out, "        '%s:", c->name);
        put_quoted(out, c->summary, ":\\");
        buf_puts(out, "'\n");
    }
    buf_puts(out, "        '--help:lists the commands'\n        '--version:prints the version'\n"
                  "        '--manual:prints the manual page'\n"
                  "        '--completion:prints completions for a shell'\n    )\n"
                  "    if (( CURRENT == 2 )); then\n        _describe command commands\n"
                  "        return\n    fi\n    local command=$words[2]\n    shift words\n"
                  "    (( CURRENT-- ))\n    case $command in\n"
                  "    --completion) _values shell bash zsh fish ;;\n");
    for (const Command *c = m->commands; c->name; c++) {
        buf_printf(out, "    %s)\n        _arguments", c->name);
        for (const Option *row = m->table; row->name; row++)
            if (options_takes(row, c)) put_zsh_row(out, row);
        buf_printf(out, " \\\n            '--help[lists the options]'%s ;;\n",
                   c->positional ? " '*:file:_files'" : "");
    }
    buf_printf(out, "    esac\n}\n_%s \"$@\"\n", m->program);
}

static void put_fish_row(const Manual *m, const Command *c, Buf *out, const Option *row) {
    Takes takes = row_takes(row);
    buf_printf(out, "complete -c %s -n '__fish_seen_subcommand_from %s' -l ", m->program, c->name);
    put_name(out, row);
    if (takes == TAKES_CHOICE) {
        buf_puts(out, " -x -a '");
        put_choices(out, row);
        buf_putc(out, '\'');
    } else if (takes == TAKES_WORD) buf_puts(out, " -x");
    else if (takes == TAKES_FILE) buf_puts(out, " -r -F");
    else if (takes == TAKES_FOLDER) buf_puts(out, " -x -a '(__fish_complete_directories)'");
    buf_puts(out, " -d '");
    for (const char *s = row->help; *s; s++) { /* a backslash quotes inside fish's quotes */
        if (*s == '\'' || *s == '\\') buf_putc(out, '\\');
        buf_putc(out, *s);
    }
    buf_puts(out, "'\n");
}

static void put_fish(const Manual *m, Buf *out) {
    buf_printf(out, "# Completions of %s for fish.\n", m->program);
    for (const Command *c = m->commands; c->name; c++) {
        buf_printf(out, "complete -c %s -n __fish_use_subcommand -f -a %s -d '", m->program,
                   c->name);
        put_quoted(out, c->summary, "");
        buf_puts(out, "'\n");
        if (!c->positional)
            buf_printf(out, "complete -c %s -n '__fish_seen_subcommand_from %s' -f\n", m->program,
                       c->name);
        for (const Option *row = m->table; row->name; row++)
            if (options_takes(row, c)) put_fish_row(m, c, out, row);
    }
}

bool manual_completion(const Manual *m, const char *shell, Buf *out) {
    if (strcmp(shell, "bash") == 0) put_bash(m, out);
    else if (strcmp(shell, "zsh") == 0) put_zsh(m, out);
    else if (strcmp(shell, "fish") == 0) put_fish(m, out);
    else return false;
    return true;
}
