#include "datapath/hot.h"

#include "datapath/cache.h"
#include "datapath/qos.h"

#define LEVEL_NAME(level) HOT_NAME(level)
#define HOT_NAME(level) hot_##level

#define HOT_LEVEL_x86_64_v2 "x86-64-v2"
#define HOT_LEVEL_x86_64_v3 "x86-64-v3"
#define HOT_LEVEL_x86_64_v4 "x86-64-v4"
#define LEVEL_TEXT(level) LEVEL_TEXT_(level)
#define LEVEL_TEXT_(level) HOT_LEVEL_##level

extern const struct hot LEVEL_NAME(HOT_LEVEL);

const struct hot LEVEL_NAME(HOT_LEVEL) = {
	.level = LEVEL_TEXT(HOT_LEVEL),
	.forward = forward_burst,
	.parse_key = forward_parse_key,
	.table_lookup = table_lookup,
	.table_lookup_explained = table_lookup_explained,
	.mac_table_lookup = mac_table_lookup,
	.mac_table_refresh = mac_table_refresh,
	.classifier_lookup = classifier_lookup,
	.classifier_lookup_view = classifier_lookup_view,
	.table_lookup_view = table_lookup_view,
	.cache_fold = cache_fold,
	.run_shapers = qos_run_shapers,
};
