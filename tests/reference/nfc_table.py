"""Makes lib/nfc_table.h from the files of Unicode 15.0.0 (Debian's package unicode-data).

Usage: python3 tests/reference/nfc_table.py FOLDER >lib/nfc_table.h
       python3 tests/reference/nfc_table.py FOLDER rows 40
FOLDER has UnicodeData.txt and DerivedNormalizationProps.txt. The second form prints every 40th row
of its NormalizationTest.txt, for tests/unit/test_nfc.c.
"""
import sys

folder = sys.argv[1]


def fields(name):
    for line in open(f"{folder}/{name}", encoding="utf-8"):
        row = [field.strip() for field in line.split("#")[0].split(";")]
        if len(row) > 1:
            yield row


if len(sys.argv) > 2:
    rows = [row[:5] for row in fields("NormalizationTest.txt")]
    for row in rows[::int(sys.argv[3])]:
        print("    {" + ", ".join(f'"{column}"' for column in row) + "},")
    sys.exit()

classes, decomposed, excluded = {}, {}, set()
for row in fields("UnicodeData.txt"):
    if row[3] != "0":
        classes[int(row[0], 16)] = int(row[3])
    if row[5] and not row[5].startswith("<"):
        decomposed[int(row[0], 16)] = [int(c, 16) for c in row[5].split()]
for row in fields("DerivedNormalizationProps.txt"):
    if row[1] == "Full_Composition_Exclusion":
        ends = [int(c, 16) for c in row[0].split("..")]
        excluded.update(range(ends[0], ends[-1] + 1))


def ranges(values):
    """[first, last, value] of neighbors with equal values."""
    out = []
    for c in sorted(values):
        if out and out[-1][1] == c - 1 and out[-1][2] == values[c]:
            out[-1][1] = c
        else:
            out.append([c, c, values[c]])
    return out


def table(comment, head, items):
    print(f"\n/* {comment} */\nstatic const {head} = {{")
    line = "   "
    for item in items:
        if len(line) + len(item) + 2 > 100:
            print(line)
            line = "   "
        line += f" {item},"
    print(f"{line}\n}};")


codes = sorted(decomposed)
place = {c: i for i, c in enumerate(codes)}
pairs = sorted((decomposed[c], place[c]) for c in codes if c not in excluded)
seconds = {decomposed[c][1]: 0 for c in codes if c not in excluded}
seconds.update({c: 0 for c in [*range(0x1161, 0x1176), *range(0x11A8, 0x11C3)]})
print("/* Made by tests/reference/nfc_table.py of UnicodeData.txt and "
      "DerivedNormalizationProps.txt,\n"
      " * Unicode 15.0.0. lib/nfc.c says what the columns are. */\n"
      "#ifndef NFC_TABLE_H\n#define NFC_TABLE_H\n\n#include <stdint.h>\n\n/* clang-format off */")
print("\ntypedef struct {\n    uint32_t first, last;\n    uint8_t value;\n} NfcRange;\n"
      "typedef struct {\n    uint32_t code, first, second;\n} NfcPair;")
table(f"Combining classes other than 0, of {len(classes)} characters.", "NfcRange NFC_CLASSES[]",
      [f"{{0x{a:X}, 0x{b:X}, {v}}}" for a, b, v in ranges(classes)])
table(f"Characters that can be the second of a pair that is put together: {len(seconds)}.",
      "NfcRange NFC_SECONDS[]", [f"{{0x{a:X}, 0x{b:X}, {v}}}" for a, b, v in ranges(seconds)])
table(f"Canonical decompositions of {len(codes)} characters, a step of each; second 0: it is one "
      "character.", "NfcPair NFC_PAIRS[]",
      [f"{{0x{c:X}, 0x{decomposed[c][0]:X}, "
       + (f"0x{decomposed[c][1]:X}}}" if len(decomposed[c]) > 1 else "0}") for c in codes])
table(f"The {len(pairs)} pairs that are put together again, by first and second: indices of "
      "NFC_PAIRS.", "uint16_t NFC_COMPOSED[]", [str(i) for pair, i in pairs])
print("\n#endif")
