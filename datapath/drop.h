// Reasons for which a packet ends without being forwarded (drop.def). Any thread.
#ifndef DATAPATH_DROP_H
#define DATAPATH_DROP_H

enum drop_reason {
#define DROP(id, name, help) DROP_##id,
#include "datapath/drop.def"
#undef DROP
	N_DROPS
};

struct drop_text {
	const char *name; // stable, for people and programs
	const char *help; // one line
};
extern const struct drop_text drop_texts[N_DROPS];

#endif
