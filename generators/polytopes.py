"""Hand-written geometries of superposition, and the dimensionality that each feature gets.

A geometry is a matrix W (d, n_features) whose columns are the features, as in the toy model
h = W x: here the unit vectors to the vertices of a polytope. `vertices` gives one by name,
`tegum_product` puts several into orthogonal subspaces, `feature_dimensionality` says what share of
a dimension each feature has, and `factors` takes a product apart again.

Source: Elhage et al., "Toy Models of Superposition", 2022,
https://transformer-circuits.pub/2022/toy_model/index.html
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.sparse.csgraph import connected_components

from groundtruth import arrays
from groundtruth.errors import UnknownName, reject
from groundtruth.generators.dictionaries import unit_rows

TIGHT_HALF_HEIGHT = 3**-0.5
_GOLDEN = (1 + 5**0.5) / 2


def dedicated() -> np.ndarray:
    """One feature with a dimension of its own."""
    return np.ones((1, 1))


def digon() -> np.ndarray:
    """An antipodal pair in one dimension."""
    return np.array([[1.0, -1.0]])


def polygon(n_features: int) -> np.ndarray:
    """A regular polygon in two dimensions, n_features >= 3."""
    angle = 2 * np.pi * np.arange(n_features) / n_features
    return np.stack([np.cos(angle), np.sin(angle)])


def square() -> np.ndarray:
    """Two digons."""
    return tegum_product([digon(), digon()])


def tetrahedron() -> np.ndarray:
    """Alternate corners of a cube: every cosine is -1/3."""
    return _columns([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])


def octahedron() -> np.ndarray:
    """Three digons."""
    return tegum_product([digon()] * 3)


def triangular_bipyramid() -> np.ndarray:
    """A triangle and a digon."""
    return tegum_product([polygon(3), digon()])


def pentagonal_bipyramid() -> np.ndarray:
    """A pentagon and a digon."""
    return tegum_product([polygon(5), digon()])


def square_antiprism(half_height: float = TIGHT_HALF_HEIGHT) -> np.ndarray:
    """Two squares at heights +z and -z on the unit sphere, one turned by 45 degrees.

    W W^T has 8 z^2 along the axis and 4 (1 - z^2) across it, so that every feature has
    D = 1 / (8 z^4 + 4 (1 - z^2)^2). Both are 8/3 at z = 1/sqrt(3): only there is the frame tight
    and D = 3/8. The height that spreads charges best, 0.5604, gives 0.3744.

    Args:
        half_height: z, in (0, 1).
    """
    if not 0 < half_height < 1:
        raise reject("half_height", half_height, "a number between 0 and 1")
    angle = np.pi / 4 * np.arange(8)
    radius = np.sqrt(1 - half_height**2)
    height = half_height * (-1.0) ** np.arange(8)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), height])


def five_cell() -> np.ndarray:
    """The regular simplex in four dimensions: every cosine is -1/4.

    A tetrahedron (rows of length sqrt(3)) pushed down by 1/sqrt(5), and one point on the axis at
    4/sqrt(5): all rows have squared length 16/5 and all products are -4/5.
    """
    base = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1], [0, 0, 0]])
    height = np.array([-1, -1, -1, -1, 4]) / 5**0.5
    return _columns(np.column_stack([base, height]))


def icosahedron() -> np.ndarray:
    """All 12 vertices, that is six antipodal pairs."""
    axes = icosahedron_axes()
    return np.concatenate([axes, -axes], axis=1)


def icosahedron_axes() -> np.ndarray:
    """One vertex of each of the six antipodal pairs: every |cosine| is 1/sqrt(5)."""
    first = np.array([[0, 1, _GOLDEN], [0, 1, -_GOLDEN]])
    return _columns(np.concatenate([np.roll(first, k, axis=1) for k in range(3)]))


GEOMETRIES: dict[str, Callable[..., np.ndarray]] = {
    "dedicated": dedicated,
    "digon": digon,
    "triangle": lambda: polygon(3),
    "square": square,
    "pentagon": lambda: polygon(5),
    "hexagon": lambda: polygon(6),
    "tetrahedron": tetrahedron,
    "octahedron": octahedron,
    "triangular-bipyramid": triangular_bipyramid,
    "pentagonal-bipyramid": pentagonal_bipyramid,
    "square-antiprism": square_antiprism,
    "5-cell": five_cell,
    "icosahedron": icosahedron,
    "icosahedron-axes": icosahedron_axes,
}


def vertices(name: str, **parameters: Any) -> np.ndarray:
    """W (d, n_features) of the named geometry; columns have length 1.

    Args:
        name: a key of `GEOMETRIES`.
        parameters: `half_height` of the square antiprism; the others have none.

    Raises:
        UnknownName: no such geometry.
        InputError: a parameter that it does not have, or out of range.

    Example:
        >>> vertices("pentagon").shape
        (2, 5)
    """
    if name not in GEOMETRIES:
        raise UnknownName("geometry", name, GEOMETRIES)
    try:
        return GEOMETRIES[name](**parameters)
    except TypeError as error:
        raise reject(f"geometry ({name})", parameters, f"its parameters ({error})") from None


def tegum_product(parts: Sequence[np.ndarray]) -> np.ndarray:
    """The direct (tegum) product: each part in a subspace orthogonal to the others.

    Features of different parts do not interfere, so each keeps the dimensionality that it has in
    its own part.

    Args:
        parts: matrices (d_k, n_k), at least one.

    Returns:
        (sum d_k, sum n_k), block diagonal.

    Example:
        >>> tegum_product([vertices("triangle"), vertices("digon")]).shape
        (3, 5)
    """
    if not len(parts):
        raise reject("parts", parts, "at least one geometry")
    sizes = np.array([part.shape for part in parts])
    W = np.zeros(sizes.sum(axis=0))
    for part, (row, column) in zip(parts, np.cumsum(sizes, axis=0) - sizes):
        W[row : row + part.shape[0], column : column + part.shape[1]] = part
    return W


def feature_dimensionality(W: Any) -> np.ndarray:
    """The share of a dimension that each feature has to itself.

    D_i = |W_i|^2 / sum_j (What_i . W_j)^2, with What_i = W_i / |W_i| and j over all features, i
    included. A feature without a column (|W_i| = 0) is not represented and has D_i = 0.

    Law: sum_i D_i <= rank(W) <= d. With F = W W^T, Cauchy and Schwarz give
    |W_i|^4 = <F^1/2 W_i, F^-1/2 W_i>^2 <= (W_i^T F W_i) (W_i^T F^-1 W_i), so D_i is at most the
    leverage W_i^T F^-1 W_i, and leverages sum to the rank. The sum is the rank exactly where every
    column is an eigenvector of F: tight frames, and direct products of them.

    D alone does not tell a geometry: a square and a digon both have 1/2.

    Args:
        W: (d, n_features), floating point: numpy, torch or jax.

    Returns:
        (n_features,) in [0, 1].

    Raises:
        ExplanationError: not a finite floating-point array.
        InputError: not a matrix.

    Example:
        >>> feature_dimensionality(vertices("pentagon")).round(12).tolist()
        [0.4, 0.4, 0.4, 0.4, 0.4]

    Source: "Toy Models of Superposition" (see above), section on geometry.
    """
    W = _matrix(W)
    largest = np.abs(W).max(initial=0.0)
    if largest == 0:
        return np.zeros(W.shape[1])
    W = W / largest  # squares of very small or large entries would leave the range of a double
    norm = np.linalg.norm(W, axis=0)
    unit = np.divide(W, norm, out=np.zeros_like(W), where=norm > 0)
    overlap = ((unit.T @ W) ** 2).sum(axis=1)
    return np.divide(norm**2, overlap, out=np.zeros_like(norm), where=overlap > 0)


def factors(W: Any, *, interference: float = 1e-9) -> list[np.ndarray]:
    """The groups of features into which a geometry splits: no interference between groups.

    Groups are the connected components of |cos(W_i, W_j)| > interference; each feature without a
    column is a group of its own.

    Args:
        W: (d, n_features).
        interference: the largest |cosine| that counts as none.

    Returns:
        One sorted array of feature indices for each group, by their first index.

    Example:
        >>> [group.tolist() for group in factors(vertices("triangular-bipyramid"))]
        [[0, 1, 2], [3, 4]]
    """
    cosine = cosines(W)
    n_groups, label = connected_components(np.abs(cosine) > interference, directed=False)
    groups = [np.flatnonzero(label == k) for k in range(n_groups)]
    return sorted(groups, key=lambda group: group[0])


def cosines(W: Any) -> np.ndarray:
    """(n_features, n_features): cos(W_i, W_j); 0 where a column is 0."""
    W = _matrix(W)
    norm = np.linalg.norm(W, axis=0)
    unit = np.divide(W, norm, out=np.zeros_like(W), where=norm > 0)
    return unit.T @ unit


def _matrix(W: Any) -> np.ndarray:
    matrix = arrays.to_numpy("W", W).astype(np.float64)
    if matrix.ndim != 2:
        raise reject("W", matrix.shape, "shape (d, n_features)")
    arrays.check_finite("W", matrix)
    return matrix


def _columns(rows: Any) -> np.ndarray:
    return unit_rows(np.array(rows, dtype=np.float64)).T
