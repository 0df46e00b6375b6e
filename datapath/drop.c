#include "datapath/drop.h"

const struct drop_text drop_texts[N_DROPS] = {
#define DROP(id, name, help) [DROP_##id] = { name, help },
#include "datapath/drop.def"
#undef DROP
};
