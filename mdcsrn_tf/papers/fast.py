"""Networks of our own, no paper's: as true as mDCSRN is to be, in a fraction of its time (docs/decisions.md)."""

from __future__ import annotations

from mdcsrn_tf.papers.config import InferenceSettings, MdcsrnConfig, Preset, SmallGridConfig
from mdcsrn_tf.papers.mdcsrn import ROBUST

# The widths of all feature maps are multiples of 16, as processors' convolutions compute them.
B4U4K16 = SmallGridConfig(
    MdcsrnConfig(blocks=4, units=4, growth=16, compress_first=False, bottleneck=False, use_bias=False)
)
PRESETS = {preset.name: preset for preset in (Preset("fast/b4u4k16", B4U4K16, ROBUST, InferenceSettings(bn="moving")),)}
