# One table of the study from results.jsonl, as Markdown: tests/bench/study.sh calls it.
#
#   table     its name          first    title of the first column
#   columns   separated by ";", each one of
#     mean METRIC DECIMALS SCALE TITLE   mean +- sample deviation over all runs of the row
#     diff METRIC DECIMALS SCALE TITLE   mean of the paired differences from the table's first row,
#                                        and two 95 % intervals (Student's t)
#     gap METRIC                         100 (uniform - row) / (uniform - oracle)
#     worst METRIC                       the least of these gaps over all runs of the row
#     leak METRIC                        of row "X, leaking": 100 (1 - gain of X / its own gain)
#     same METRIC                        in how many runs it equals the first row's
# A row "X: arm" has "X: uniform" for its uniform and first row, and "X: oracle" for its oracle, if
# the table has these rows.
#   choose    labels, separated by ",": of these the lowest nll on draws 1 and 2 is chosen, and
#             reported on the others
#   by        "base": each base has a row, of a table that has one row otherwise
#
# A unit is a base with a draw. Differences are taken within units. The first interval takes units
# for independent. The second takes only bases for independent: it is over their mean differences. A
# METRIC can be a sum: a+b.

function number(line, path, at, rest) {
    at = index(line, "\"" path "\":")
    if (!at) return "none"
    rest = substr(line, at + length(path) + 3)
    return match(rest, /^[-+0-9.eE]+/) ? substr(rest, 1, RLENGTH) + 0 : "none"
}
function string(line, key, at, rest) {
    at = index(line, "\"" key "\":\"")
    rest = substr(line, at + length(key) + 4)
    return at && match(rest, /^([^"\\]|\\.)*/) ? substr(rest, 1, RLENGTH) : ""
}

# value(row, unit, metric): the figure of a run, or "none"
function value(row, unit, metric, part, n, i, x, sum) {
    n = split(metric, part, "+")
    for (i = 1; i <= n; i++) {
        x = (row, unit) in figures ? number(figures[row, unit], part[i]) : "none"
        if (x == "none") return x
        sum += x
    }
    return sum
}

# The 97.5 % quantile of Student's t: by table up to 30, then by its expansion in 1 / df, which is
# right to 4 digits there.
function quantile(df, t, z) {
    split("12.7062 4.3027 3.1824 2.7764 2.5706 2.4469 2.3646 2.3060 2.2622 2.2281 2.2010 2.1788 " \
          "2.1604 2.1448 2.1314 2.1199 2.1098 2.1009 2.0930 2.0860 2.0796 2.0739 2.0687 2.0639 " \
          "2.0595 2.0555 2.0518 2.0484 2.0452 2.0423", t, " ")
    if (df in t) return t[df]
    z = 1.959964
    return z + (z ^ 3 + z) / (4 * df) + (5 * z ^ 5 + 16 * z ^ 3 + 3 * z) / (96 * df * df)
}

# Statistics of x[1..n]: mean, deviation, and half of the 95 % interval
function statistics(x, n, i, q) {
    mean = deviation = half = 0
    if (!n) return
    for (i = 1; i <= n; i++) mean += x[i] / n
    for (i = 1; i <= n; i++) q += (x[i] - mean) ^ 2
    if (n < 2) return
    deviation = sqrt(q / (n - 1))
    half = quantile(n - 1) * deviation / sqrt(n)
}

# base_row(row, name, other): the row "X: name" of row "X: arm", or else `other`
function base_row(row, name, other, own) {
    own = row
    return sub(/: .*/, ": " name, own) && own in seen ? own : other
}

# derived(how, row, unit, metric): a difference or a share of one unit, or "none"
function derived(how, row, unit, metric, a, u, o, apart, first) {
    a = value(row, unit, metric)
    if (a == "none" || how == "mean") return a
    if (how == "diff") {
        first = base_row(row, "uniform", label[1])
        u = value(first, unit, metric)
        return u == "none" || row == first ? "none" : a - u
    }
    u = value(base_row(row, "uniform", "uniform"), unit, metric)
    if (u == "none") return u
    if (how == "gap" || how == "worst") {
        o = value(base_row(row, "oracle", "oracle"), unit, metric)
        return o == "none" || o == u || row ~ /^(.*: )?(uniform|oracle)$/ ? "none" : \
            100 * (u - a) / (u - o)
    }
    apart = row
    if (!sub(/, leaking$/, "", apart)) return "none"
    if (row == "uniform, leaking") return "none"
    o = value(apart, unit, metric)
    return o == "none" || a == u ? "none" : 100 * (1 - (u - o) / (u - a))
}

# Collects derived(...) over all units into x, and its means by base into b. Returns how many.
function collect(how, row, metric, i, v, n, base, count, sum) {
    bases_n = 0
    for (i = 1; i <= units; i++) {
        v = derived(how, row, unit[i], metric)
        if (v == "none") continue
        x[++n] = v
        base = base_of[unit[i]]
        if (!(base in count)) order[++bases_n] = base
        count[base]++
        sum[base] += v
    }
    for (i = 1; i <= bases_n; i++) b[i] = sum[order[i]] / count[order[i]]
    return n + 0
}

function range(decimals, scale, form) {
    form = "[%+." decimals "f, %+." decimals "f]"
    return sprintf(form, (mean - half) * scale, (mean + half) * scale)
}

function cell(row, how, metric, decimals, scale, n, nb, text, i, equal, all) {
    if (how == "same") {
        for (i = 1; i <= units; i++) {
            if (value(row, unit[i], metric) == "none") continue
            all++
            equal += value(row, unit[i], metric) == value(label[1], unit[i], metric)
        }
        return (row == label[1] ? "-" : equal + 0 " of " all) " |"
    }
    n = collect(how, row, metric)
    nb = bases_n
    if (how == "worst") {
        for (i = 2; i <= n; i++) if (x[i] < x[1]) x[1] = x[i]
        return n ? sprintf("%.1f |", x[1]) : "- |"
    }
    statistics(x, n)
    if (how != "diff")
        return !n ? "- |" : sprintf("%." decimals "f", mean * scale) \
            (n > 1 ? sprintf(" +- %." decimals "f", deviation * scale) : "") " |"
    if (!n) return "- | - | - |"
    text = sprintf("%+." decimals "f | %s", mean * scale, n > 1 ? range(decimals, scale) : "-")
    statistics(b, nb)
    return text " | " (nb > 1 ? range(decimals, scale) : "-") " |"
}

function read_columns(n, i, part, title, j, m) {
    n = split(columns, part, ";")
    for (i = 1; i <= n; i++) {
        m = split(part[i], word, " ")
        how[i] = word[1]; metric[i] = word[2]; decimals[i] = 1; scale[i] = 1
        title = ""
        for (j = 5; j <= m; j++) title = title (j > 5 ? " " : "") word[j]
        if (how[i] == "gap") title = "gap % (" (metric[i] == "nll" ? "NLL" : metric[i]) ")"
        else if (how[i] == "worst") title = "worst run"
        else if (how[i] == "leak") title = "leak's share of the gain %"
        else if (how[i] == "same") title = "the first row's parameters, bit by bit"
        else { decimals[i] = word[3]; scale[i] = word[4] }
        sub(/reward_accuracy/, "reward accuracy", title)
        if (how[i] == "diff") title = title " | 95 %, draws | 95 %, bases"
        heading = heading " " title " |"
        rule = rule (how[i] == "diff" ? "---|---|---|" : "---|")
    }
    return n
}

# Of the labels in `choose`, the best by nll on draws 1 and 2, and what it has on the others
function chosen(n, option, i, j, v, m, sum, best, least, u, base, text) {
    n = split(choose, option, ",")
    for (i = 1; i <= n; i++) {
        m = sum = 0
        for (j = 1; j <= units; j++) {
            v = value(option[i], unit[j], "nll")
            if (draw_of[unit[j]] > 2 || v == "none") continue
            m++
            sum += v
        }
        if (m && (best == "" || sum / m < least)) { best = option[i]; least = sum / m }
    }
    m = u = 0
    for (j = 1; j <= units; j++) {
        v = value(best, unit[j], "nll")
        if (draw_of[unit[j]] <= 2 || v == "none") continue
        x[++m] = v
        base = value("uniform", unit[j], "nll")
        if (base != "none") b[++u] = v - base
    }
    if (m < 2 || m != u) return
    statistics(x, m)
    text = sprintf("%.4f +- %.4f", mean, deviation)
    statistics(b, u)
    printf "\nOf the arms that know nothing of the corruption, " \
        "draws 1 and 2 choose `%s` (%.4f).\n" \
        "On the other %d runs it has %s, which is %+.4f from uniform\n(95 %% %s over draws).\n", \
        best, least, m, text, mean, range(4, 1)
}

index($0, "\"table\":\"" table "\",") {
    row = string($0, by == "base" ? "base" : "row")
    id = string($0, "base") " " number($0, "draw")
    if (!(row in seen)) { seen[row] = 1; label[++rows] = row }
    if (!(id in base_of)) {
        unit[++units] = id
        base_of[id] = string($0, "base")
        draw_of[id] = number($0, "draw")
        if (!(base_of[id] in known)) { known[base_of[id]] = 1; bases++ }
    }
    figures[row, id] = substr($0, index($0, "\"figures\":"))
    runs[row]++
    if (runs[row] > most) most = runs[row]
    build = string($0, "build")
    if (!(build in builds)) names[++kinds] = build
    builds[build]++
}

END {
    if (!rows) exit
    n = read_columns()
    print "| " first " |" heading
    print "|---|" rule
    for (i = 1; i <= rows; i++) {
        line = "| " label[i] (runs[label[i]] < most ? " (" runs[label[i]] " runs)" : "") " |"
        for (j = 1; j <= n; j++)
            line = line " " cell(label[i], how[j], metric[j], decimals[j], scale[j])
        print line
    }
    printf "\n%d %s, %d %s a row. Build", bases, (bases > 1 ? "bases" : "base"), most, \
        (most > 1 ? "runs" : "run")
    for (i = 1; i <= kinds; i++)
        printf "%s %s%s", (i > 1 ? "," : ""), names[i], \
            (kinds > 1 ? " (" builds[names[i]] " runs)" : "")
    print "."
    if (choose != "") chosen()
}
