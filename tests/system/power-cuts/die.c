/* Loaded into the daemon: kills it at call number DIE_AT of those that change a file or send an answer, before the call.
 * With DIE_HALFWAY=1, at write number DIE_AT to a file, when half of it is written. Unlike strace, which counts for each
 * thread, it counts for all of them. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static atomic_long left;
static int is_halfway;

__attribute__((constructor)) static void begin(void)
{
    const char *at = getenv("DIE_AT"), *halfway = getenv("DIE_HALFWAY");
    atomic_store(&left, at ? atol(at) : 0);
    is_halfway = halfway && *halfway == '1';
}

static int is_the_one(void)
{
    return atomic_fetch_sub(&left, 1) == 1;
}

static void die(void)
{
    kill(getpid(), SIGKILL);
    for (;;)
        pause();
}

static void step(void)
{
    if (!is_halfway && is_the_one())
        die();
}

/* Whether to die in the middle of a write to it. */
static int is_halved(int fd)
{
    struct stat stat;
    if (fstat(fd, &stat) != 0 || !(S_ISREG(stat.st_mode) || S_ISSOCK(stat.st_mode)))
        return 0;
    step();
    return is_halfway && S_ISREG(stat.st_mode) && is_the_one();
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define STEP(name, parameters, arguments) \
    int name parameters \
    { \
        step(); \
        return REAL(name) arguments; \
    }

STEP(fsync, (int fd), (fd))
STEP(fdatasync, (int fd), (fd))
STEP(ftruncate64, (int fd, off64_t length), (fd, length))
STEP(fchmod, (int fd, mode_t mode), (fd, mode))
STEP(rename, (const char *from, const char *to), (from, to))
STEP(linkat, (int a, const char *from, int b, const char *to, int flags), (a, from, b, to, flags))
STEP(unlink, (const char *path), (path))
STEP(mkdir, (const char *path, mode_t mode), (path, mode))

int open64(const char *path, int flags, ...)
{
    mode_t mode = 0;
    if (flags & O_CREAT) {
        va_list more;
        va_start(more, flags);
        mode = va_arg(more, mode_t);
        va_end(more);
        step();
    }
    return REAL(open64)(path, flags, mode);
}

ssize_t write(int fd, const void *bytes, size_t length)
{
    if (is_halved(fd)) {
        REAL(write)(fd, bytes, length / 2);
        die();
    }
    return REAL(write)(fd, bytes, length);
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t at)
{
    if (is_halved(fd)) {
        REAL(pwrite64)(fd, bytes, length / 2, at);
        die();
    }
    return REAL(pwrite64)(fd, bytes, length, at);
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    /* What the daemon writes from several buffers is an answer. */
    is_halved(fd);
    return REAL(writev)(fd, parts, count);
}
