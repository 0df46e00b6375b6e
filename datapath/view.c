#include "datapath/view.h"

uint8_t workers_view = VIEW_NONE;
