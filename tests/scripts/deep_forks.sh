# A tree of subshells, each of which allocates before and after its children.
depth() {
    local level=$1 text=$(printf '%*s' $((level * 100)) x)
    if [ "$level" -gt 0 ]; then
        ( depth $((level - 1)) )
        ( depth $((level - 1)) )
    fi
    echo "$level ${#text}"
}
depth 4 | sort | uniq -c
result=$(echo one | (read -r word; echo "$word" "$( (echo two; ( echo three ) ) )"))
echo $result
for i in 1 2 3 4 5; do ( eval "array=($(seq 1 200))"; echo "${#array[@]}" ) & done | sort | uniq -c
wait
