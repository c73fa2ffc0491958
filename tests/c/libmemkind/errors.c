/* The texts of codes, and the version. */
#include "kinds.h"

int main(void) {
    static const int codes[] = {0,   -1,  -2,  -3,  -4,  -6,  -7,  -11, -12, -13,  -14,  -15,
                                -16, -17, -18, -19, -20, -21, -22, -23, -24, -255, -256, 1, 22};
    char text[MEMKIND_ERROR_MESSAGE_SIZE];
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        memset(text, 'x', sizeof text);
        memkind_error_message(codes[i], text, sizeof text);
        say("text of %d: %s", codes[i], text);
    }
    for (size_t size = 1; size < 20; size += 6) {
        memset(text, 'x', sizeof text);
        memkind_error_message(MEMKIND_ERROR_INVALID, text, size);
        say("text in %zu bytes: %s, end %s", size, text, yes(text[size] == 'x'));
    }
    text[0] = 'x';
    memkind_error_message(MEMKIND_ERROR_INVALID, text, 0);
    say("text in no bytes: %s", yes(text[0] == 'x'));
    memkind_error_message(MEMKIND_ERROR_INVALID, NULL, 0);
    say("text nowhere: survived");
    say("version: %d", memkind_get_version());
    return 0;
}
