"""The program's numbers against PyTorch: log-likelihoods, gradients, AdamW, training.

Usage: audit_torch.py FOLDER BUILD...
(tests/audit/audit_torch.sh makes the folder and knows which builds there are)

This file shares nothing with the program: it reads the files of `ica train --dump-state` with its
own reader, has its own GPT-2 in a page, takes gradients by autograd and steps by torch.optim.AdamW.
It needs PyTorch and the standard library.

PyTorch computes in double whatever the build, on the very numbers of the file, so that all rounding
is the program's. With u the unit roundoff of the build, 2^-24 or 2^-53, the tolerances are:

  logp       a pass forward and back through 2 layers is 38 stages of sums of at most 160 terms: as
             a random walk sqrt(38 * 160) = 78 roundings, and three deviations of it are ROUNDINGS =
             256 (as in tests/unit/test_model.c), each u of a logit's size 1 + max |logit|; over the
             scored tokens the root of the sum of squares, since they round independently.
  dlogp      a pair's z moves by the errors of its log-likelihoods, the reference's too; sigmoid's
             slope is at most 1/4.
  gradients  ROUNDINGS * u of the sum over rows of |one row's gradient|, the largest of the tensor,
             and what dlogp's error moves.
  AdamW      each of some ten operations rounds once; the sums in m and v at the size of their
             terms: see adamw_tolerances.
  training   the same training in PyTorch with noise of 78 u (one deviation of the above) on
             every gradient, at the size of the largest of its channels (the backward pass mixes
             them, so that one near zero is as wrong as its neighbors), four times: the root mean
             square by which that moves a tensor is what rounding does, and FACTOR times it is
             allowed; and the weight itself rounds at every step, sqrt(20) u of it as a random
             walk. Key biases have a true gradient of zero (softmax does not see a constant added
             to all scores), so that AdamW, which divides by the gradient's own size, makes whole
             steps of rounding: they are left out there, and must have no effect on any
             log-likelihood.
"""
import json
import math
import os
import struct
import sys

import torch

ROUNDINGS, DEVIATION, FACTOR, STEPS = 256, 78, 4, 20
BETAS, EPSILON, DECAY, MAX_NORM = (0.9, 0.999), 1e-8, 0.1, 1.0
# Must be what tests/audit/audit_torch.sh gave the program.
LEARNING_RATE, WARMUP, LOW = 1e-3, 4, 0.1
PAIR = {"dpo": {"beta": 0.5, "smoothing": 0.1}, "simpo": {"beta": 2.0, "smoothing": 0.0}}
GAMMA_BETA_RATIO = 0.25
TYPES = {"F32": (torch.float32, 4), "F64": (torch.float64, 8), "I64": (torch.int64, 8)}


def read(path):
    """A safetensors file as {name: tensor}; floating point becomes double."""
    with open(path, "rb") as f:
        size, = struct.unpack("<Q", f.read(8))
        header = json.loads(f.read(size))
        data = bytearray(f.read())
    out = {}
    for name, t in header.items():
        if name == "__metadata__":
            continue
        kind, width = TYPES[t["dtype"]]
        begin, end = t["data_offsets"]
        x = torch.frombuffer(data, dtype=kind, count=(end - begin) // width,
                             offset=begin).reshape(t["shape"]).clone()
        out[name] = x.double() if x.is_floating_point() else x
    return out


# ---- GPT-2 ----

def norm(x, g, b):
    mean = x.mean(-1, keepdim=True)
    return (x - mean) / (((x - mean) ** 2).mean(-1, keepdim=True) + 1e-5).sqrt() * g + b


def gelu(x):
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x ** 3)))


