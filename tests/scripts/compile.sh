# Compiles real sources (their directory is $1), compares what comes out, runs it.
set -eu
cp "$1"/*.c "$1"/*.h .
for level in 0 2; do
    for source in *.c; do
        cc -w -O$level -pthread -c "$source" -o "${source%.c}.$level.o"
    done
done
cksum ./*.o
cc -w -O2 -pthread threads.c -o threads
./threads 4 2000
cc -w -O2 -fsyntax-only threads.c
ar rcs libobjects.a ./*.2.o
nm -g threads.2.o
