// Answers of the daemon as text for people, in the forms of ovs-vsctl(8) and ovs-ofctl(8).
#ifndef CTL_RENDER_H
#define CTL_RENDER_H

#include <jansson.h>

struct text;

// Append the text of the answer to one command. `request`: the command it answers.
void render_answer(const json_t *request, const json_t *answer, struct text *text);

// trace: a tree (render_trace.c).
void render_trace(const json_t *request, const json_t *answer, struct text *text);

// port-guest (render_guest.c).
void render_guest(const json_t *request, const json_t *answer, struct text *text);

// qos-show, queue-stats, queue-get-config (render_qos.c).
void render_qos(const json_t *request, const json_t *answer, struct text *text);
void render_queue_stats(const json_t *request, const json_t *answer, struct text *text);
void render_queue_config(const json_t *request, const json_t *answer, struct text *text);

#endif
