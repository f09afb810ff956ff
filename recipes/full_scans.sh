# Sourced by other recipes with SCANS WORK: lists in WORK/full.txt the variants (robust_data.sh's) of the scans that are truth
# along all three axes, and who is in which split in WORK/split.tsv.
[ -f "$2/split.tsv" ] || recipes/robust_data.sh "$1" "$2"
variants=$(realpath "$2/variants")
# Scans that robust_data.sh does not turn are no truth through their slices; not of all a brain was cut out.
while read -r scan; do
  for kind in original brain ap-is lr-is; do
    variant=$variants/$(basename "$scan" .nii.gz)_$kind.nii.gz
    if [ -f "$variant" ]; then echo "$variant"; fi
  done
done < "$2/turned.txt" > "$2/full.txt"
awk '$2 == "validation" {print $1}' "$2/split.tsv" | while read -r person; do
  ls "$variants/$person"_*.nii.gz
done >> "$2/full.txt"
