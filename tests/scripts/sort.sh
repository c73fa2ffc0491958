# A file that does not fit the buffer, so that sort merges temporary files too.
set -eu
seq 1 800000 | awk '{ printf "%d %d some more text to make lines longer\n", ($1 * 7919) % 1000003, $1 }' > lines
sort --parallel=4 -S 8M -k1,1n lines | cksum
sort --parallel=4 -S 400M -k1,1 -k2,2nr lines | cksum
sort --parallel=2 -S 1M -u -k1,1n lines | wc -l
