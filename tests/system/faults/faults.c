/*
 * A disk that fails when it is told to: loaded into the daemon by LD_PRELOAD, it makes calls that change files beneath
 * FAULTS_ROOT fail, or write only a part. Which ones stands in the file FAULTS_CONTROL, which the test has mapped too and
 * may change at any moment.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

/* Kinds of calls; `calls` has one bit for each. */
enum { WRITE = 1, SYNC = 2, CUT = 4, NAME = 8, OPEN = 16 };

/* What a call does that is struck. TORN: the first write is a short one, and what comes behind it fails. */
enum { FAIL = 1, SHORT = 2, TORN = 3 };

/* As faults.py packs it. */
struct control {
    uint32_t calls, effect;
    int32_t error, unused;
    /* The calls of these kinds are counted from 1; those from first to last are struck. */
    uint64_t first, last;
    _Atomic uint64_t seen, struck;
};

static struct control *control;
static const char *root;

__attribute__((constructor)) static void load(void) {
    const char *path = getenv("FAULTS_CONTROL");
    root = getenv("FAULTS_ROOT");
    int fd = path && root ? open(path, O_RDWR | O_CLOEXEC) : -1;
    void *map = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED) {
        perror("faults: FAULTS_CONTROL, FAULTS_ROOT");
        _exit(99);
    }
    close(fd);
    control = map;
}

static int is_path_ours(const char *path) { return control && strncmp(path, root, strlen(root)) == 0; }

static int is_ours(int fd) {
    char link[32], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = control ? readlink(link, path, sizeof path - 1) : -1;
    path[length < 0 ? 0 : length] = 0;
    return is_path_ours(path);
}

/* What the call, one of ours, is to do: 0, as always. */
static int strike(uint32_t kind) {
    if (!(control->calls & kind)) return 0;
    uint64_t number = atomic_fetch_add(&control->seen, 1) + 1;
    if (number < control->first || number > control->last) return 0;
    int effect = control->effect;
    if (effect == TORN) effect = kind == WRITE && number == control->first ? SHORT : FAIL;
    atomic_fetch_add(&control->struck, 1);
    if (effect == FAIL) errno = control->error;
    return effect;
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static size_t part(size_t count, int effect) { return effect && count > 1 ? count / 2 : count; }

ssize_t write(int fd, const void *bytes, size_t count) {
    int effect = is_ours(fd) ? strike(WRITE) : 0;
    return effect == FAIL ? -1 : NEXT(write)(fd, bytes, part(count, effect));
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) {
    int effect = is_ours(fd) ? strike(WRITE) : 0;
    return effect == FAIL ? -1 : NEXT(pwrite64)(fd, bytes, part(count, effect), at);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    int effect = is_ours(fd) ? strike(WRITE) : 0;
    if (effect == FAIL) return -1;
    return effect && count > 0 ? NEXT(write)(fd, parts->iov_base, part(parts->iov_len, effect))
                               : NEXT(writev)(fd, parts, count);
}

#define FAILING(is_it_ours, kind, name, ...) \
    (is_it_ours && strike(kind) == FAIL ? -1 : NEXT(name)(__VA_ARGS__))

int fsync(int fd) { return FAILING(is_ours(fd), SYNC, fsync, fd); }
int fdatasync(int fd) { return FAILING(is_ours(fd), SYNC, fdatasync, fd); }
int ftruncate64(int fd, off64_t length) { return FAILING(is_ours(fd), CUT, ftruncate64, fd, length); }
int fchmod(int fd, mode_t mode) { return FAILING(is_ours(fd), NAME, fchmod, fd, mode); }
int rename(const char *from, const char *to) { return FAILING(is_path_ours(to), NAME, rename, from, to); }
int unlink(const char *path) { return FAILING(is_path_ours(path), NAME, unlink, path); }
int mkdir(const char *path, mode_t mode) { return FAILING(is_path_ours(path), NAME, mkdir, path, mode); }
int linkat(int from_at, const char *from, int to_at, const char *to, int flags) {
    return FAILING(is_path_ours(to), NAME, linkat, from_at, from, to_at, to, flags);
}

int open64(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    return FAILING(is_path_ours(path), OPEN, open64, path, flags, mode);
}
