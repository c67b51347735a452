#!/usr/bin/env python3
"""Writes golden.json and golden.f32, parity.json and parity.f32: what Hugging Face's
tokenizers and ONNX Runtime in Python make of the texts below with all-MiniLM-L6-v2;
and parity768.json and parity768.f32: the same of all-mpnet-base-v2.

    pip install onnxruntime==1.29.0 tokenizers==0.23.3 numpy==2.4.6
    python3 golden.py MINILM_FOLDER MPNET_FOLDER       # as embed/setup installs them

golden.json: a list of {"text" or "base64", "repeat", "ids"}: the text is its piece
repeated that often; base64 is for bytes that are not UTF-8, or where it is shorter. ids are the token ids, cut
to 256. golden.f32: for each entry with "vector": true, 384 float32 (little-endian), mean
pooled and normalised, each text run alone.

parity.json: many more texts, made at random with a fixed seed, in the same form, but
with "count", how many ids, and "hash", the first 16 digits of the SHA-256 of the ids as
uint32 (little-endian), in the place of the ids. parity.f32: of each text's vector, 16
numbers: those at (37 * text + 23 * i) % 384 for i from 0 to 15.

parity768.json: "count" and "hash" for each text of parity.json, cut to 384 tokens.
parity768.f32: of every fourth text's vector, 16 numbers in the same way, % 768.
"""
import base64, hashlib, json, os, random, sys

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

MAX_TOKENS = 256

