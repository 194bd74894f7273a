"""A world of one's own: an equiangular dictionary, Zipf firing, noise; and its exact truth."""

from groundtruth.generators import sparse

if __name__ == "__main__":
    testbed = sparse(
        n_features=28,
        d=7,
        dictionary="equiangular",
        firing={"law": "zipf", "exponent": 1.0, "first": 0.3},
        magnitude={"law": "exponential", "mean": 1.0},
        noise=0.05,
        seed=0,
    )
    truth = testbed.truth.features
    print(testbed)
    print(f"coherence {truth.coherence:.4f} (Welch bound 1/3), expected L0 {truth.expected_l0:.3f}")
    print(f"variance explained by the best 7 atoms: {truth.explained_by_top(7):.3f}")
    x, codes = testbed.sample(5, seed=1)
    print(f"activations {tuple(x.shape)}, codes {codes.shape} with {codes.nnz} firings")
