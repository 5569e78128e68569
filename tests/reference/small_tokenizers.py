"""Small tokenizers of each kind that the program reads, trained by the library tokenizers, and what
that library makes of some texts.

Usage: python3 tests/reference/small_tokenizers.py tests/reference/tokenizers
It writes NAME/tokenizer.json and vectors.jsonl, for tests/unit/test_tokenizer_json.c:
{"tokenizer", "text", "ids", "decoded"}. In `text` names of added tokens stand for the tokens.
Made with tokenizers 0.23.3. tests/audit/judge_tokenizers.py has the same tokenizers.
"""
import json
import os
import sys

from tokenizers import (AddedToken, Regex, Tokenizer, decoders, models, normalizers,
                        pre_tokenizers, processors, trainers)

CORPUS = """the quick brown fox jumps over the lazy dog, and the dog's owner doesn't mind it
it's what they've seen, we're sure they'll come; I'm there, she'd said THE DOG'S IT'LL
In 2023 there were 1234567 of 890 and 12 more, 3.14159 or 2,718 and 100 000
for (int i = 0; i < n; i++) {\n    sum += values[i];\n\tif (sum > 10) return sum;\n}\n\n
le café où naïve élève été; der Größe nach über Öl; việc hợp nhiều điều một người
привет мир как дела; 日本語 の テキスト 中文 文本 한국어 문장
the the the there then them and and an in on it is of to a   two  blanks    four
""".split("\n")
# What a pipeline could get wrong: the rules of pieces, NFC, digits, bytes, names of tokens.
TEXTS = [
    "", " ", "  ", "a", " a", "a ", "\n", "the quick brown fox", "The dog's IT'LL DON'T 'Tis 'x",
    "  two   blanks    four ", "x1y12z1234 12345 007", "3.14159, 2,718 and 100 000", "٣½Ⅷ ٤",
    "a\n\nb \n c\r\n  d\t\n \n", "\n \n  x", "\tif (x) {\n\t\treturn 1;\n\t}\n", "!?\n\n.\r\nx  ?!",
    "café cafe\u0301 e\u0301\u0323 \u1e69 s\u0323\u0307 \u212b \u2126", "việc hợp nhiều",
    "việc vie\u0302\u0323c",
    "\u1100\u1161\u11a8 \uac01 \u0958 \u0344", "日本語のテキスト、中文。", "한국어 문장", "😀 👍🏽 \u200d",
    "\u00a0x \u3000y\u2028z\u0085", "a\u2581b \u2581\u2581c", "theater then thermos", " theater",
    "<s>the dog</s>", "<|im_start|>user\nthe dog<|im_end|>\n", "<think>\nthe\n</think>\n\ndog",
    "the<|im_end|> dog<|im_end", "<s> a <s>  b", "<0x41> <0x0A>", "привет мир",
    "don\u2019t \u201cquote\u201d",
    "the\u0301 \u0301x", "a" * 40, "the " * 12, "7" * 10, " " * 21 + "x", "\n" * 9 + "x",
    "É\u0301é",
]
WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
OTHERS = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
BLANK = "\u2581"
SIZE = 330


