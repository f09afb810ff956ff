"""S's only table as data. It prints no deviations and no parameter counts."""

from __future__ import annotations

from mdcsrn_tf.papers.config import PublishedRow, PublishedTable

# Pairs as printed: "8479 image pairings" altogether, but 6008 + 2741 = 8749 for Model 1.
PRINTED_PAIRS = {"all": 8479, "model1": (6008, 2741), "model2": (907, 749)}

SRGAN2D1 = PublishedTable(
    "srgan2d1",
    "S Table 1: mean squared error of thick slices made thin",
    "5 patients of 16 (Model 1), 1 of 3 (Model 2)",
    (
        PublishedRow("SRResNet (Model 1)", "srgan2d/model1", {"mse": (5.39e7, None)}),
        PublishedRow("SRGAN (Model 1)", "srgan2d/model1", {"mse": (4.73e7, None)}, gan=True),
        PublishedRow("SRResNet (Model 2)", "srgan2d/model2", {"mse": (3.90e5, None)}),
        PublishedRow("SRGAN (Model 2)", "srgan2d/model2", {"mse": (3.46e5, None)}, gan=True),
    ),
    remarks=(
        "The paper's two models are printed in different units: the code it links divides Model 1's squared error by "
        "512, not by 512 x 512. If that code made the table, Model 1's true errors are 512 times smaller, 1.05e5 and "
        "9.24e4, and lower than Model 2's.",
        "The same code reshaped Model 2's three target slices instead of transposing them, in training and evaluation. "
        "Here channel c of a pixel is slice k - 1 + c.",
        "The errors are in stored pixel values of scans that nobody else has.",
    ),
)
