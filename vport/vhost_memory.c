// Files that a guest offers as its memory.
#include "vport/vhost_session.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "common/error.h"

#define HOW "give the guest memory-backend-memfd with share=on"

// Pages of shared memory come from the kernel at once. Those of any other file may come late
// (a disk) or never (a file system that another process serves), and a worker would wait.
static int kind_check(int fd, const char *what, struct error *error)
{
	struct statfs status;

	if (fstatfs(fd, &status))
		return error_set(error, errno, "%s: %s", what, strerror(errno));
	if (status.f_type != TMPFS_MAGIC && status.f_type != HUGETLBFS_MAGIC &&
	    status.f_type != RAMFS_MAGIC)
		return error_set(error, EINVAL,
				 "%s is not shared memory (a memfd, or a file in /dev/shm or on "
				 "hugetlbfs): " HOW,
				 what);
	return 0;
}

int vhost_memory_check(int fd, uint64_t offset, uint64_t size, const char *what,
		       struct vhost_file *file, struct error *error)
{
	struct stat status;
	int seals, mode = fcntl(fd, F_GETFL);

	if (kind_check(fd, what, error))
		return -EINVAL;
	if (mode < 0 || (mode & O_ACCMODE) != O_RDWR)
		return error_set(error, EACCES, "%s is not open for reading and writing", what);
	// Where the file can be sealed its size is settled from here on. Where it cannot (a file
	// in a directory, a memfd made without seals), vport/memory_guard.h is what is left.
	seals = fcntl(fd, F_GET_SEALS);
	if (seals >= 0 && !(seals & (F_SEAL_SEAL | F_SEAL_SHRINK)))
		fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK);
	if (fstat(fd, &status))
		return error_set(error, errno, "%s: %s", what, strerror(errno));
	if (!S_ISREG(status.st_mode))
		return error_set(error, EINVAL, "%s is not a file of memory: " HOW, what);
	if ((uint64_t)status.st_size < offset || (uint64_t)status.st_size - offset < size)
		return error_set(error, EINVAL,
				 "%s ends at byte %" PRIu64 " of a file that has %" PRIu64, what,
				 offset + size, (uint64_t)status.st_size);
	*file = (struct vhost_file){ status.st_dev, status.st_ino };
	return 0;
}
