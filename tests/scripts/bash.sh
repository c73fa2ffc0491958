# What only bash has: arrays, process substitution, here-strings, pattern replacement.
set -euo pipefail
declare -A seen
list=()
for i in {1..20000}; do
    seen[$((i * 7919 % 4001))]=$i
    list+=("item $i")
done
echo "${#seen[@]} ${#list[@]} ${list[12345]}"
joined=$(IFS=:; echo "${list[*]}")
echo "${#joined}"
replaced=${joined//item /#}
echo "${#replaced} $(cksum <<<"$replaced")"
diff <(seq 1 2000) <(seq 1 2001) || true
mapfile -t lines < <(seq 1 20000)
echo "${#lines[@]} ${lines[19999]}"
sort -n <(printf '%s\n' "${lines[@]}") | tail -n 1
