"""Writes a model for llama.cpp's server that is small and says what it is told to say.

It is a true GGUF file of the architecture "llama", with a vocabulary of bytes and of pieces of the
texts below, but its weights are not trained: attention and feed-forward add nothing, so what comes
next depends on the last token alone, and the output layer says which token that is. Whether the
model calls tools or speaks is decided by the last token of the prompt, which the chat template
puts there: it calls when it has tools and a person has spoken last, else it speaks.

llama.cpp lets a model call only what it is offered, with arguments that fit the schema, by a grammar.
Where that takes the next token from the model, all the others are as likely as each other.
"""

import array
import json
import struct

ARCHITECTURE = "llama"
# The width of the one attention head, and of the feed-forward layer.
HEAD = 32
ALIGNMENT = 32
# Kinds of tokens and of values, by GGUF's numbers.
NORMAL, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6
UINT32, INT32, FLOAT32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9
END, CALLS, SPEAKS = "<|im_end|>", "<|calls|>", "<|speaks|>"

TEMPLATE = (
    """\
{%- if tools %}<|im_start|>system
The tools:
{% for tool in tools %}{{ tool | tojson }}
{% endfor %}A call is <tool_call>{"name": ..., "arguments": ...}</tool_call>.<|im_end|>
{% endif -%}
{%- for message in messages -%}
<|im_start|>{{ message.role }}
{% if message.content is string %}{{ message.content }}{% endif -%}
{%- for call in message.tool_calls or [] %}
<tool_call>
{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}
</tool_call>
{%- endfor %}<|im_end|>
{% endfor -%}
{%- if add_generation_prompt %}<|im_start|>assistant
"""
    "{% if tools and messages[-1].role == 'user' %}<|calls|>{% else %}<|speaks|>{% endif %}{% endif %}"
)


def write(path, calls, text):
    """Writes a model that makes these calls, each {"name", "arguments"}, or says this text."""
    vocabulary = Vocabulary()
    calls = "\n".join(f"<tool_call>\n{json.dumps(call)}\n</tool_call>" for call in calls)
    following = {}
    for start, said in ((CALLS, calls), (SPEAKS, text)):
        tokens = [vocabulary.ids[start], *vocabulary.add_text(said), vocabulary.ids[END]]
        following.update(zip(tokens, tokens[1:]))
    with open(path, "wb") as file:
        write_gguf(file, metadata(vocabulary), tensors(len(vocabulary.ids), following, vocabulary.ids[END]))


class Vocabulary:
    """Tokens in the order of their ids, each text once."""

    def __init__(self):
        self.ids = {}
        self.kinds = []
        self.add("<unk>", UNKNOWN)
        for text in ("<s>", END, "<|im_start|>", CALLS, SPEAKS):
            self.add(text, CONTROL)
        for byte in range(256):
            self.add(f"<0x{byte:02X}>", BYTE)

    def add(self, text, kind):
        assert text not in self.ids, f"{text!r} is in the vocabulary already"
        self.ids[text] = len(self.ids)
        self.kinds.append(kind)
        return self.ids[text]

    def add_text(self, text):
        """Cuts a text into pieces of some characters, none of which is there yet."""
        text = text.replace(" ", "\u2581")
        while text:
            length = 4
            while text[:length] in self.ids or len(text) - length in range(1, 4):
                length += 1
            yield self.add(text[:length], NORMAL)
            text = text[length:]


