#include "ctl/flow_writer.h"

#include "common/error.h"
#include "common/log.h"
#include "common/text.h"
#include "datapath/datapath.h"
#include "flowtable/program_share.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define BATCH_SIZE (256u * 1024)
// Batches that wait for the thread. A flow takes 150 bytes in them.
#define MAX_QUEUED 128

// What is to be written. The references are taken and given back by the main thread.
struct row {
	uint64_t id;
	struct mask *mask; // NULL: delete the row
	struct program *program;
	const struct port_names *names;
	uint64_t cookie;
	uint64_t created_ns;
	uint64_t modified_ns;
	uint16_t idle_timeout;
	uint16_t hard_timeout;
	uint16_t importance;
	uint16_t flags;
	uint16_t priority;
	uint8_t table_id;
	uint8_t n_values;
	uint64_t values[];
};

struct batch {
	struct batch *next;
	size_t size; // bytes of rows
	_Alignas(8) char rows[BATCH_SIZE];
};

struct batch_list {
	struct batch *first;
	struct batch **last;
};

// One side's scratch.
struct formatter {
	struct text match;
	struct text actions;
};

static struct {
	struct store *store;
	struct batch *filling; // main thread
	struct batch *spares; // main thread: new memory for each batch would take its time
	struct formatter formatter;

	pthread_t thread;
	bool has_thread;
	bool yields; // main thread
	pthread_mutex_t lock;
	pthread_cond_t work; // for the thread
	pthread_cond_t progress; // for the main thread
	// Under the lock.
	struct batch_list queue;
	struct batch_list done; // their references are to be given back
	unsigned int n_queued; // with the one that is being written
	bool stop;
	bool cancelled;
	bool shorten_log; // when there is nothing else to do
	int failure;
	struct error error; // of the failure
} writer = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.work = PTHREAD_COND_INITIALIZER,
	.progress = PTHREAD_COND_INITIALIZER,
};

static void list_add(struct batch_list *list, struct batch *batch)
{
	batch->next = NULL;
	if (!list->first)
		list->last = &list->first;
	*list->last = batch;
	list->last = &batch->next;
}

static struct batch *list_take(struct batch_list *list)
{
	struct batch *batch = list->first;

	if (batch)
		list->first = batch->next;
	return batch;
}

static size_t row_size(unsigned int n_values)
{
	return sizeof(struct row) + n_values * sizeof(uint64_t);
}

// --- Writing: the thread, or the main thread while the thread has nothing to do ---

static void format_row(struct formatter *formatter, const struct row *row)
{
	struct match match;

	match_unpack(row->mask, row->values, &match);
	text_clear(&formatter->match);
	match_format(&match, row->names, &formatter->match);
	text_clear(&formatter->actions);
	program_format(row->program, row->names, &formatter->actions);
}

// What the store keeps: canonical text, ports by number.
static int write_row(struct formatter *formatter, const struct row *row, struct error *error)
{
	struct store_flow kept = {
		.table_id = row->table_id,
		.priority = row->priority,
		.cookie = row->cookie,
		.idle_timeout = row->idle_timeout,
		.hard_timeout = row->hard_timeout,
		.importance = row->importance,
		.flags = row->flags,
		.created_ns = row->created_ns,
		.modified_ns = row->modified_ns,
	};

	if (!row->mask)
		return store_delete_flow(writer.store, row->id, error);
	format_row(formatter, row);
	if (formatter->match.failed || formatter->actions.failed)
		return error_set(error, ENOMEM, "out of memory");
	kept.match = formatter->match.data ? formatter->match.data : "";
	kept.actions = formatter->actions.data ? formatter->actions.data : "";
	return store_put_flow(writer.store, row->id, &kept, error);
}

static int write_batch(struct formatter *formatter, const struct batch *batch, struct error *error)
{
	int result = 0;

	for (size_t at = 0; !result && at < batch->size;) {
		const struct row *row = (const struct row *)(batch->rows + at);

		result = write_row(formatter, row, error);
		at += row_size(row->n_values);
	}
	return result;
}

