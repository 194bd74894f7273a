"""A circuit method of one's own in twenty lines: what is lost where a node gives only its mean."""

import torch

import groundtruth as gt
from groundtruth.models import graph


def mean_ablation(subject, *, seed):
    model, scores = subject.model, {}
    intact = subject.metric(subject.outputs())
    for node in graph.nodes(model):
        if node.site is None:
            continue

        def to_mean(x, hook, head=node.head):
            return x.mean(0, keepdim=True).expand_as(x) if head is None else only(x, head)

        def only(x, head):
            return torch.where(torch.arange(x.shape[2])[:, None] == head, x.mean(0), x)

        with torch.no_grad():
            ablated = model.run_with_hooks(subject.tokens, [(node.site, to_mean)])
        scores[node.name] = float((intact - subject.metric(ablated)).abs().mean())
    return gt.Circuit(subject.universe("node"), scores)


if __name__ == "__main__":
    testbed = gt.build("circuit/sort_unique", unit="node", ablation="mean")
    print(gt.evaluate(testbed, mean_ablation))
