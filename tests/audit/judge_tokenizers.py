"""The program's tokenizers against the library tokenizers (Rust): random strings and whole files.

Usage: judge_tokenizers.py ENCODE_TOOL FOLDER   (judge_tokenizers.sh calls it)

Tokenizers: the small ones of tests/reference/small_tokenizers.py, and those of the folders in
TOKENIZERS. Each tokenizer takes 5,000 strings in turn. What must agree:

  ids       with names of added tokens standing for the tokens, as the library has it; and as text,
            against the same tokenizer without added tokens
  decoding  of these ids

The strings are of words, digits, white space, contractions, names of tokens, marks in any order,
and characters of all Unicode. Left out, and counted, are code points without a character in the
Unicode of this Python, and marks that are newer than Unicode 9.0, which the library's NFC has. NUL,
which ends a string for the tool, does not come.
"""
import json
import os
import random
import subprocess
import sys
import unicodedata

from tokenizers import Tokenizer, __version__

sys.path.insert(0, "tests/reference")
import small_tokenizers  # noqa: E402

TOOL, WORK = sys.argv[1], sys.argv[2]
STRINGS = int(os.environ.get("STRINGS", "200000"))
CHUNK = 5000
SHOWN = 5
WORDS = small_tokenizers.CORPUS[0].split() + [
    "'s", "'LL", "'t", "'Re", "'\u017f", "don't", "I", "\u00e9t\u00e9", "na\u00efve",
    "\u043c\u0438\u0440", "\u4e2d\u6587", "\ud55c\uad6d",
    "vi\u1ec7c", "x1", "2024", "12345678", "3.14", "_a", "--",
    "...", "{", "}", "\"", "(", ");", "://", "\u2581", "<0x41>", "\U0001f600", "\u200d"]
SPACES = [" "] * 8 + ["  ", "\n", "\n\n", "\r\n", "\t", "   ", "\u00a0", "\u3000", "\u2028", ""]
MARKS = [c for c in map(chr, range(0x300, 0x370))] + ["\u0591", "\u093c", "\u3099", "\u1dc4"]
# Marks of Unicode 10.0 and later, which the library's NFC does not sort, since it has version 9.0,
# and three characters of 13.0 that it does not put together.
NEW_MARKS = [
    (0x7FD, 0x7FD), (0x898, 0x89F), (0x8CA, 0x8D3), (0x9FE, 0x9FE), (0xC3C, 0xC3C), (0xD3B, 0xD3C),
    (0xEBA, 0xEBA), (0x1715, 0x1715), (0x1ABF, 0x1ACE), (0x1DF6, 0x1DFA), (0xA82C, 0xA82C),
    (0x10D24, 0x10D27), (0x10EAB, 0x10EAC), (0x10EFD, 0x10EFF), (0x10F46, 0x10F50),
    (0x10F82, 0x10F85), (0x11070, 0x11070), (0x1133B, 0x1133B), (0x1145E, 0x1145E),
    (0x11839, 0x1183A), (0x11930, 0x11930), (0x11935, 0x11935), (0x11938, 0x11938),
    (0x1193D, 0x1193E), (0x11943, 0x11943), (0x119E0, 0x119E0), (0x11A34, 0x11A34),
    (0x11A47, 0x11A47), (0x11A99, 0x11A99), (0x11D42, 0x11D42), (0x11D44, 0x11D45),
    (0x11D97, 0x11D97), (0x11F41, 0x11F42), (0x16FF0, 0x16FF1), (0x1E08F, 0x1E08F),
    (0x1E130, 0x1E136), (0x1E2AE, 0x1E2AE), (0x1E2EC, 0x1E2EF), (0x1E4EC, 0x1E4EF)]
JAMO = [chr(c) for r in ((0x1100, 0x1113), (0x1161, 0x1176), (0x11a8, 0x11c3)) for c in range(*r)]
dropped = drawn = passed = failed = 0


def known(c):
    code = ord(c)
    is_new = any(first <= code <= last for first, last in NEW_MARKS)
    return code and not 0xD800 <= code < 0xE000 and unicodedata.category(c) != "Cn" and not is_new


