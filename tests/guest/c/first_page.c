/* What a Device DAX begins with: it has no read(2) and no write(2).
 * usage: first_page DEVICE ALIGNMENT          prints the text there, up to a null byte
 *        first_page DEVICE ALIGNMENT TEXT     makes it this text, and the rest of the first 4096 bytes zero */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

int main(int argc, char **argv) {
    int device = open(argv[1], O_RDWR);
    char *start = mmap(NULL, strtoul(argv[2], NULL, 10), PROT_READ | PROT_WRITE, MAP_SHARED, device, 0);
    if (device < 0 || start == MAP_FAILED) {
        perror(argv[1]);
        return 1;
    }
    if (argc > 3)
        strncpy(start, argv[3], 4096);
    else
        printf("%.4096s\n", start);
    return 0;
}