def split(digits):
    rule = Regex(WORDS + digits + OTHERS)
    return pre_tokenizers.Sequence([
        pre_tokenizers.Split(rule, "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def trained(pre_tokenizer, normalizer, specials, plain=()):
    t = Tokenizer(models.BPE())
    if normalizer:
        t.normalizer = normalizer
    t.pre_tokenizer = pre_tokenizer
    t.decoder = decoders.ByteLevel()
    t.post_processor = processors.ByteLevel(trim_offsets=False)
    t.train_from_iterator(CORPUS, trainers.BpeTrainer(
        vocab_size=SIZE, show_progress=False, special_tokens=[],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet())))
    t.add_special_tokens(list(specials))
    t.add_tokens([AddedToken(name, normalized=False) for name in plain])
    return json.loads(t.to_str())


def llama3():
    j = trained(split(r"\p{N}{1,3}"), None, ["<s>", "</s>", "<|im_start|>", "<|im_end|>"])
    first = max(j["model"]["vocab"].values()) + 1
    # Whole pieces that no merge makes, whose ids the added tokens had.
    for name in ["\u0120theater", "thermos", "vi\u00e1\u00bb\u0129c"]:
        j["model"]["vocab"][name] = first
        first += 1
    for token in j["added_tokens"]:
        token["id"], first = first, first + 1
    begin = j["added_tokens"][0]
    j["model"]["ignore_merges"] = True
    j["post_processor"] = {"type": "Sequence", "processors": [
        {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True},
        {"type": "TemplateProcessing",
         "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}},
                    {"Sequence": {"id": "A", "type_id": 0}}],
         "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
         "special_tokens": {"<s>": {"id": "<s>", "ids": [begin["id"]], "tokens": ["<s>"]}}}]}
    j["model"]["merges"] = [" ".join(merge) for merge in j["model"]["merges"]]  # the older form
    return j


def pieces(prepend, whole_lines=False):
    """SentencePiece-style: prepend is a normalizer's, or Metaspace's always or never."""
    t = Tokenizer(models.BPE())
    scheme = "never" if prepend == "never" else "always"
    t.pre_tokenizer = pre_tokenizers.Metaspace(BLANK, scheme, split=not whole_lines)
    # The most frequent characters. The others are spelled in bytes.
    text = "".join(CORPUS).replace(" ", BLANK)
    alphabet = sorted(set(text), key=lambda c: (-text.count(c), c))[:70]
    t.train_from_iterator(CORPUS, trainers.BpeTrainer(
        vocab_size=SIZE - 180, show_progress=False, special_tokens=[],
        initial_alphabet=alphabet, limit_alphabet=len(alphabet)))
    if prepend == "normalizer":
        t.pre_tokenizer = pre_tokenizers.Metaspace(BLANK, "never")  # replaced below
        t.normalizer = normalizers.Sequence([normalizers.Prepend(BLANK),
                                             normalizers.Replace(" ", BLANK)])
    else:
        t.pre_tokenizer = pre_tokenizers.Metaspace(BLANK, scheme, split=False)
    strip = [] if prepend == "never" else [decoders.Strip(" ", 1, 0)]
    t.decoder = decoders.Sequence([decoders.Replace(BLANK, " "), decoders.ByteFallback(),
                                   decoders.Fuse()] + strip)
    j = json.loads(t.to_str())
    if prepend == "normalizer":
        j["pre_tokenizer"] = None
    names = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)]
    old = sorted(j["model"]["vocab"], key=j["model"]["vocab"].get)
    j["model"].update(byte_fallback=True, fuse_unk=True, unk_token="<unk>",
                      vocab={name: i for i, name in enumerate(names + old)})
    j["added_tokens"] = [{"id": i, "content": names[i], "single_word": False, "lstrip": False,
                          "rstrip": False, "normalized": False, "special": True}
                         for i in range(3)]
    j["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}},
                   {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}}
    return j


def all_tokenizers():
    """The name of each tokenizer and its tokenizer.json."""
    chat = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    digits = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), byte_level])
    return {
        "gpt2": trained(byte_level, None, chat[:1]),
        "smollm2": trained(digits, None, chat),
        "llama3": llama3(),
        "qwen": trained(split(r"\p{N}"), normalizers.NFC(), chat, ["<think>", "</think>"]),
        "llama2": pieces("normalizer"),
        "metaspace": pieces("always"),
        "never": pieces("never", whole_lines=True),
    }


if __name__ == "__main__":
    folder = sys.argv[1]
    with open(f"{folder}/vectors.jsonl", "w", encoding="utf-8") as vectors:
        for name, tokenizer in all_tokenizers().items():
            os.makedirs(f"{folder}/{name}", exist_ok=True)
            with open(f"{folder}/{name}/tokenizer.json", "w", encoding="utf-8") as f:
                json.dump(tokenizer, f, ensure_ascii=False, separators=(",", ":"))
            t = Tokenizer.from_str(json.dumps(tokenizer))
            for text in TEXTS:
                ids = t.encode(text, add_special_tokens=False).ids
                json.dump({"tokenizer": name, "text": text, "ids": ids,
                           "decoded": t.decode(ids, skip_special_tokens=False)}, vectors,
                          separators=(",", ":"))
                vectors.write("\n")