def forward(p, ids, heads):
    """Logits [rows, T, V]. What stands behind a row's end is masked by causality."""
    rows, length = ids.shape
    x = p["wte.weight"][ids] + p["wpe.weight"][:length]
    future = torch.ones(length, length).triu(1).bool()
    layer = 0
    while "h.%d.ln_1.weight" % layer in p:
        def w(name):
            return p["h.%d.%s" % (layer, name)]
        qkv = norm(x, w("ln_1.weight"),
                   w("ln_1.bias")) @ w("attn.c_attn.weight") + w("attn.c_attn.bias")
        q, k, v = (t.reshape(rows, length, heads, -1).transpose(1, 2) for t in qkv.chunk(3, -1))
        scores = (q @ k.transpose(2, 3) / math.sqrt(q.shape[-1])).masked_fill(future, -math.inf)
        mixed = (scores.softmax(-1) @ v).transpose(1, 2).reshape(rows, length, -1)
        x = x + mixed @ w("attn.c_proj.weight") + w("attn.c_proj.bias")
        hidden = gelu(norm(x, w("ln_2.weight"), w("ln_2.bias")) @ w("mlp.c_fc.weight")
                      + w("mlp.c_fc.bias"))
        x = x + hidden @ w("mlp.c_proj.weight") + w("mlp.c_proj.bias")
        layer += 1
    return norm(x, p["ln_f.weight"], p["ln_f.bias"]) @ p["wte.weight"].T


def logps(p, batch, heads):
    """The log-likelihood of each row's labels, and the size of the logits that it is made of."""
    ids, labels = batch["input_ids"], batch["labels"]
    logits, target = forward(p, ids[:, :-1], heads), labels[:, 1:]
    scored = target != -100
    each = logits.log_softmax(-1).gather(2, target.clamp(min=0).unsqueeze(2)).squeeze(2)
    size = (1 + logits.detach().abs().amax(2)) * scored
    return (each * scored).sum(1), (size ** 2).sum(1).sqrt()


# ---- the objectives, E9 to E12 ----

def weighted_loss(objective, logp, reference, batch):
    """sum_i w_i l_i / sum_i w_i."""
    w, n = batch["weight"], (batch["labels"] != -100).sum(1).double()
    if objective == "sft":
        each = -logp / n
    else:
        o, half = PAIR[objective], len(w)
        if objective == "dpo":
            gain = o["beta"] * (logp - reference)
            z = gain[:half] - gain[half:]
        else:
            reward = o["beta"] * logp / n
            z = reward[:half] - reward[half:] - o["beta"] * GAMMA_BETA_RATIO
        e = o["smoothing"]
        each = -(1 - e) * torch.nn.functional.logsigmoid(z) - e * torch.nn.functional.logsigmoid(-z)
    return (w * each).sum() / w.sum()


def dlogp_errors(objective, batch, logp_error, reference_error):
    """By how much each row's d loss / d logp, and the loss, can be off when the logps are."""
    w = batch["weight"] / batch["weight"].sum()
    n = (batch["labels"] != -100).sum(1).double()
    if objective == "sft":
        return torch.zeros_like(n), (w * logp_error / n).sum()
    half, beta = len(w), torch.full_like(n, PAIR[objective]["beta"])
    by_row = beta if objective == "dpo" else beta / n
    moved = by_row * (logp_error + reference_error)
    z = moved[:half] + moved[half:]
    return by_row * (w * z / 4).repeat(2), (w * z).sum()


# ---- one step ----

def parameters(dump, ending=""):
    names = [k[:-6] for k in dump if k.endswith(".after")]
    return {k: dump[k + ending] for k in names}


def gradients(objective, p, batch, reference, heads, u, reference_error):
    """Loss, log-likelihoods and gradients by autograd, and the tolerance of each."""
    leaf = {k: v.clone().requires_grad_() for k, v in p.items()}
    logp, size = logps(leaf, batch, heads)
    loss = weighted_loss(objective, logp, reference, batch)
    dlogp, = torch.autograd.grad(loss, logp, retain_graph=True)
    loss.backward(retain_graph=True)
    logp_error = ROUNDINGS * u * size
    moved, loss_error = dlogp_errors(objective, batch, logp_error, reference_error)
    first = {k: torch.zeros_like(v) for k, v in p.items()}
    second = {k: torch.zeros_like(v) for k, v in p.items()}
    for r in range(len(logp)):  # one row's gradient, so that sizes add up where signs cancel
        row = torch.autograd.grad(logp[r], list(leaf.values()), retain_graph=True)
        for k, g in zip(leaf, row):
            first[k] += (dlogp[r] * g).abs()
            second[k] += (moved[r] * g).abs()
    tolerance = {k: float(ROUNDINGS * u * first[k].max() + second[k].max()) for k in p}
    grad = {k: v.grad for k, v in leaf.items()}
    allowed = {"logp": logp_error, "loss": float(loss_error), "grad": tolerance, "size": first}
    return loss.detach(), logp.detach(), grad, allowed