plain = """
We will build a wall, and they will pay for it.|The lighthouse keeper counts ships, not days.|Is it raining in Lisbon?
Taxes are too high!!! Everybody knows it.|I never said that. I said the opposite.|a|A|I|.|?!|...|…|-|--|—
Don't stop now, it's nearly o'clock|can't won't shouldn't've y'all'd've|rock 'n' roll|the 1990s and the '60s
Visit https://example.org/a/b?c=d&e=%20f#g now|mail me: jane.doe+news@example.com|@someone #hashtag #TwoWords $TICKER
1,234,567.89 dollars or 1.234.567,89 euros|3.14159265358979|+1 (555) 010-9999|2026-11-23T23:16:34Z|0x7fffffff 1e-12 ½ ⅓ ² ³ № ™
antidisestablishmentarianism|Donaudampfschifffahrtsgesellschaft|pneumonoultramicroscopicsilicovolcanoconiosis
HELLO World hElLo|ÀÉÎÕÜ àéîõü|naïve café résumé Ångström|Straße, STRASSE, straße|İstanbul Iğdır ısı|ﬁne oﬃce ﬂag|Ǆ ǅ ǆ
x_y_z snake_case camelCase kebab-case|foo(bar[0], {"k": 1}) => baz;|a+b=c; a<b>c; a&b|\\ / | ~ ` ^ ° § ¶|C++ C# F# .NET
[CLS]|[SEP]|[PAD]|[UNK]|[MASK]|text [SEP] more [CLS] text|[sep] [ SEP ]|[MASK]ed men|##ing ##s|a ##b
To be, or not to be: that is the question we leave to others.|The quick brown fox jumps over the lazy dog
One sentence. Another one! A third? Yes; and, well, a fourth: done.|(parentheses) [brackets] {braces} <angles> «guillemets» „quotes“
"""
scripts = """
Привет, мир! Как дела сегодня?|Ёжик в тумане|ЩЁЛКНИ КОБЫЛУ В НОС|Ελληνικά: Καλημέρα κόσμε, ΣΊΣΥΦΟΣ ὀδυσσεύς|Українська їжа ґанок
你好，世界。今天天气怎么样？|東京都庁へ行きました。|カタカナとひらがなとｶﾀｶﾅ|안녕하세요 세계|한국어 문장입니다.|漢字kanji混ざりtext|㐀㐁𠀀𠀁 rare ideographs
مرحبا بالعالم كيف حالك|السَّلَامُ عَلَيْكُمْ|שלום עולם|שָׁלוֹם|فارسی می‌خواهم|اردو میں ایک جملہ|‏RTL mark‎ LTR mark
नमस्ते दुनिया|क्षत्रिय ज्ञान|বাংলা ভাষা|ਪੰਜਾਬੀ|தமிழ் மொழி|తెలుగు|ಕನ್ನಡ|മലയാളം|සිංහල|ภาษาไทยไม่มีช่องว่าง|ພາສາລາວ|မြန်မာဘာသာ|ខ្មែរ
አማርኛ|ქართული ენა|Հայերեն|ᏣᎳᎩ|ᐃᓄᒃᑎᑐᑦ|བོད་སྐད|ᠮᠣᠩᠭᠣᠯ|Tiếng Việt có dấu|Türkçe ğüşiöç|Polski zażółć gęślą jaźń|Čeština příliš žluťoučký kůň
😀|😀😃😄|👍🏽 thumbs|👨‍👩‍👧‍👦 family|🏳️‍🌈 🇩🇪🇫🇷 flags|❤️ vs ❤|I ❤️ NY 🗽!!|🤷‍♀️ who knows|1️⃣2️⃣3️⃣|☃ snow ☂ rain ♞ knight|∑ ∏ ∫ √ ∞ ≠ ≤ ≥|𝓯𝓪𝓷𝓬𝔂 𝔱𝔢𝔵𝔱 𝟘𝟙𝟚|ＦＵＬＬ ｗｉｄｔｈ|ⓒⓘⓡⓒⓛⓔ
é vs e\u0301|a\u0300\u0301\u0302\u0303 stacked|Z\u0351\u036b\u0343a\u0363\u0362l\u034dg\u0321o\u0300|\u0301 leading mark|n\u0303o n\u0303|\u1112\u1161\u11ab\u1100\u1173\u11af jamo|a\u20dd enclosed
soft\u00adhyphen|zero\u200bwidth|zero\u200cnon\u200djoiner|\ufeffbom at start|no\u00a0break\u202fspace|ideographic\u3000space|em\u2003space en\u2002space|line\u2028sep para\u2029sep|word\u2060joiner|\ufffd replacement|\ue000 private \U000f0000 use|\ufdd0 noncharacter \uffff|math \u2061 invisible|\U000e0041\U000e0042 tags
"""
controls = ["", " ", "   ", "\t", "\n", "\r\n", " \t\n\r ", "\x0b\x0c", "\x00", "\x00\x00\x00", "abc\x00def ghi", "\x00start", "end\x00", "a\x00 b",
            "a\x01b\x02c\x1fd", "del\x7fete", "c1\x80\x85\x9f controls", "tab\tseparated\tvalues", "two\nlines", "dos\r\nlines\r\n", "bell\x07 esc\x1b[31mred\x1b[0m",
            "  leading and trailing  ", "many     spaces      inside", "\u00a0", "\u200b", "\u3000 \u3000"]
bad_utf8 = [b"\xff", b"abc\xffdef", b"\xc3\x28 two", b"cut \xe2\x82", b"\xed\xa0\x80 surrogate", b"\xf0\x9f\x98 face", b"\xc0\x80 overlong", b"ok \xfe\xfe\xff\xff end", b"\x80\x80\x80"]
repeated = [("word ", 20000), ("a", 100000), ("1", 102400), ("x" * 99 + " ", 1000), ("x" * 100 + " ", 1000), ("x" * 101 + " ", 1000), ("long" * 30 + " ", 900),
            ("你好世界", 9000), ("привет мир ", 5000), ("😀", 26000), (" ", 100000), ("\n\t ", 34000), ("\x00", 100000), ("\x01 ", 50000),
            ("e\u0301 ", 30000), (".", 100000), ("a.b-c/d ", 12800), ("[SEP] ", 17000), ("un-be-liev-able! ", 6000), ("\u200b", 30000), ("مرحبا ", 9000),
            ("ab " + " " * 997, 100), ("the ", 253), ("the ", 254), ("the ", 255), ("the ", 256), ("tokenization ", 127), ("tokenization ", 128), ("a,", 127), ("ก", 30000)]

