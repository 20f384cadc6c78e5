"""Training steps of OpenELM in plain PyTorch, for comparison with `elm bench train`: forward,
backward, clip and AdamW in float32 on the CPU, the same sizes, batches and settings.

On Debian: apt-get install python3-torch libopenblas0-openmp, then python3 bench/peers/torch_train.py.
Prints one line of JSON for each model: tokens per second, the median of the steps.
"""
import json
import statistics
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn


def divisible(value, divisor):
    n = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return n + divisor if n < 0.9 * value else n


def spread(low, high, layers):
    return [round(low + (high - low) * i / (layers - 1), 2) for i in range(layers)]


class Norm(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * self.weight


def rotate(x, cos, sin):
    a, b = x.chunk(2, -1)
    return x * cos + torch.cat((-b, a), -1) * sin


class Block(nn.Module):
    def __init__(self, dim, head, queries, keys, width):
        super().__init__()
        self.sizes = (head, queries, keys)
        self.attn_norm, self.ffn_norm = Norm(dim), Norm(dim)
        self.q_norm, self.k_norm = Norm(head), Norm(head)
        self.qkv = nn.Linear(dim, (queries + 2 * keys) * head, bias=False)
        self.out = nn.Linear(queries * head, dim, bias=False)
        self.proj_1 = nn.Linear(dim, 2 * width, bias=False)
        self.proj_2 = nn.Linear(width, dim, bias=False)

    def forward(self, x, cos, sin, mask):
        head, queries, keys = self.sizes
        B, T, _ = x.shape
        heads = self.qkv(self.attn_norm(x)).view(B, T, queries + 2 * keys, head).transpose(1, 2)
        q, k, v = heads.split((queries, keys, keys), 1)
        q, k = rotate(self.q_norm(q), cos, sin), rotate(self.k_norm(k), cos, sin)
        k, v = (z.repeat_interleave(queries // keys, 1) for z in (k, v))
        scores = q @ k.transpose(-1, -2) / head**0.5 + mask
        o = (scores.softmax(-1) @ v).transpose(1, 2).reshape(B, T, queries * head)
        x = x + self.out(o)
        gate, value = self.proj_1(self.ffn_norm(x)).chunk(2, -1)
        return x + self.proj_2(F.silu(gate) * value)


class OpenELM(nn.Module):
    def __init__(self, vocab, dim, head, layers, group, alpha, beta):
        super().__init__()
        self.embedding = nn.Embedding(vocab, dim)
        self.head = head
        self.blocks = nn.ModuleList()
        for a, b in zip(spread(*alpha, layers), spread(*beta, layers)):
            queries = divisible(dim * a, head * group) // head
            self.blocks.append(Block(dim, head, queries, queries // group, divisible(dim * b, 256)))
        self.norm = Norm(dim)

    def forward(self, ids):
        T = ids.shape[1]
        angles = torch.arange(T)[:, None] * 10000.0 ** (-torch.arange(0, self.head, 2) / self.head)
        cos, sin = angles.cos().repeat(1, 2), angles.sin().repeat(1, 2)
        mask = torch.full((T, T), float("-inf")).triu(1)
        x = self.embedding(ids)
        for block in self.blocks:
            x = block(x, cos, sin, mask)
        return self.norm(x) @ self.embedding.weight.t()


CASES = {
    "small-512": ((512, 256, 64, 4, 1, (0.5, 1.0), (1.0, 4.0)), 8, 128),
    "small-32000": ((32000, 256, 64, 4, 1, (0.5, 1.0), (1.0, 4.0)), 8, 128),
    "270M": ((32000, 1280, 64, 16, 4, (0.5, 1.0), (0.5, 4.0)), 1, 256),
}


def measure(name, repeat):
    sizes, B, T = CASES[name]
    torch.manual_seed(0)
    model = OpenELM(*sizes)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-4, (0.9, 0.95), weight_decay=0.1)
    ids = torch.randint(sizes[0], (B, T + 1))
    times = []
    for i in range(-1, repeat):
        start = time.perf_counter()
        logits = model(ids[:, :-1])
        lse = logits.logsumexp(-1)
        loss = F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten()) + 1e-4 * lse.pow(2).mean()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if i >= 0:
            times.append(time.perf_counter() - start)
    parameters = sum(p.numel() for p in model.parameters())
    rate = B * T / statistics.median(times)
    print(json.dumps({"model": name, "parameters": parameters, "tokensPerSecond": round(rate, 1)}))


torch.set_num_threads(2)
for each in sys.argv[1:] or CASES:
    measure(each, 3 if each == "270M" else 7)