static void note_failure(int result, const struct error *error)
{
	if (!result || writer.failure)
		return;
	writer.failure = result;
	writer.error = *error;
}

// Comes and goes with the lock held.
static void shorten_log(void)
{
	writer.shorten_log = false;
	pthread_mutex_unlock(&writer.lock);
	store_shorten_log(writer.store);
	pthread_mutex_lock(&writer.lock);
}

static void *thread_run(void *unused)
{
	struct formatter formatter = { 0 };

	(void)unused;
	pthread_mutex_lock(&writer.lock);
	while (!writer.stop) {
		struct batch *batch = list_take(&writer.queue);
		bool skip = writer.failure || writer.cancelled;
		struct error error = { 0 };
		int result;

		if (!batch && !writer.shorten_log)
			pthread_cond_wait(&writer.work, &writer.lock);
		else if (!batch)
			shorten_log();
		if (!batch)
			continue;
		pthread_mutex_unlock(&writer.lock);
		// A full disk may have ended the transaction: nothing more may be written in its
		// name.
		result = skip ? 0 : write_batch(&formatter, batch, &error);
		pthread_mutex_lock(&writer.lock);
		note_failure(result, &error);
		list_add(&writer.done, batch);
		writer.n_queued--;
		pthread_cond_signal(&writer.progress);
	}
	pthread_mutex_unlock(&writer.lock);
	text_free(&formatter.match);
	text_free(&formatter.actions);
	return NULL;
}

// --- The main thread ---

static void batch_free(struct batch *batch)
{
	for (size_t at = 0; batch && at < batch->size;) {
		struct row *row = (struct row *)(batch->rows + at);

		program_free(row->program);
		mask_unref(row->mask);
		at += row_size(row->n_values);
	}
	if (!batch)
		return;
	batch->next = writer.spares;
	writer.spares = batch;
}

static void free_spares(void)
{
	while (writer.spares) {
		struct batch *batch = writer.spares;

		writer.spares = batch->next;
		free(batch);
	}
}

// For single rows one is enough.
static void free_most_spares(void)
{
	struct batch *kept = writer.spares;

	if (!kept)
		return;
	writer.spares = kept->next;
	free_spares();
	kept->next = NULL;
	writer.spares = kept;
}

static void free_done(void)
{
	struct batch_list done;

	pthread_mutex_lock(&writer.lock);
	done = writer.done;
	writer.done.first = NULL;
	pthread_mutex_unlock(&writer.lock);
	while (done.first)
		batch_free(list_take(&done));
}

// While the main thread works the other one uses what the workers leave of their cores; when the
// main thread waits for it, it gets that one's place.
static void yield_to_workers(bool yield)
{
	if (writer.yields != yield)
		thread_yield_to_workers(writer.thread, yield);
	writer.yields = yield;
}

static bool start_thread(void)
{
	if (!writer.has_thread) {
		writer.has_thread = !pthread_create(&writer.thread, NULL, thread_run, NULL);
		if (writer.has_thread)
			pthread_setname_np(writer.thread, "flow-writer");
	}
	return writer.has_thread;
}

// Write what is not the thread's. Without a failure so far, and the thread has nothing to do.
static void write_filling(void)
{
	struct error error = { 0 };
	int result = write_batch(&writer.formatter, writer.filling, &error);

	note_failure(result, &error);
	batch_free(writer.filling);
	writer.filling = NULL;
}

static void wait_until(unsigned int n_queued)
{
	pthread_mutex_lock(&writer.lock);
	if (writer.n_queued > n_queued)
		yield_to_workers(false);
	while (writer.n_queued > n_queued)
		pthread_cond_wait(&writer.progress, &writer.lock);
	pthread_mutex_unlock(&writer.lock);
}

static bool is_full(void)
{
	bool full;

	pthread_mutex_lock(&writer.lock);
	full = writer.n_queued >= MAX_QUEUED;
	pthread_mutex_unlock(&writer.lock);
	return full;
}