def adamw(p, rate, decay):
    """torch.optim.AdamW with decay on matrices only."""
    groups = [{"params": [v for v in p.values() if v.dim() == 2], "weight_decay": decay},
              {"params": [v for v in p.values() if v.dim() == 1], "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=rate, betas=BETAS, eps=EPSILON)


def clipped(norm_of_all):
    return min(1.0, MAX_NORM / norm_of_all)


def adamw_tolerances(u, step, rate, before, after, m0, v0, grad):
    """m: beta1, the product, the gradient's scale and product, 1 - beta1, its product, the sum: at
    most 6 roundings at the terms' sizes. v: the same with one more product, 8. The weight: what m's
    error moves, half of v's 8 through the root, and some 12 operations at the step's own size; the
    subtraction rounds at the weight's, and PyTorch rounds it twice (in double), once for the
    decay."""
    m_terms = BETAS[0] * m0.abs() + (1 - BETAS[0]) * grad.abs()
    v_terms = BETAS[1] * v0 + (1 - BETAS[1]) * grad ** 2
    root = (v_terms / (1 - BETAS[1] ** step)).sqrt() + EPSILON
    size = m_terms / (1 - BETAS[0] ** step) / root
    decay = DECAY * before.abs() if before.dim() == 2 else 0
    # a product of two small numbers may fall below the smallest normal float, and then loses all
    # its digits
    tiny = 2.0 ** -126 if u > 1e-10 else 0.0
    weight = (u + 2.0 ** -52) * after.abs() + rate * u * (22 * size + 4 * decay)
    return {"m": 6 * u * m_terms + tiny, "v": 8 * u * v_terms + tiny, "after": weight}


def check_adamw(worst, u, step, dump, m0, v0):
    """Error over tolerance of after, m and v; PyTorch's optimizer has the state before the step."""
    rate, scale = float(dump["lr"]), clipped(float(dump["grad_norm"]))
    p = {k: v.clone().requires_grad_() for k, v in parameters(dump).items()}
    optimizer = adamw(p, rate, DECAY)
    for k, v in p.items():
        v.grad = dump[k + ".grad"] * scale
        optimizer.state[v] = {"step": torch.tensor(float(step - 1)), "exp_avg": m0[k].clone(),
                              "exp_avg_sq": v0[k].clone()}
    optimizer.step()
    for k, v in p.items():
        state = optimizer.state[v]
        found = {"after": v.detach(), "m": state["exp_avg"], "v": state["exp_avg_sq"]}
        allowed = adamw_tolerances(u, step, rate, dump[k], dump[k + ".after"], m0[k], v0[k], v.grad)
        for part, x in found.items():
            off = (x - dump[k + "." + part]).abs()
            worst[part].see(float((off / allowed[part].clamp(min=1e-300)).max()), 1.0,
                            "step %d, %s" % (step, k))


# ---- twenty steps ----

def schedule(step):
    """The rate of step 1, 2, ...: transformers' cosine_with_min_lr."""
    if step - 1 < WARMUP:
        return LEARNING_RATE * (step - 1) / WARMUP
    part = (step - 1 - WARMUP) / (STEPS - WARMUP)
    return LEARNING_RATE * (LOW + (1 - LOW) * 0.5 * (1 + math.cos(math.pi * part)))


def train(objective, start, batches, reference, heads, noise=None, sizes=None):
    p = {k: v.clone().requires_grad_() for k, v in start.items()}
    optimizer = adamw(p, LEARNING_RATE, DECAY)
    for step, batch in enumerate(batches, 1):
        logp, _ = logps(p, batch, heads)
        optimizer.zero_grad()
        weighted_loss(objective, logp, reference[step - 1], batch).backward()
        with torch.no_grad():
            for k, v in p.items():
                if noise:
                    v.grad += noise * sizes[step - 1][k].amax(-1, True) * torch.randn_like(v)
            scale = clipped(math.sqrt(sum(float((v.grad ** 2).sum()) for v in p.values())))
            for v in p.values():
                v.grad *= scale
        for group in optimizer.param_groups:
            group["lr"] = schedule(step)
        optimizer.step()
    return {k: v.detach() for k, v in p.items()}


def parts(p):
    """The tensors, with the biases of queries, keys and values apart; key biases under a name of
    their own."""
    out = {}
    for k, v in p.items():
        if k.endswith("attn.c_attn.bias"):
            for name, part in zip(("query", "KEY", "value"), v.chunk(3)):
                out[k + " " + name] = part
        else:
            out[k] = v
    return out


def rms(x):
    return float((x ** 2).mean().sqrt())


# ---- the table ----

class Table:
    def __init__(self):
        self.failed = 0
        print("%-7s %-6s %-34s %-34s %10s %10s  %s" %
              ("build", "loss", "what", "where it is worst", "error", "tolerance", "ok"))

    def row(self, build, objective, what, where, error, tolerance):
        ok = error <= tolerance  # false for NaN
        self.failed += not ok
        print("%-7s %-6s %-34s %-34s %10.3g %10.3g  %s" %
              (build, objective, what, where, error, tolerance, "yes" if ok else "NO"))


class Worst:
    """Keeps the place where error / tolerance is largest; a NaN is larger than anything."""
    def __init__(self):
        self.ratio, self.where, self.error, self.tolerance = -1, "", 0.0, 0.0

    def see(self, error, tolerance, where):
        ratio = error / tolerance if tolerance > 0 else (0 if error == 0 else math.inf)
        if not (ratio <= self.ratio or math.isnan(self.ratio)):
            self.ratio, self.where, self.error, self.tolerance = ratio, where, error, tolerance

    def put(self, table, build, objective, what):
        table.row(build, objective, what, self.where, self.error, self.tolerance)


def equal(a, b):
    return all(torch.equal(a[k], b[k]) for k in a)


def check_batch(table, build, objective, folder, dumps):
    """The weights of the rows are those of the file that the run was given."""
    with open(os.path.join(folder, "weights-%s.jsonl" % objective)) as f:
        given = [json.loads(line)["weight"] for line in f]
    worst = Worst()
    for step, d in enumerate(dumps, 1):
        for r, w in zip(d["row"], d["weight"]):
            worst.see(abs(given[int(r) - 1] - float(w)), 0, "step %d, record %d" % (step, r))
    worst.put(table, build, objective,
              "weights of %d records" % len({int(r) for d in dumps for r in d["row"]}))


def check_objective(table, folder, build, objective, base, heads):
    u = 2.0 ** -24 if build == "float" else 2.0 ** -53
    dumps = [read(os.path.join(folder, "%s-%s-%d.safetensors" % (build, objective, n)))
             for n in range(1, STEPS + 1)]
    check_batch(table, build, objective, folder, dumps)
    worst = {k: Worst() for k in ("loss", "logp", "grad", "norm", "after", "m", "v", "chain")}
    nothing = {k: torch.zeros_like(v) for k, v in base.items()}
    m, v, last, references, sizes = nothing, nothing, base, [], []
    for step, d in enumerate(dumps, 1):
        p = parameters(d)
        worst["chain"].see(0 if equal(p, last) else 1, 0.5, "step %d" % step)
        with torch.no_grad():
            reference, size = logps(base, d, heads)
        loss, logp, grad, allowed = gradients(objective, p, d, reference, heads, u,
                                              ROUNDINGS * u * size)
        references.append(reference)
        sizes.append(allowed["size"])
        worst["loss"].see(abs(float(loss) - float(d["loss"])), allowed["loss"] + 4 * u,
                          "step %d" % step)
        for r in range(len(logp)):
            if d["weight"][r % len(d["weight"])] == 0:  # such a record does not run
                continue
            worst["logp"].see(abs(float(logp[r] - d["logp"][r])), float(allowed["logp"][r]),
                              "step %d, row %d" % (step, r))
        for k in p:
            worst["grad"].see(float((grad[k] - d[k + ".grad"]).abs().max()), allowed["grad"][k],
                              "step %d, %s" % (step, k))
        norm_here = math.sqrt(sum(float((d[k + ".grad"] ** 2).sum()) for k in p))
        many = sum(x.numel() for x in p.values())
        worst["norm"].see(abs(norm_here - float(d["grad_norm"])), many * 2.0 ** -53 * norm_here,
                          "step %d" % step)
        check_adamw(worst, u, step, d, m, v)
        m, v, last = parameters(d, ".m"), parameters(d, ".v"), parameters(d, ".after")
    worst["chain"].put(table, build, objective, "a step begins where the last ended")
    worst["logp"].put(table, build, objective,
                      "log-likelihoods of %d rows" % sum(len(d["logp"]) for d in dumps))
    worst["loss"].put(table, build, objective, "weighted losses")
    worst["grad"].put(table, build, objective, "gradients, %d tensors" % len(base))
    clips = sum(float(d["grad_norm"]) > MAX_NORM for d in dumps)
    worst["norm"].put(table, build, objective, "gradient norm (%d steps clipped)" % clips)
    for part in ("m", "v", "after"):
        worst[part].put(table, build, objective, "AdamW's %s (error / tolerance)" % part)
    end = read(os.path.join(folder, "%s-%s-cosine.safetensors" % (build, objective)))
    check_training(table, build, objective, end, base, heads, u, dumps, references, sizes)


def check_training(table, build, objective, end, base, heads, u, batches, references, sizes):
    """PyTorch trains from the base on the same batches; the program's weights behind step 20."""
    after = parameters(end, ".after")
    table.row(build, objective, "learning rate of step %d" % STEPS, "",
              abs(float(end["lr"]) - schedule(STEPS)), 1e-15)
    mine = train(objective, base, batches, references, heads)
    torch.manual_seed(1)
    moved = [parts(train(objective, base, batches, references, heads, DEVIATION * u, sizes))
             for _ in range(4)]
    exact, program, start, worst = parts(mine), parts(after), parts(base), Worst()
    way = apart = allowed = 0.0  # sums of squares over all tensors
    for k in exact:
        if k.endswith(" KEY"):
            continue
        noise = max(rms(x[k] - exact[k]) for x in moved)
        tolerance = FACTOR * noise + math.sqrt(STEPS) * u * rms(exact[k])
        worst.see(rms(program[k] - exact[k]), tolerance, k)
        way += float(((exact[k] - start[k]) ** 2).sum())
        apart += float(((exact[k] - program[k]) ** 2).sum())
        allowed += tolerance ** 2 * exact[k].numel()
    worst.put(table, build, objective, "%d steps of training, each tensor" % STEPS)
    table.row(build, objective, "the same, apart / way travelled", "all but key biases",
              math.sqrt(apart / way),
              math.sqrt(allowed / way))
    keyed = dict(after)  # the program's key biases in place of PyTorch's
    for k in keyed:
        if k.endswith("attn.c_attn.bias"):
            q, _, v = keyed[k].chunk(3)
            keyed[k] = torch.cat((q, mine[k].chunk(3)[1], v))
    with torch.no_grad():
        a, size = logps(after, end, heads)
        b, _ = logps(keyed, end, heads)
    off = (a - b).abs()
    row = int((off / size).argmax())
    table.row(build, objective, "key biases have no effect on logp", "row %d" % row,
              float(off[row]),
              float(ROUNDINGS * 2.0 ** -53 * size[row]))


def main():
    folder, builds = sys.argv[1], sys.argv[2:]
    torch.set_num_threads(1)
    with open(os.path.join(folder, "base", "config.json")) as f:
        heads = json.load(f)["n_head"]
    base = read(os.path.join(folder, "base", "model.safetensors"))
    print("PyTorch %s, in double; the program in %s" % (torch.__version__, " and ".join(builds)))
    table = Table()
    for build in builds:
        for objective in ("sft", "dpo", "simpo"):
            check_objective(table, folder, build, objective, base, heads)
    verdict = "all agree" if table.failed == 0 else "%d rows DISAGREE" % table.failed
    print("audit-torch: %s" % verdict)
    return 1 if table.failed else 0


if __name__ == "__main__":
    sys.exit(main())
