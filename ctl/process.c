#include "ctl/process.h"

#include "common/error.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define DIRECTORY_MODE 0750

#define LOCK_TRIES 25
#define LOCK_TRY_US 20000

static int ready_fd = -1;

int process_lock(const char *run_dir, struct error *error)
{
	char path[4096];
	int fd;

	if (mkdir(run_dir, DIRECTORY_MODE) && errno != EEXIST)
		return error_set(error, errno,
				 "cannot make run directory '%s': %s; name another with --run-dir",
				 run_dir, strerror(errno));
	if ((size_t)snprintf(path, sizeof(path), "%s/vswitchd.lock", run_dir) >= sizeof(path))
		return error_set(error, ENAMETOOLONG, "the name of the run directory is too long");
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (fd < 0)
		return error_set(
			error, errno,
			"cannot open lock file '%s': %s; vswitchd must be able to write to "
			"its run directory",
			path, strerror(errno));
	// A process that was killed holds its lock until its memory is gone, and whoever starts the
	// next one does not want to wait for that.
	for (unsigned int i = 0; i < LOCK_TRIES; i++) {
		if (!flock(fd, LOCK_EX | LOCK_NB))
			return 0; // the descriptor stays open as long as the process lives
		usleep(LOCK_TRY_US);
	}
	close(fd);
	return error_set(
		error, EBUSY,
		"a vswitchd is already running on '%s'; stop it, or name another directory "
		"with --run-dir",
		run_dir);
}

// The parent's part: its exit code is the child's fate.
static void wait_for_child(int fd, pid_t child)
{
	char byte;
	ssize_t n;
	int status = 0;

	do
		n = read(fd, &byte, 1);
	while (n < 0 && errno == EINTR);
	if (n == 1)
		_exit(0);
	if (waitpid(child, &status, 0) == child && WIFSIGNALED(status))
		fprintf(stderr, "vswitchd: ended by signal %d\n", WTERMSIG(status));
	_exit(1);
}

int process_detach(struct error *error)
{
	int pipe_fds[2];
	pid_t child;

	if (pipe2(pipe_fds, O_CLOEXEC))
		return error_set(error, errno, "cannot make a pipe: %s", strerror(errno));
	fflush(NULL);
	child = fork();
	if (child < 0)
		return error_set(error, errno, "cannot make a process: %s", strerror(errno));
	if (child > 0) {
		close(pipe_fds[1]);
		wait_for_child(pipe_fds[0], child);
	}
	close(pipe_fds[0]);
	setsid();
	ready_fd = pipe_fds[1];
	return 0;
}

void process_ready(void)
{
	int null;

	if (ready_fd < 0)
		return;
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null >= 0) {
		dup2(null, STDIN_FILENO);
		dup2(null, STDOUT_FILENO);
		dup2(null, STDERR_FILENO);
		close(null);
	}
	if (write(ready_fd, "r", 1) != 1) {
		// The parent was ended meanwhile: nobody waits.
	}
	close(ready_fd);
	ready_fd = -1;
	if (chdir("/")) {
		// We only keep the old directory busy.
	}
}

int process_write_pidfile(const char *path, struct error *error)
{
	char text[32];
	int length = snprintf(text, sizeof(text), "%d\n", (int)getpid());
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);

	if (fd < 0)
		return error_set(error, errno, "cannot write pid file '%s': %s", path,
				 strerror(errno));
	if (write(fd, text, (size_t)length) != length) {
		int code = errno;

		close(fd);
		return error_set(error, code, "cannot write pid file '%s': %s", path,
				 strerror(code));
	}
	close(fd);
	return 0;
}
