"""A method of one's own in ten lines: the directions of the largest samples."""

import groundtruth as gt


def my_method(subject, *, seed):
    x = subject.sample(20_000, seed=seed)
    rows = x[x.norm(dim=1).topk(2 * subject.d).indices]
    W = rows / rows.norm(dim=1, keepdim=True)
    return gt.Dictionary(decoder=W, encode=lambda x: (x @ W.T - 0.5).relu())


if __name__ == "__main__":
    report = gt.evaluate("sparse/small", my_method, seed=0)
    print(report)
    print(report.features())
