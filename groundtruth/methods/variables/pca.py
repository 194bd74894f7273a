"""Principal components: the directions in which activations vary most, whatever varies there."""

from __future__ import annotations

from groundtruth.alignment import Alignment, Subspace
from groundtruth.methods.variables.choosing import dimensions, each_variable, spanned, split
from groundtruth.methods.variables.nearest_mean import NearestMean, share_read
from groundtruth.variable_subject import VariableSubject


def pca(
    subject: VariableSubject,
    *,
    seed: int = 0,
    site: str | None = None,
    dim: int | None = None,
    n: int = 1000,
) -> Alignment:
    """The largest principal components, the same for every variable; labels only read values off.

    Args:
        seed: of the inputs.
        site: of the claim; None: the residual site where the nearest mean within the components
            reads best.
        dim: components; None: one less than the variable has values.
        n: inputs, a quarter of them held out.

    Source: Pearson, "On lines and planes of closest fit to systems of points in space", 1901,
    https://doi.org/10.1080/14786440109462720
    """

    def claim(variable: str, at: str) -> tuple[float, Subspace]:
        x, labels = subject.labelled_activations(variable, at, n, seed=seed)
        values = subject.values[variable]
        fitted, held = split(len(x))
        most = dimensions(subject, variable, dim, x.shape[1])
        basis = spanned(x[fitted] - x[fitted].mean(0), most)
        decode = NearestMean(basis, x[fitted], labels[fitted], values)
        score = share_read(decode, x[held], labels[held], values)
        return score, Subspace(at, basis, decode=decode)

    return each_variable(subject, site, claim, "pca")