def width(tokens):
    """The embedding's width: a dimension for each token."""
    return -(-tokens // 32) * 32


def metadata(vocabulary):
    size = width(len(vocabulary.ids))
    scores = [-float(at) for at in range(len(vocabulary.ids))]
    return [
        ("general.architecture", STRING, ARCHITECTURE),
        ("general.name", STRING, "tiny"),
        ("general.alignment", UINT32, ALIGNMENT),
        ("llama.context_length", UINT32, 32768),
        ("llama.embedding_length", UINT32, size),
        ("llama.block_count", UINT32, 1),
        ("llama.feed_forward_length", UINT32, HEAD),
        ("llama.attention.head_count", UINT32, 1),
        ("llama.attention.head_count_kv", UINT32, 1),
        ("llama.attention.key_length", UINT32, HEAD),
        ("llama.attention.value_length", UINT32, HEAD),
        ("llama.attention.layer_norm_rms_epsilon", FLOAT32, 1e-6),
        ("llama.rope.dimension_count", UINT32, HEAD),
        ("tokenizer.ggml.model", STRING, "llama"),
        ("tokenizer.ggml.tokens", STRING, list(vocabulary.ids)),
        ("tokenizer.ggml.scores", FLOAT32, scores),
        ("tokenizer.ggml.token_type", INT32, vocabulary.kinds),
        ("tokenizer.ggml.bos_token_id", UINT32, vocabulary.ids["<s>"]),
        ("tokenizer.ggml.eos_token_id", UINT32, vocabulary.ids[END]),
        ("tokenizer.ggml.unknown_token_id", UINT32, vocabulary.ids["<unk>"]),
        ("tokenizer.ggml.add_bos_token", BOOL, False),
        ("tokenizer.ggml.add_space_prefix", BOOL, False),
        ("tokenizer.chat_template", STRING, TEMPLATE),
    ]


def tensors(tokens, following, end):
    """Names, shapes (the innermost dimension first) and values."""
    size = width(tokens)
    embedding, output = zeros(size * tokens), zeros(size * tokens)
    for token in range(tokens):
        embedding[token * size + token] = 1.0
        # Times the square root of `size`, by the norm: far above all others, at any temperature.
        output[following.get(token, end) * size + token] = 10.0
    norm = array.array("f", [1.0]) * size
    return [
        ("token_embd.weight", (size, tokens), embedding),
        ("output_norm.weight", (size,), norm),
        ("output.weight", (size, tokens), output),
        ("blk.0.attn_norm.weight", (size,), norm),
        ("blk.0.attn_q.weight", (size, HEAD), zeros(size * HEAD)),
        ("blk.0.attn_k.weight", (size, HEAD), zeros(size * HEAD)),
        ("blk.0.attn_v.weight", (size, HEAD), zeros(size * HEAD)),
        ("blk.0.attn_output.weight", (HEAD, size), zeros(size * HEAD)),
        ("blk.0.ffn_norm.weight", (size,), norm),
        ("blk.0.ffn_gate.weight", (size, HEAD), zeros(size * HEAD)),
        ("blk.0.ffn_up.weight", (size, HEAD), zeros(size * HEAD)),
        ("blk.0.ffn_down.weight", (HEAD, size), zeros(size * HEAD)),
    ]


def zeros(count):
    return array.array("f", bytes(4 * count))


def write_gguf(file, entries, tensors):
    """GGUF 3, little-endian: metadata, where the tensors are, the tensors themselves (32-bit floats)."""
    file.write(struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(entries)))
    for key, kind, value in entries:
        file.write(string(key))
        if isinstance(value, list):
            file.write(struct.pack("<IIQ", ARRAY, kind, len(value)))
            file.write(b"".join(scalar(kind, item) for item in value))
        else:
            file.write(struct.pack("<I", kind) + scalar(kind, value))
    offset = 0
    for name, shape, values in tensors:
        file.write(string(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, 0, offset))
        offset += aligned(4 * len(values))
    for _, _, values in tensors:
        file.write(bytes(aligned(file.tell()) - file.tell()))
        values.tofile(file)


def scalar(kind, value):
    if kind == STRING:
        return string(value)
    return struct.pack({UINT32: "<I", INT32: "<i", FLOAT32: "<f", BOOL: "<?"}[kind], value)


def string(text):
    encoded = text.encode()
    return struct.pack("<Q", len(encoded)) + encoded


def aligned(position):
    return -(-position // ALIGNMENT) * ALIGNMENT
