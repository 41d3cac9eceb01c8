"""Recurrent cells over whole sequences: the simple cell, LSTM and GRU, and their gradients.

What enters from outside, z = x·W + b, is computed for all steps at once before: a matrix product. Here is what has to
go step by step. The gates of a cell lie one after the other in the last axis, each of H units, in Keras's order: LSTM
i, f, c, o; GRU z, r, h. Weights of the state are (H, gates · H).

In all of them

- `h0`, `c0` (N, H) are the states before the first step; None stands for zeros;
- `mask` (N, T) of booleans, or None: where it is False, the step is left out and states stay as they were;
- activations are named, one of `ACTIVATIONS`; their slopes are computed from their values.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .activations import _sigmoid

# name: (f, f′ as a function of y = f(x))
ACTIVATIONS: dict[str, tuple[Callable[[np.ndarray], np.ndarray], Callable[[np.ndarray], np.ndarray]]] = {
    "linear": (lambda x: x, np.ones_like),
    "relu": (lambda x: np.maximum(x, 0), lambda y: (y > 0).astype(y.dtype)),
    "tanh": (np.tanh, lambda y: 1 - y * y),
    "sigmoid": (_sigmoid, lambda y: y * (1 - y)),
    "hard_sigmoid": (lambda x: np.clip(x + 3, 0, 6) / 6, lambda y: ((y > 0) & (y < 1)).astype(y.dtype) / 6),
}


def simple_rnn(
    z: np.ndarray, weight: np.ndarray, h0: np.ndarray | None, mask: np.ndarray | None, activation: str
) -> np.ndarray:
    """The simple recurrent cell: h_t = f(z_t + h_{t−1}·U).

    z (N, T, H), U = weight (H, H) → h (N, T, H), the states after each step.

    Source: Elman 1990, "Finding structure in time".
    """
    f, _ = ACTIVATIONS[activation]
    h = np.empty_like(z, order="C")
    state = _start(h0, h)
    for t in range(z.shape[1]):
        state = h[:, t] = _where(mask, t, f(z[:, t] + state @ weight), state)
    return h


def simple_rnn_gradient(
    dh: np.ndarray, h: np.ndarray, weight: np.ndarray, mask: np.ndarray | None, activation: str
) -> tuple[np.ndarray, np.ndarray]:
    """Gradient of `simple_rnn`: dz_t = f′ · (dh_t + dz_{t+1}·Uᵀ).

    dh, h (N, T, H), weight (H, H) → (dz (N, T, H), dh0 (N, H)). dz_t is 0 where the mask leaves t out. The gradient of
    the weights is Σ_t h_{t−1}ᵀ·dz_t.
    """
    _, slope = ACTIVATIONS[activation]
    dz = np.empty_like(h, order="C")
    carried = _start(None, h)
    for t in reversed(range(h.shape[1])):
        total = dh[:, t] + carried
        dz[:, t] = _where(mask, t, total * slope(h[:, t]), np.zeros_like(total))
        carried = _where(mask, t, dz[:, t] @ weight.T, total)
    return dz, carried


def lstm(
    z: np.ndarray,
    weight: np.ndarray,
    h0: np.ndarray | None,
    c0: np.ndarray | None,
    mask: np.ndarray | None,
    activation: str,
    recurrent_activation: str,
) -> tuple[np.ndarray, np.ndarray]:
    """Long short-term memory: with s_t = z_t + h_{t−1}·U, f the activation and g the recurrent one,

    i = g(s_i), f = g(s_f), ĉ = f(s_c), o = g(s_o);  c_t = f·c_{t−1} + i·ĉ;  h_t = o·f(c_t).

    z (N, T, 4H), U = weight (H, 4H) → (h (N, T, H), c (N, T, H)), the states after each step. It works in place: z,
    C-contiguous, holds the gates i, f, ĉ, o afterwards (of steps that are left out, anything).

    Source: Hochreiter and Schmidhuber 1997; the gate f: Gers, Schmidhuber and Cummins 2000.
    """
    (f, _), (g, _) = ACTIVATIONS[activation], ACTIVATIONS[recurrent_activation]
    h = np.empty_like(z, shape=(*z.shape[:2], len(weight)))
    c = np.empty_like(h)
    state, cell = _start(h0, h), _start(c0, c)
    for t in range(z.shape[1]):
        i, forget, candidate, o = np.split(z[:, t] + state @ weight, 4, 1)
        i, forget, candidate, o = g(i), g(forget), f(candidate), g(o)
        z[:, t] = np.concatenate([i, forget, candidate, o], 1)
        cell = c[:, t] = _where(mask, t, forget * cell + i * candidate, cell)
        state = h[:, t] = _where(mask, t, o * f(cell), state)
    return h, c


def lstm_gradient(
    dh: np.ndarray,
    dc: np.ndarray | None,
    gates: np.ndarray,
    c: np.ndarray,
    weight: np.ndarray,
    c0: np.ndarray | None,
    mask: np.ndarray | None,
    activation: str,
    recurrent_activation: str,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gradient of `lstm`, from the gates that it left in z: from the last step to the first, δc being that in c_t,

    δc += δh·o·f′(c_t);  ds_i = g′·δc·ĉ, ds_f = g′·δc·c_{t−1}, ds_c = f′·δc·i, ds_o = g′·δh·f(c_t);
    δc_{t−1} = δc·f,  δh_{t−1} = dh_{t−1} + ds·Uᵀ.

    dh (N, T, H); dc (N, H), the gradient in the last c, or None for zeros; gates (N, T, 4H), c (N, T, H), weight
    (H, 4H) → (dz (N, T, 4H), dh0 (N, H), dc0 (N, H)). dz_t is 0 where the mask leaves t out. The gradient of the
    weights is Σ_t h_{t−1}ᵀ·dz_t.
    """
    (f, f_slope), (_, g_slope) = ACTIVATIONS[activation], ACTIVATIONS[recurrent_activation]
    dz = np.empty_like(gates, order="C")
    state, cell, first = _start(None, c), _start(dc, c), _start(c0, c)
    for t in reversed(range(c.shape[1])):
        i, forget, candidate, o = np.split(gates[:, t], 4, 1)
        before, value = c[:, t - 1] if t else first, f(c[:, t])
        dstate = dh[:, t] + state
        dcell = cell + dstate * o * f_slope(value)
        ds = [
            dcell * candidate * g_slope(i),
            dcell * before * g_slope(forget),
            dcell * i * f_slope(candidate),
            dstate * value * g_slope(o),
        ]
        dz[:, t] = _where(mask, t, np.concatenate(ds, 1), np.zeros_like(dz[:, t]))
        state = _where(mask, t, dz[:, t] @ weight.T, dstate)
        cell = _where(mask, t, dcell * forget, cell)
    return dz, state, cell


