/* Loaded into the daemon: kills it at call number DIE_AT of those that change a file or sync one, before the call.
 * With DIE_HALFWAY=1, at write number DIE_AT to a file, when half of it is written. Unlike strace, which counts for each
 * thread, it counts for all of them. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static long left;
static int is_halfway;

/* Held during each call that changes a file, and by who kills: of a call in which another thread is killed, nobody knows
 * whether it was done. A sync may be killed, it then counts as not done. */
static pthread_mutex_t changing = PTHREAD_MUTEX_INITIALIZER;

__attribute__((constructor)) static void begin(void)
{
    const char *at = getenv("DIE_AT"), *halfway = getenv("DIE_HALFWAY");
    left = at ? atol(at) : 0;
    is_halfway = halfway && *halfway == '1';
}

static void die(void)
{
    kill(getpid(), SIGKILL);
    for (;;)
        pause();
}

static void begin_change(void)
{
    pthread_mutex_lock(&changing);
    if (!is_halfway && left-- == 1)
        die();
}

static void end_change(void)
{
    pthread_mutex_unlock(&changing);
}

static int is_file(int fd)
{
    struct stat stat;
    return fstat(fd, &stat) == 0 && S_ISREG(stat.st_mode);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define CHANGE(name, parameters, arguments) \
    int name parameters \
    { \
        begin_change(); \
        int result = REAL(name) arguments; \
        end_change(); \
        return result; \
    }
#define SYNC(name) \
    int name(int fd) \
    { \
        begin_change(); \
        end_change(); \
        return REAL(name)(fd); \
    }
#define WRITE(name, parameters, arguments, half) \
    ssize_t name parameters \
    { \
        if (!is_file(fd)) \
            return REAL(name) arguments; \
        begin_change(); \
        if (is_halfway && left-- == 1) { \
            REAL(name) half; \
            die(); \
        } \
        ssize_t result = REAL(name) arguments; \
        end_change(); \
        return result; \
    }

SYNC(fsync)
SYNC(fdatasync)
CHANGE(ftruncate64, (int fd, off64_t length), (fd, length))
CHANGE(fchmod, (int fd, mode_t mode), (fd, mode))
CHANGE(rename, (const char *from, const char *to), (from, to))
CHANGE(linkat, (int a, const char *from, int b, const char *to, int flags), (a, from, b, to, flags))
CHANGE(unlink, (const char *path), (path))
CHANGE(mkdir, (const char *path, mode_t mode), (path, mode))
WRITE(write, (int fd, const void *bytes, size_t length), (fd, bytes, length), (fd, bytes, length / 2))
WRITE(pwrite64, (int fd, const void *bytes, size_t length, off64_t at), (fd, bytes, length, at), (fd, bytes, length / 2, at))

int open64(const char *path, int flags, ...)
{
    if (!(flags & O_CREAT))
        return REAL(open64)(path, flags);
    va_list more;
    va_start(more, flags);
    mode_t mode = va_arg(more, mode_t);
    va_end(more);
    begin_change();
    int result = REAL(open64)(path, flags, mode);
    end_change();
    return result;
}