static void hand_over(void)
{
	if (!start_thread()) {
		if (!writer.failure)
			write_filling();
		return;
	}
	if (is_full())
		wait_until(MAX_QUEUED / 2);
	pthread_mutex_lock(&writer.lock);
	list_add(&writer.queue, writer.filling);
	writer.n_queued++;
	pthread_cond_signal(&writer.work);
	pthread_mutex_unlock(&writer.lock);
	writer.filling = NULL;
	yield_to_workers(true);
	free_done();
}

// Room for one row, or NULL.
static struct row *add_row(unsigned int n_values)
{
	const size_t size = row_size(n_values);
	struct row *row;

	if (writer.filling && writer.filling->size + size > BATCH_SIZE)
		hand_over();
	if (!writer.filling) {
		writer.filling = writer.spares;
		if (writer.spares)
			writer.spares = writer.spares->next;
		else
			writer.filling = malloc(sizeof(*writer.filling));
		if (!writer.filling)
			return NULL;
		writer.filling->size = 0;
	}
	row = (struct row *)(writer.filling->rows + writer.filling->size);
	writer.filling->size += size;
	return row;
}

void flow_writer_start(struct store *store)
{
	writer.store = store;
}

void flow_writer_stop(void)
{
	flow_writer_cancel();
	if (writer.has_thread) {
		pthread_mutex_lock(&writer.lock);
		writer.stop = true;
		pthread_cond_signal(&writer.work);
		pthread_mutex_unlock(&writer.lock);
		pthread_join(writer.thread, NULL);
	}
	writer.has_thread = writer.yields = writer.stop = false;
	text_free(&writer.formatter.match);
	text_free(&writer.formatter.actions);
	free_spares();
	writer.store = NULL;
}

int flow_writer_put(const struct flow *flow, const struct port_names *names, uint64_t id,
		    uint64_t clock_offset_ns)
{
	struct row *row = add_row(flow->mask->n_words);

	if (!row)
		return -ENOMEM;
	*row = (struct row){
		.id = id,
		.mask = mask_ref((struct mask *)(uintptr_t)flow->mask),
		.program = program_ref(flow->program),
		.names = names,
		.cookie = flow->cookie,
		.created_ns = flow->created_ns + clock_offset_ns,
		.modified_ns = flow->modified_ns + clock_offset_ns,
		.idle_timeout = flow->idle_timeout,
		.hard_timeout = flow->hard_timeout,
		.importance = flow->importance,
		.flags = flow->flags,
		.priority = flow->priority,
		.table_id = flow->table_id,
		.n_values = flow->mask->n_words,
	};
	memcpy(row->values, flow->values, flow->mask->n_words * sizeof(flow->values[0]));
	return 0;
}

int flow_writer_delete(uint64_t id)
{
	struct row *row = add_row(0);

	if (!row)
		return -ENOMEM;
	*row = (struct row){ .id = id };
	return 0;
}

int flow_writer_finish(struct error *error)
{
	int result;

	wait_until(0);
	if (writer.filling && !writer.failure)
		write_filling();
	free_done();
	free_most_spares();
	result = writer.failure;
	if (result)
		error_set(error, writer.error.code, "%s", writer.error.message);
	return result;
}

void flow_writer_committed(void)
{
	if (!store_log_is_long(writer.store))
		return;
	if (!start_thread()) {
		store_shorten_log(writer.store);
		return;
	}
	pthread_mutex_lock(&writer.lock);
	writer.shorten_log = true;
	pthread_cond_signal(&writer.work);
	pthread_mutex_unlock(&writer.lock);
}

void flow_writer_cancel(void)
{
	pthread_mutex_lock(&writer.lock);
	writer.cancelled = true;
	pthread_mutex_unlock(&writer.lock);
	wait_until(0);
	free_done();
	batch_free(writer.filling);
	writer.filling = NULL;
	free_most_spares();
	writer.cancelled = false;
	writer.failure = 0;
}