def gru(
    z: np.ndarray,
    weight: np.ndarray,
    recurrent_bias: np.ndarray | None,
    h0: np.ndarray | None,
    mask: np.ndarray | None,
    activation: str,
    recurrent_activation: str,
    reset_after: bool,
) -> tuple[np.ndarray, np.ndarray | None]:
    """The gated recurrent unit: with f the activation, g the recurrent one, and U = [U_z, U_r, U_h],

    reset_after:      m = h_{t−1}·U + b,  z = g(z_z + m_z), r = g(z_r + m_r), ĥ = f(z_h + r·m_h);
    not reset_after:  z = g(z_z + h_{t−1}·U_z), r = g(z_r + h_{t−1}·U_r), ĥ = f(z_h + (r·h_{t−1})·U_h);

    h_t = z·h_{t−1} + (1 − z)·ĥ.

    z (N, T, 3H), weight (H, 3H), b = recurrent_bias (3H,) or None (always None if not reset_after) → (h (N, T, H), m_h
    (N, T, H), or None if not reset_after). It works in place: the argument z, C-contiguous, holds the gates z, r, ĥ
    afterwards (they and m_h, of steps that are left out, anything).

    Source: Cho et al. 2014, arXiv:1406.1078 (its first version resets after the product, the later ones before it).
    """
    (f, _), (g, _) = ACTIVATIONS[activation], ACTIVATIONS[recurrent_activation]
    h = np.empty_like(z, shape=(*z.shape[:2], len(weight)))
    inner = np.empty_like(h) if reset_after else None
    state, units = _start(h0, h), len(weight)
    of_gates, of_candidate = weight[:, : 2 * units], weight[:, 2 * units :]
    b = np.zeros_like(weight[0]) if recurrent_bias is None else recurrent_bias
    for t in range(z.shape[1]):
        update, reset, candidate = np.split(z[:, t], 3, 1)
        m_update, m_reset = np.split(state @ of_gates + b[: 2 * units], 2, 1)
        update, reset = g(update + m_update), g(reset + m_reset)
        if inner is None:
            candidate = f(candidate + (reset * state) @ of_candidate)
        else:
            inner[:, t] = state @ of_candidate + b[2 * units :]
            candidate = f(candidate + reset * inner[:, t])
        z[:, t] = np.concatenate([update, reset, candidate], 1)
        state = h[:, t] = _where(mask, t, update * state + (1 - update) * candidate, state)
    return h, inner


