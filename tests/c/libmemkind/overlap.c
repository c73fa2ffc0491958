/* Memory of a live kind, but for its start. */
#include "kinds.h"

int main(void) {
    char *memory = map_memory(64 * MIB);
    memkind_t kind, other = NULL;
    NEED(memkind_create_fixed(memory, 32 * MIB, &kind) == 0);
    say("inside a live kind: %d", memkind_create_fixed(memory + 8 * MIB, 8 * MIB, &other));
    say("across its end: %d", memkind_create_fixed(memory + 24 * MIB, 16 * MIB, &other));
    return 0;
}
