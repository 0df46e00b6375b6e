// The meter language of ovs-ofctl(8), "Meter Syntax": text to meters and back. Control thread.
//
// "meter=1,kbps,burst,stats,bands=type=drop,rate=1000,burst_size=500": white space separates as well
// as commas do. Rates are in kilobits (of 1000 bits) or packets per second.
#ifndef FLOWTABLE_METER_TEXT_H
#define FLOWTABLE_METER_TEXT_H

#include "flowtable/program.h"

struct error;
struct text;

#define METER_ID_MAX 65535u // 1 to this; each bridge has its own
#define METER_ID_ALL UINT32_MAX // selectors
#define METER_MAX_BANDS 8

enum meter_band_type { METER_DROP, METER_DSCP_REMARK, N_METER_BAND_TYPES };
enum meter_unit { METER_KBPS, METER_PKTPS };

enum meter_text_usage {
	METER_TEXT_ADD, // add-meter, mod-meter: a whole meter
	METER_TEXT_SELECT, // del-meter, dump-meter, meter-stats: a number or "all"
};

struct meter_band_text {
	enum meter_band_type type;
	uint8_t prec_level; // METER_DSCP_REMARK: by how much drop precedence rises
	uint32_t rate; // kilobits or packets per second; 0: whatever comes exceeds it
	uint32_t burst_size; // kilobits or packets; 0: none was given
};

struct meter_text {
	uint32_t id; // METER_ID_ALL: selectors
	enum meter_unit unit;
	bool burst; // the words "burst" and "stats" were written
	bool stats;
	unsigned int n_bands;
	struct meter_band_text bands[METER_MAX_BANDS];
};

extern const char *const meter_unit_names[2];
extern const char *const meter_band_type_names[N_METER_BAND_TYPES];

// Returns 0, or -errno with error->column set to the mistake. Nothing needs releasing.
int meter_text_parse(const char *string, enum meter_text_usage usage, struct meter_text *meter,
		     struct error *error);

// Append the canonical text.
void meter_text_format(const struct meter_text *meter, struct text *text);

// The meter that a program's packets go through first; 0: none.
uint32_t program_meter(const struct program *program);

#endif
