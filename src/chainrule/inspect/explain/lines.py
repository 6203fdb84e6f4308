"""The lectures' examples as lines that one can type and change: formula and values.

They have the names and the numbers of ``PRESETS``, whose graphs they make.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["LINES", "Line"]


class Line(NamedTuple):
    """What is typed, and what of it is learned, with commas between."""

    formula: str
    values: str
    learned: str


LINES = {
    "logistic-l2": Line(
        "z = w*x + b; y = sigmoid(z); L = 0.5*(y - t)**2; R = 0.5*w**2; Lreg = L + lam*R",
        "w = 0.8, b = -0.3, x = 1.5, t = 1, lam = 0.1",
        "w,b",
    ),
    "logistic": Line(
        "z = w*x + b; y = sigmoid(z); L = 0.5*(y - t)**2",
        "w = 0.8, b = -0.3, x = 1.5, t = 1",
        "w,b",
    ),
    "multivariate": Line("x = cos(t); y = t**2; f = y + exp(x*y)", "t = 1", "t"),
    "neuron": Line(
        "z = w0 + w1*x1 + w2*x2; n = -z; e = exp(n); d = 1 + e; f = 1/d",
        "w0 = -3, w1 = 2, x1 = -1, w2 = -3, x2 = -2",
        "w0,w1,x1,w2,x2",
    ),
    "two-layer": Line(
        "z = W1@x + b1; h = sigmoid(z); y = W2@h + b2; L = 0.5*sum((y - t)**2)",
        "W1 = [[0.1, 0.2], [0.3, 0.4]], b1 = [0.1, -0.1], "
        "W2 = [[0.5, -0.6], [0.7, 0.8]], b2 = [0.2, 0], x = [1, 2], t = [0, 1]",
        "W1,b1,W2,b2",
    ),
    "xor": Line(
        "h1 = sigmoid(w1*x1 + w3*x2 + b1); h2 = sigmoid(w2*x1 + w4*x2 + b2); "
        "ŷ = sigmoid(w5*h1 + w6*h2 + b3); L = (y - ŷ)**2",
        "x1 = 1, x2 = 0, y = 1, w1 = 0.5, w2 = -0.4, w3 = 0.3, w4 = 0.2, w5 = 0.6, w6 = -0.7, "
        "b1 = 0.1, b2 = -0.2, b3 = 0.05",
        "w1,w2,w3,w4,w5,w6,b1,b2,b3",
    ),
    "bce": Line("a = sigmoid(z); L = -(y*ln(a) + (1 - y)*ln(1 - a))", "z = 0.7, y = 1", "z"),
    "delta": Line(
        "z2 = Theta1@a1; a2 = sigmoid(z2); z3 = Theta2@a2; a3 = sigmoid(z3); z4 = Theta3@a3; "
        "a4 = sigmoid(z4); L = -sum(y*ln(a4) + (1 - y)*ln(1 - a4))",
        "Theta1 = [[0.8, 0.9, 0.1], [-0.8, -1, -0.3], [0.7, 1, 0.4], [-0.5, -1, -0.5]], "
        "Theta2 = [[0.4, 1, 0.7, -0.3], [-1, -0.8, 0.1, 0.9], [0.8, 0, -0.8, -0.9]], "
        "Theta3 = [[-0.1, 0.8, 1]], a1 = [0.5, -1, 2], y = [1]",
        "Theta1,Theta2,Theta3",
    ),
    "softmax": Line("y = softmax(x); p = y[1]; L = -ln(p)", "x = [1, 2, 0.5]", "x"),
    "svm": Line(
        "h = relu(1 + x - x[1]); L = sum(h*m)", "x = [1, 0.5, 2, -1], m = [1, 0, 1, 1]", "x"
    ),
    "relu": Line("y = relu(x); L = sum(y*u)", "x = [-1, 0, 2], u = [0.1, 0.2, 0.3]", "x"),
    "affine": Line(
        "y = W@x; L = sum(y*u)", "W = [[1, 2, 3], [4, 5, 6]], x = [1, 0, -1], u = [0.5, -1]", "W,x"
    ),
    "affine-batch": Line(
        "Y = X@W.T; L = sum(Y*U)",
        "W = [[1, 2, 3], [4, 5, 6]], X = [[1, 0, -1], [2, 0, -2]], U = [[0.5, -1], [0.5, -1]]",
        "W,X",
    ),
    "symbolic": Line(
        "z = W1@x; h = sigmoid(z); ŷ = W2@h; L = 0.5*(y - ŷ)**2",
        "W1 = [[0.2, -0.1], [0.4, 0.3]], W2 = [1, -1], x = [1, 2], y = 0.5",
        "W1",
    ),
}
