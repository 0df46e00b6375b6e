// vsctl cache-show: what the traversal cache of each worker does, and on which bridges it is asked.
#include "ctl/handlers.h"

#include "datapath/cache.h"
#include "datapath/datapath.h"
#include "ofproto/bridge.h"

static json_t *describe_bridge(const struct cache *cache, const struct bridge *bridge)
{
	static const char *const states[] = { "off", "trial", "on" };
	const struct forwarding *forwarding = bridge_forwarding(bridge);
	const struct cache_gauge *gauge = &cache->gauges[forwarding->index];
	const struct cache_key *key = forwarding->cache_key;
	const char *state = states[rcu_read(&gauge->state) % 3];

	if (cache_mode != CACHE_ADAPTIVE)
		state = cache_mode == CACHE_ALWAYS ? "on" : "off";
	if (!key || key->too_wide)
		state = key ? "impossible" : "off";
	return json_pack("{s:s, s:s, s:i, s:f, s:f}", "bridge", bridge_name(bridge), "state", state,
			 "key_words", key ? (int)key->n_words : 0, "cycles_direct",
			 (double)rcu_read(&gauge->direct) / 16, "cycles_cached",
			 (double)rcu_read(&gauge->cached) / 16);
}

static json_t *describe_worker(unsigned int i, const struct cache *cache)
{
	const struct cache_stats *stats = &cache->stats;
	json_t *bridges = json_array();

	for (const struct bridge *bridge = bridge_first(); bridge; bridge = bridge_next(bridge))
		json_array_append_new(bridges, describe_bridge(cache, bridge));
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "worker", (json_int_t)i,
			 "hits", (json_int_t)rcu_read(&stats->n_hits), "misses",
			 (json_int_t)rcu_read(&stats->n_misses), "inserted",
			 (json_int_t)rcu_read(&stats->n_inserted), "evicted",
			 (json_int_t)rcu_read(&stats->n_evicted), "trials",
			 (json_int_t)rcu_read(&stats->n_trials), "max_entries",
			 (json_int_t)CACHE_ENTRIES, "bridges", bridges);
}

int handle_cache_show(const struct handler_call *call, json_t **result, struct error *error)
{
	static const char *const modes[] = { "auto", "always", "never" };
	json_t *workers = json_array();
	const struct cache *cache;

	(void)call;
	(void)error;
	for (unsigned int i = 0; (cache = workers_cache(i)); i++)
		json_array_append_new(workers, describe_worker(i, cache));
	*result = json_pack("{s:s, s:o}", "mode", modes[cache_mode % 3], "workers", workers);
	return 0;
}
