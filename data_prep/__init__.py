"""From scans to training shards: k-space degradation, patches, TFRecord shards."""
