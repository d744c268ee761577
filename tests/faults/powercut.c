/* Notes what a power cut could take: preloaded into a server, it writes down which bytes and which names are on disk.
 *
 *     POWERCUT_DIR=/data POWERCUT_LOG=/log POWERCUT_GRAVES=/graves LD_PRELOAD=powercut.so server
 *
 * Every call goes through to the system unchanged. One line is appended to the log, by one write, after the call:
 *
 *     S <path> <size>      fsync or fdatasync of a file has returned; so long was the file before it began
 *     D <path>             fsync of a directory has returned
 *     C <path>             a file was made
 *     R <from> <to> <n>    a file was renamed; what it replaced lies in the graves as <n>, or n is 0
 *     U <path> <n>         a file was removed; it lies in the graves as <n>
 *     T <path> <size>      a file was cut off
 *
 * With POWERCUT_AT=<n> the process is killed after the n-th line. The log is read once the process is dead (power_cut.py). RocksDB appends to its files and never writes into the
 * middle of one, so a length says all; what would not fit that (a write before the end) is noted as W and fails the
 * test. Paths hold no spaces.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static const char *dir, *graves;
static int log_fd = -1;
static atomic_int buried, noted;
static int last = -1;

#define REAL(name, type) ((type)real(#name))
static void *real(const char *name) { return dlsym(RTLD_NEXT, name); }

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("POWERCUT_LOG");
    dir = getenv("POWERCUT_DIR");
    graves = getenv("POWERCUT_GRAVES");
    if (getenv("POWERCUT_AT")) last = atoi(getenv("POWERCUT_AT"));
    if (path && dir && graves) log_fd = REAL(open, int (*)(const char *, int, ...))(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
}

static int is_ours(const char *path) { return log_fd >= 0 && path && !strncmp(path, dir, strlen(dir)); }

static int path_of(int fd, char *path) {
    char link[64];
    if (log_fd < 0 || fd == log_fd) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, PATH_MAX - 1);
    if (size <= 0) return 0;
    path[size] = 0;
    return is_ours(path);
}

static void note(const char *format, ...) {
    char line[2 * PATH_MAX + 64];
    va_list given;
    va_start(given, format);
    int size = vsnprintf(line, sizeof line, format, given);
    va_end(given);
    if (REAL(write, ssize_t (*)(int, const void *, size_t))(log_fd, line, size) != size) abort();
    if (atomic_fetch_add(&noted, 1) + 1 == last) kill(getpid(), SIGKILL);
}

static int bury(const char *path) {
    char grave[PATH_MAX];
    int number = atomic_fetch_add(&buried, 1) + 1;
    snprintf(grave, sizeof grave, "%s/%d.%d", graves, getpid(), number);
    return link(path, grave) ? 0 : number;
}

static int synced(int fd, int (*sync)(int)) {
    char path[PATH_MAX];
    struct stat before;
    int ours = path_of(fd, path) && !fstat(fd, &before);
    int result = sync(fd);
    if (ours && !result) {
        if (S_ISDIR(before.st_mode)) note("D %s\n", path);
        else note("S %s %lld\n", path, (long long)before.st_size);
    }
    return result;
}

int fsync(int fd) { return synced(fd, REAL(fsync, int (*)(int))); }
int fdatasync(int fd) { return synced(fd, REAL(fdatasync, int (*)(int))); }

#define OPEN(name)                                                                       \
    int name(const char *path, int flags, ...) {                                         \
        va_list given;                                                                   \
        va_start(given, flags);                                                          \
        mode_t mode = flags & O_CREAT ? va_arg(given, mode_t) : 0;                       \
        va_end(given);                                                                   \
        struct stat found;                                                               \
        int is_new = is_ours(path) && (flags & O_CREAT) && stat(path, &found);           \
        int fd = REAL(name, int (*)(const char *, int, ...))(path, flags, mode);         \
        if (fd >= 0 && is_new) note("C %s\n", path);                                     \
        else if (fd >= 0 && is_ours(path) && (flags & O_TRUNC)) note("T %s 0\n", path);  \
        return fd;                                                                       \
    }
OPEN(open)
OPEN(open64)

static void written(int fd, long long at) {
    char path[PATH_MAX];
    struct stat found;
    if (path_of(fd, path) && !fstat(fd, &found) && at < found.st_size) note("W %s %lld\n", path, at);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at) {
    written(fd, at);
    return REAL(pwrite, ssize_t (*)(int, const void *, size_t, off_t))(fd, data, size, at);
}
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
    written(fd, at);
    return REAL(pwrite64, ssize_t (*)(int, const void *, size_t, off64_t))(fd, data, size, at);
}

int ftruncate(int fd, off_t size) {
    char path[PATH_MAX];
    int result = REAL(ftruncate, int (*)(int, off_t))(fd, size);
    if (!result && path_of(fd, path)) note("T %s %lld\n", path, (long long)size);
    return result;
}
int ftruncate64(int fd, off64_t size) {
    char path[PATH_MAX];
    int result = REAL(ftruncate64, int (*)(int, off64_t))(fd, size);
    if (!result && path_of(fd, path)) note("T %s %lld\n", path, (long long)size);
    return result;
}

int rename(const char *from, const char *to) {
    int number = is_ours(to) ? bury(to) : 0;
    int result = REAL(rename, int (*)(const char *, const char *))(from, to);
    if (!result && is_ours(to)) note("R %s %s %d\n", from, to, number);
    return result;
}

int unlink(const char *path) {
    int number = is_ours(path) ? bury(path) : 0;
    int result = REAL(unlink, int (*)(const char *))(path);
    if (!result && is_ours(path)) note("U %s %d\n", path, number);
    return result;
}