def shuffled(count, seed=20261123, lengths=(2, 3, 5, 8, 13, 40, 120)):
    """Mixes pieces of the texts above: what stands beside what should not matter, and does."""
    r = random.Random(seed)
    words = [w for block in (plain, scripts) for line in block.strip().split("\n") for w in line.replace("|", " ").split(" ") if w]
    gaps = [" ", " ", " ", "", "  ", "\n", "\u00a0", "\u200b", ", ", "-"]
    for _ in range(count):
        yield "".join(r.choice(words) + r.choice(gaps) for _ in range(r.choice(lengths)))

entries, seen = [], set()
def add(piece, repeat=1, vector=False):
    if (piece, repeat) in seen: return
    seen.add((piece, repeat))
    raw = piece if isinstance(piece, bytes) else piece.encode("utf-8")
    e = {"base64": base64.b64encode(raw).decode()} if isinstance(piece, bytes) else {"text": piece}
    if repeat > 1: e["repeat"] = repeat
    if vector: e["vector"] = True
    e["whole"] = (raw * repeat).decode("utf-8", "replace")
    entries.append(e)

def pieces(block): return [t for line in block.strip().split("\n") for t in line.split("|")]
for i, t in enumerate(pieces(plain)): add(t, vector=i % 4 == 0)
for i, t in enumerate(pieces(scripts)): add(t, vector=i % 5 == 0)
for i, t in enumerate(controls): add(t, vector=t in ("", " ", "\x00", "abc\x00def ghi", "two\nlines"))
for t in bad_utf8: add(t, vector=t == b"abc\xffdef")
for i, (t, n) in enumerate(repeated): add(t, n, vector=i in (0, 1, 7, 22, 25))
for i, t in enumerate(shuffled(60)): add(t, vector=i % 6 == 0)

golden, entries = entries, []

# Ranges of code points: Latin, Greek, Cyrillic, Armenian, Hebrew, Arabic, Indic, Thai and Lao, Georgian and Hangul jamo,
# Ethiopic, Cherokee, punctuation, arrows and mathematics, box drawing, CJK signs, kana, ideographs, Hangul, private use,
# presentation forms, half and full width, Gothic, mathematical letters, emoji, rare ideographs, tags and selectors.
ranges = [(0x20, 0x7e), (0xa0, 0x24f), (0x250, 0x36f), (0x370, 0x3ff), (0x400, 0x52f), (0x531, 0x58a), (0x591, 0x5f4), (0x600, 0x6ff), (0x900, 0xd7f),
          (0xe01, 0xedf), (0x10a0, 0x11ff), (0x1200, 0x137f), (0x13a0, 0x13ff), (0x1e00, 0x1fff), (0x2000, 0x206f), (0x20a0, 0x20ff), (0x2190, 0x22ff),
          (0x2500, 0x27bf), (0x3000, 0x303f), (0x3041, 0x30ff), (0x4e00, 0x9fff), (0xac00, 0xd7a3), (0xe000, 0xe0ff), (0xf900, 0xfdff), (0xfe00, 0xfe6f),
          (0xff00, 0xffef), (0x10330, 0x1034a), (0x1d400, 0x1d7ff), (0x1f300, 0x1faff), (0x20000, 0x2a6df), (0xe0001, 0xe01ef)]
faces = "😀😂🤣😍🙏🔥💯🎉🗽🧱🏗🚧👷🌊⚓🚢🌧☔🦅🇺🇸🇩🇪🇯🇵👩👨👧👦❤"
joins = ["", "", "\u200d", "\ufe0f", "\ufe0e", "\U0001f3fd", "\u20e3", " "]
marks = "!?.,;:'\"()[]{}<>/\\|@#$%^&*-_=+~`0123456789"

