# The shell's own allocations, forks and pipes, and many small programs.
set -eu
words() {
    i=0
    while [ $i -lt 3000 ]; do
        echo "w$((i * 7919 % 211)) $i"
        i=$((i + 1))
    done
}
words | sort -k1,1 -k2,2n | awk '{ n[$1]++; s[$1] += $2 } END { for (w in n) print n[w], s[w], w }' \
    | sort -k1,1nr -k3,3 | head -n 20
words | tr 'w' 'v' | sed 's/v\([0-9]\)/<\1>/' | grep '<1>' | uniq -w 3 -c | tail -n 5
total=0
for i in $(seq 1 200); do
    total=$((total + $(printf '%s' "$i" | wc -c)))
done
echo "substitutions $total"
seq 1 50 | xargs -n 5 -P 4 sh -c 'echo $(( $1 + $5 ))' sh | sort -n | cksum
tar cf - -C / etc/passwd 2>/dev/null | gzip -9 | gunzip | tar tf -
text=
i=0
while [ $i -lt 2000 ]; do
    text="$text$i,"
    i=$((i + 1))
done
echo "${#text}"
find /etc -maxdepth 1 -name 'h*' | sort | head -n 3
(exit 7) || echo "status $?"
