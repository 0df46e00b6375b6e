// For cppcheck alone: what it must know of libraries whose headers it does not read.
#ifndef TESTS_LINT_CPPCHECK_H
#define TESTS_LINT_CPPCHECK_H

#define json_array_foreach(array, i, value)                                                        \
	for (i = 0; i < json_array_size(array) && (value = json_array_get(array, i)); i++)
#define json_object_foreach(object, key, value)                                                    \
	for (key = json_object_iter_key(json_object_iter(object));                                 \
	     key && (value = json_object_get(object, key)); key = json_next(object, key))
#define json_object_foreach_safe(object, next, key, value)                                         \
	for (next = NULL, key = json_object_iter_key(json_object_iter(object));                    \
	     key && (value = json_object_get(object, key)); key = json_next(object, key))

#endif