def made(seed=20261125):
    r = random.Random(seed)
    yield from ((t, 1) for t in shuffled(680, seed, (1, 2, 3, 5, 8, 13, 25)))
    for i in range(120):  # one script, now and then a second
        some = [r.choice(ranges) for _ in range(r.choice((1, 1, 2)))]
        yield "".join(chr(r.randint(*r.choice(some))) + r.choice(("", "", "", " ")) for _ in range(r.randint(1, 30))), 1
    for i in range(60):  # all of them
        yield "".join(chr(r.randint(*r.choice(ranges))) for _ in range(r.randint(1, 40))), 1
    for i in range(120):  # bytes: some of a good text are others, or gone
        b = bytearray("".join(r.choice((r.choice("etaoin shrdlu "), chr(r.randint(*r.choice(ranges))))) for _ in range(r.randint(1, 30))).encode())
        for _ in range(r.randint(1, 6)):
            if b and r.random() < 0.3: del b[r.randrange(len(b))]
            elif b: b[r.randrange(len(b))] = r.randint(0, 255)
        yield bytes(b), 1
    for i in range(100):
        yield "".join(r.choice((r.choice("wall rain taxes harbour the and of to".split(" ")), chr(r.randint(0, 31)), chr(r.randint(127, 159)), " ")) for _ in range(r.randint(1, 30))), 1
    for i in range(30):
        yield "".join(r.choice((" ", "\t", "\n", "\r", "\x0b", "\x0c", "\x85", "\u00a0", "\u1680", "\u2003", "\u2028", "\u202f", "\u205f", "\u3000", "\ufeff", "a", "wall")) for _ in range(r.randint(1, 30))), 1
    for i in range(60):
        yield "".join(r.choice(faces) + r.choice(joins) for _ in range(r.randint(1, 20))) + r.choice(("", " so be it", "!!1", " 1", " we", " the end")), 1
    for i in range(100):
        yield "".join(r.choice((r.choice(marks), r.choice("abcxyzABCXYZ"), " ")) for _ in range(r.randint(1, 60))), 1
    for t in shuffled(60, seed + 1, (2, 5, 13)):  # long ones, around and far beyond 256 tokens
        yield t + " ", r.choice((5, 20, 100, 1000))

for t, n in made(): add(t, n, vector=True)
parity = entries

def open_model(folder, max_tokens):
    tok = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
    tok.no_padding()
    tok.enable_truncation(max_tokens)
    return tok, onnxruntime.InferenceSession(os.path.join(folder, "model.onnx"), providers=["CPUExecutionProvider"])

def vector(session, ids):
    """The text's vector: the mean of its tokens', normalised."""
    ids = np.array([ids], np.int64)
    inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    tokens = session.run(None, {i.name: inputs[i.name] for i in session.get_inputs()})[0][0]
    v = tokens.mean(axis=0, dtype=np.float64)
    return v / np.linalg.norm(v)

def some(vectors, numbers, dim):
    """Sixteen numbers of each vector, other ones for each text's number."""
    return np.array([[v[(37 * n + 23 * i) % dim] for i in range(16)] for n, v in zip(numbers, vectors)], "<f4")

def hashed(ids):
    return {"count": len(ids), "hash": hashlib.sha256(np.array(ids, "<u4").tobytes()).hexdigest()[:16]}

here = os.path.dirname(os.path.abspath(__file__))
def write(name, entries, vectors):
    with open(os.path.join(here, name + ".json"), "w") as f:
        f.write("[\n" + ",\n".join(json.dumps(e, separators=(",", ":")) for e in entries) + "\n]\n")
    vectors.tofile(os.path.join(here, name + ".f32"))
    print(name, len(entries), "texts,", len(vectors), "vectors")

tok768, session768 = open_model(sys.argv[2], 384)
ids768 = [tok768.encode(e["whole"]).ids for e in parity]
vectors768 = [vector(session768, ids) for ids in ids768[::4]]
write("parity768", [hashed(ids) for ids in ids768], some(vectors768, range(0, len(ids768), 4), 768))

tok, session = open_model(sys.argv[1], MAX_TOKENS)
for e in golden + parity: e["ids"] = tok.encode(e.pop("whole")).ids
write("golden", golden, np.array([vector(session, e["ids"]) for e in golden if e.get("vector")], "<f4"))
vectors = some([vector(session, e["ids"]) for e in parity], range(len(parity)), 384)
for e in parity:
    e.update(hashed(e.pop("ids")))
    del e["vector"]
    if "text" in e: # base64 is shorter for most scripts
        short = base64.b64encode(e["text"].encode()).decode()
        if len(short) < len(json.dumps(e["text"])): del e["text"]; e["base64"] = short
write("parity", parity, vectors)
