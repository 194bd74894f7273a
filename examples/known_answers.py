"""Claims whose scores are known beforehand: what a suspicious reader checks first."""

import groundtruth as gt


def claims(testbed):
    """Name -> claim, from the planted dictionary and the codes that it can read off."""
    D = testbed.truth.features.directions
    return {
        "true directions": gt.Dictionary(D),
        "sign-flipped": gt.Dictionary(-D),
        "one perfect latent": gt.Dictionary(D[:1]),
        "every direction twice": gt.Dictionary(D.repeat(2, axis=0)),
    }


if __name__ == "__main__":
    testbed = gt.build("sparse/orthonormal", seed=0)
    for name, claim in claims(testbed).items():
        report = gt.evaluate(testbed, claim, metrics=["recover.recall", "recover.precision"])
        recall, precision = report["recover.recall"].value, report["recover.precision"].value
        print(f"{name:<24} recall {recall:.3f}  precision {precision:.3f}")
