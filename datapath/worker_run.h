// The worker's thread function, for workers.c alone.
#ifndef DATAPATH_WORKER_RUN_H
#define DATAPATH_WORKER_RUN_H

void *worker_run(void *worker);

#endif
