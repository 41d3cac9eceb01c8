"""Recurrent cells over whole sequences."""

from ..reference.recurrence import gru, gru_gradient, lstm, lstm_gradient, simple_rnn, simple_rnn_gradient

__all__ = ["gru", "gru_gradient", "lstm", "lstm_gradient", "simple_rnn", "simple_rnn_gradient"]
