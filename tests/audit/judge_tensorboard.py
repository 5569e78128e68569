"""The event files of runs, read by the real tensorboard, against the runs' log.jsonl."""
import json
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

PARTS = ("eval_", "validation_", "icl_")


def tag_of(key):
    for part in PARTS:
        if key.startswith(part):
            return part[:-1] + "/" + key[len(part):]
    return "train/" + key


def main(runs):
    checked = failed = 0

    def see(ok, what):
        nonlocal checked, failed
        checked += 1
        if not ok:
            failed += 1
            print("judge-tensorboard: " + what)

    for run in runs:
        events = EventAccumulator(run, size_guidance={"scalars": 0, "tensors": 0})
        events.Reload()
        wanted = {}
        with open(run + "/log.jsonl") as file:
            for line in map(json.loads, file):
                for key, value in line.items():
                    if key != "step":
                        wanted.setdefault(tag_of(key), []).append((int(line["step"]), value))
        tags = set(events.Tags()["scalars"])
        see(tags == set(wanted), "%s: the tags differ: %s" % (run, tags ^ set(wanted)))
        for tag in tags & set(wanted):
            got = [(e.step, e.value) for e in events.Scalars(tag)]
            see([s for s, _ in got] == [s for s, _ in wanted[tag]], "%s, %s: steps" % (run, tag))
            for (step, mine), (_, theirs) in zip(got, wanted[tag]):
                # a float has 24 bits
                see(abs(mine - theirs) <= 2.0 ** -24 * abs(theirs),
                    "%s, %s, step %d: %r is not %r" % (run, tag, step, mine, theirs))
        walls = [e.wall_time for tag in tags for e in events.Scalars(tag)]
        see(max(walls) - min(walls) < 3600 and min(walls) > 1.7e9, run + ": the times")
        samples = events.Tensors("sample") if "sample" in events.Tags()["tensors"] else []
        see(len(samples) > 0 or run == "broken", run + ": no sample")
        for s in samples:
            s.tensor_proto.string_val[0].decode("utf-8")
    print("judge-tensorboard: %d passed, %d failed" % (checked - failed, failed))
    return failed > 0


sys.exit(main(sys.argv[1:]))
