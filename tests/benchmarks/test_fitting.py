"""The benchmark of fit's loop measures what it says."""

from tomograd.benchmarks import fitting


def test_the_figures_of_a_short_run():
    cost = fitting.measure(steps=3, rounds=1)
    assert 0 < cost.bare < 60 and 0 < cost.fit < 60
    assert 0 < cost.between < 10
    assert cost.not_hidden > 1  # loading, then the step, one after the other
    assert "between the steps of fit" in str(cost)
