"""The network of a `.keras` file in the form that runs fastest."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from mdcsrn_tf.models.files import ModelCard, load_stock_model
from mdcsrn_tf.models.graph import Graph
from mdcsrn_tf.models.graph_of_file import load_graph
from mdcsrn_tf.models.graph_of_keras import graph_of, why_no_graph

if TYPE_CHECKING:
    import keras


def load_network(path: str | os.PathLike[str]) -> tuple[Graph | keras.Model, ModelCard]:
    """A network on volumes and its card: as a graph, without Keras where the file allows; else the Keras model."""
    graph, card = load_graph(path)
    if graph is not None:
        return graph, card
    model, card = load_stock_model(path)
    return (model if why_no_graph(model) else graph_of(model)), card