def gru_gradient(
    dh: np.ndarray,
    h: np.ndarray,
    gates: np.ndarray,
    inner: np.ndarray | None,
    weight: np.ndarray,
    h0: np.ndarray | None,
    mask: np.ndarray | None,
    activation: str,
    recurrent_activation: str,
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
    """Gradient of `gru`, from the gates that it left in z, and from m_h = `inner` (None: not reset_after): from the
    last step to the first, with δ the gradient in h_t,

    dz_h = f′·δ·(1 − z), dz_z = g′·δ·(h_{t−1} − ĥ), δ_{t−1} = dh_{t−1} + δ·z + what comes back through the products:

    reset_after:      dz_r = g′·dz_h·m_h, dm = [dz_z, dz_r, dz_h·r], and δ_{t−1} += dm·Uᵀ;
    not reset_after:  q = dz_h·U_hᵀ, dz_r = g′·q·h_{t−1}, and δ_{t−1} += q·r + [dz_z, dz_r]·[U_z, U_r]ᵀ.

    dh, h, inner (N, T, H), gates (N, T, 3H), weight (H, 3H) → (dz (N, T, 3H), dm (N, T, 3H) or None, dh0 (N, H)). dz_t
    and dm_t are 0 where the mask leaves t out. The gradient of the weights is Σ_t h_{t−1}ᵀ·dm_t, and Σ_t dm_t that of
    the recurrent bias; if not reset_after, Σ_t h_{t−1}ᵀ·dz_t for U_z and U_r, and Σ_t (r·h_{t−1})ᵀ·dz_t for U_h.
    """
    (_, f_slope), (_, g_slope) = ACTIVATIONS[activation], ACTIVATIONS[recurrent_activation]
    units = len(weight)
    dz = np.empty_like(gates, order="C")
    dm = None if inner is None else np.empty_like(dz)
    carried, first = _start(None, h), _start(h0, h)
    for t in reversed(range(h.shape[1])):
        update, reset, candidate = np.split(gates[:, t], 3, 1)
        before = h[:, t - 1] if t else first
        total = dh[:, t] + carried
        dcandidate = total * (1 - update) * f_slope(candidate)
        dupdate = total * (before - candidate) * g_slope(update)
        if inner is None or dm is None:
            through = dcandidate @ weight[:, 2 * units :].T
            dreset = through * before * g_slope(reset)
            back = through * reset + np.concatenate([dupdate, dreset], 1) @ weight[:, : 2 * units].T
        else:
            dreset = dcandidate * inner[:, t] * g_slope(reset)
            ds = np.concatenate([dupdate, dreset, dcandidate * reset], 1)
            dm[:, t] = _where(mask, t, ds, np.zeros_like(ds))
            back = ds @ weight.T
        ds = np.concatenate([dupdate, dreset, dcandidate], 1)
        dz[:, t] = _where(mask, t, ds, np.zeros_like(ds))
        carried = _where(mask, t, total * update + back, total)
    return dz, dm, carried


def _start(state: np.ndarray | None, sequence: np.ndarray) -> np.ndarray:
    """A state (N, H) before the first step, zeros if none is given."""
    if state is not None:
        return state
    return np.zeros_like(sequence, shape=(sequence.shape[0], sequence.shape[2]))


def _where(mask: np.ndarray | None, t: int, taken: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
    """What holds after step t: `taken` in the sequences that have the step, `otherwise` where it is left out."""
    return taken if mask is None else np.where(mask[:, t, None], taken, otherwise)