def any_character(r):
    """A character of any plane that has some."""
    global dropped, drawn
    while True:
        top = r.choice((0x80, 0x800, 0x3000, 0xFFFF, 0x1FFFF, 0x323AF, 0xE01EF))
        c = chr(r.randrange(1, top + 1))
        drawn += 1
        if known(c):
            return c
        dropped += 1


def part(r, names):
    kind = r.random()
    if kind < 0.35:
        return r.choice(WORDS)
    if kind < 0.6:
        return r.choice(SPACES)
    if kind < 0.66:
        return r.choice("aeionsu") + "".join(r.choice(MARKS) for _ in range(r.randrange(4)))
    if kind < 0.69:
        return "".join(r.choice(JAMO) for _ in range(r.randrange(1, 5)))
    if kind < 0.71:
        return r.choice(names)[:r.choice((99, 99, 99, 4))]
    return any_character(r)


def string(r, names):
    return "".join(part(r, names) for _ in range(r.randrange(1, 25)))


def ours(folder, texts, mode):
    """[(ids, decoded)] of the program."""
    data = b"".join(text.encode() + b"\0" for text in texts)
    done = subprocess.run([TOOL, folder] + mode, input=data, capture_output=True)
    if done.returncode:
        sys.exit(f"judge-tokenizers: {folder}: {done.stderr.decode()}")
    rows = [line.split("\t", 1) for line in done.stdout.decode().split("\n")[:-1]]
    return [(list(map(int, ids.split())), json.loads(text)) for ids, text in rows]


def compare(name, folder, mode, library, texts):
    global passed, failed
    got = ours(folder, texts, mode)
    want = [e.ids for e in library.encode_batch(texts, add_special_tokens=False)]
    decoded = library.decode_batch(want, skip_special_tokens=False)
    for text, (ids, back), wanted, wanted_back in zip(texts, got, want, decoded):
        same = ids == wanted and back == wanted_back
        passed, failed = passed + same, failed + (not same)
        if not same and failed <= SHOWN:
            print(f"judge-tokenizers: FAILED: {name} {mode}: {ascii(text)}\n  ids {ids}\n  not "
                  f"{wanted}\n  decoded {ascii(back)}\n  not {ascii(wanted_back)}")
    return len(got)


def main():
    tokenizers = []
    for name, content in small_tokenizers.all_tokenizers().items():
        folder = f"{WORK}/{name}"
        os.mkdir(folder)
        with open(f"{folder}/tokenizer.json", "w", encoding="utf-8") as f:
            json.dump(content, f)
        tokenizers.append((name, folder))
    tokenizers += [(os.path.basename(f), f) for f in os.environ.get("TOKENIZERS", "").split()]
    files = [open(f, encoding="utf-8", newline="").read()
             for f in os.environ.get("TEXTS", "").split()]
    loaded, names = [], set()
    for name, folder in tokenizers:
        with open(f"{folder}/tokenizer.json", encoding="utf-8") as f:
            content = json.load(f)
        names.update(token["content"] for token in content["added_tokens"][:30])
        whole = Tokenizer.from_str(json.dumps(content))
        content["added_tokens"] = []
        loaded.append((name, folder, whole, Tokenizer.from_str(json.dumps(content))))
    r, names = random.Random(1), sorted(names)
    for start in range(0, STRINGS, CHUNK):
        texts = [string(r, names) for _ in range(min(CHUNK, STRINGS - start))]
        name, folder, whole, plain = loaded[start // CHUNK % len(loaded)]
        compare(name, folder, ["template"], whole, texts)
        compare(name, folder, [], plain, texts[:CHUNK // 10])
    for text in files:
        for name, folder, whole, plain in loaded:
            compare(name, folder, ["template"], whole, [text])
    print(f"judge-tokenizers: tokenizers {__version__}, Unicode {unicodedata.unidata_version}: "
          f"{len(loaded)} tokenizers, {STRINGS} strings, {len(files)} files; {dropped} of {drawn} "
          f"code points were left out ({100 * dropped / max(drawn, 1):.1f} %)")
    print(f"judge-tokenizers: {passed} passed, {failed} failed")
    return failed != 0


sys.exit(main())
