#!/usr/bin/env python3
"""Writes tokenizer_kinds.json: small tokenizers of the kinds that models other than BERT have,
trained here, and what Hugging Face's library makes of some texts with them, cut to a
length on either side. Training is not the same each time, so that a new file has other
tokenizers: it holds them beside their ids.

    pip install tokenizers==0.23.3
    python3 tokenizer_kinds.py
"""
import json, os, random

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

words = """we will build a wall and they shall pay for it the lighthouse keeper counts ships not days is it raining in Lisbon taxes are too high everybody
knows naïve café Straße привет мир как дела сегодня 你好世界 今天天气 東京都 안녕하세요 مرحبا بالعالم नमस्ते 👍🏽 👨‍👩‍👧 3.14159 1,234 https://example.org/a?b=c don't can't
antidisestablishmentarianism [MASK] <s> </s> e\u0301 zero\u200bwidth""".split()
gaps = [" ", " ", " ", "  ", "\n", "\t", ", ", ". ", "-", "", "\u00a0", "   "]
r = random.Random(20261125)
def text(n): return "".join(r.choice(words) + r.choice(gaps) for _ in range(n))
corpus = [text(30) for _ in range(400)]
texts = ["", " ", "\n", "a", "wall", " wall", "wall ", "  two  spaces  ", "\u3000", "👍🏽", "</s>", "x<s>y", "naïve</s> café"]
texts += [text(n) for n in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 20, 40) for _ in range(4)]
pieces = [(x, 1) for x in texts] + [(text(3), 400), ("wall ", 3000), ("x", 5000), ("你好", 2000), (" ", 5000), ("end" + " " * 400, 20), (" " * 400 + "end", 20), ("a\n", 3000)]
texts = [x * n for x, n in pieces]

def bytelevel(prefix):
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(corpus, trainers.BpeTrainer(vocab_size=360, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"], show_progress=False))
    t.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=prefix)
    return t

def sentencepiece(post):
    t = Tokenizer(models.Unigram())
    t.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace("  ", " ")])
    t.pre_tokenizer = pre_tokenizers.Metaspace()
    t.train_from_iterator(corpus, trainers.UnigramTrainer(vocab_size=250, special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"], unk_token="<unk>", show_progress=False))
    t.post_processor = processors.TemplateProcessing(single=post, special_tokens=[("<s>", 0), ("</s>", 2)]) if post else None
    return t

def split():
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(" ", "merged_with_next"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    t.train_from_iterator(corpus, trainers.BpeTrainer(vocab_size=360, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), special_tokens=["</s>"], show_progress=False))
    t.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 0)])
    return t

cases = []
for name, t in (("RoBERTa's", bytelevel(False)), ("byte level with a space before", bytelevel(True)), ("XLM-RoBERTa's", sentencepiece("<s> $A </s>")),
                ("T5's", sentencepiece("$A </s>")), ("no special tokens", sentencepiece(None)), ("Qwen's", split())):
    plain = json.loads(t.to_str())
    ids = {}
    for side in ("right", "left"):
        t.enable_truncation(16, direction=side)
        ids[side] = [t.encode(x).ids for x in texts]
    cases.append({"name": name, "tokenizer": plain, "right": ids["right"], "left": ids["left"]})

here = os.path.dirname(os.path.abspath(__file__))
with open(os.path.join(here, "tokenizer_kinds.json"), "w") as f:
    json.dump({"max": 16, "texts": [{"text": x, "repeat": n} for x, n in pieces], "cases": cases}, f, separators=(",", ":"))
    f.write("\n")
print(len(cases), "tokenizers,", len(texts), "texts")
