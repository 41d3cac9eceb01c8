"""The page of what Keras has is what its sources give."""

import keras_table


def test_the_page_is_what_its_sources_give():
    """`python tests/keras/keras_table.py` writes it."""
    assert keras_table.PAGE.read_text(encoding="utf-8") == keras_table.page()
