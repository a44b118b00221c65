/* A disk for tests, by LD_PRELOAD: slow, and remembered, so that a power cut can be played at any moment of its past.

   DISK_SYNC_DELAY_US  each fsync and fdatasync of a regular file takes so much longer (microseconds)
   DISK_SHORT_WRITES   of every so many writes at an offset, one takes only half of its bytes and says so
   DISK_FOLDER         files in this folder, and what their directory says, are recorded ...
   DISK_LOG            ... in this file, in the order in which it happened, with every answer 202 that left: its head, its body, or both

   A record: what (1 byte), inode (8), offset (8), length (4), then so many bytes; numbers are little-endian.

     C  a name (the bytes) in the folder means this inode   U  a name is gone
     W  bytes were written at the offset                    T  the file was cut to the offset
     B  a sync of this inode begins, by the thread (offset)  E  ... and has returned 0
     A  an answer (the bytes) left                          Z  the process began

   A write is recorded while it happens, under a lock; a sync is not, so that others may write meanwhile. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define FILES 65536
#define REAL(result, name, ...) \
    static result (*real_##name)(__VA_ARGS__); \
    if (!real_##name) real_##name = dlsym(RTLD_NEXT, #name)

static useconds_t delay_us;
static unsigned short_every, writes;
static const char *folder;
static int log_fd = -1;
static uint64_t inodes[FILES];          /* by descriptor; 0: not one of ours */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void put(const void *data, size_t size)
{
    const char *at = data;
    while (size) {
        long done = syscall(SYS_write, log_fd, at, size);
        if (done <= 0) abort();
        at += done, size -= done;
    }
}

static void record(char what, uint64_t inode, uint64_t offset, const void *data, uint32_t size)
{
    char head[21];
    if (log_fd < 0) return;
    head[0] = what;
    memcpy(head + 1, &inode, 8), memcpy(head + 9, &offset, 8), memcpy(head + 17, &size, 4);
    put(head, sizeof head);
    put(data, size);
}

__attribute__((constructor)) static void begin(void)
{
    const char *given = getenv("DISK_SYNC_DELAY_US");
    delay_us = given ? atoi(given) : 0;
    given = getenv("DISK_SHORT_WRITES");
    short_every = given ? atoi(given) : 0;
    folder = getenv("DISK_FOLDER");
    given = getenv("DISK_LOG");
    if (folder && given) log_fd = open(given, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    record('Z', 0, 0, "", 0);
}

static uint64_t inode_of(int fd) { return fd >= 0 && fd < FILES ? inodes[fd] : 0; }

/* --- names --- */

static const char *ours(const char *path)
{
    size_t size = folder ? strlen(folder) : 0;
    return size && !strncmp(path, folder, size) && path[size] == '/' && !strchr(path + size + 1, '/') ? path + size + 1 : NULL;
}

static int opened(int fd, const char *path, int was_there)
{
    struct stat found;
    const char *name = ours(path);
    if (log_fd < 0 || fd < 0 || fd >= FILES || fstat(fd, &found)) return fd;
    if (name && S_ISREG(found.st_mode)) {
        inodes[fd] = found.st_ino;
        if (!was_there) record('C', found.st_ino, 0, name, strlen(name));
    } else if (S_ISDIR(found.st_mode) && folder && !strcmp(path, folder))
        inodes[fd] = 1;                 /* the folder itself */
    return fd;
}

#define OPEN(name) \
    int name(const char *path, int flags, ...) \
    { \
        REAL(int, name, const char *, int, ...); \
        mode_t mode = 0; \
        if (flags & (O_CREAT | __O_TMPFILE)) { \
            va_list more; \
            va_start(more, flags), mode = va_arg(more, mode_t), va_end(more); \
        } \
        if (log_fd < 0) return real_##name(path, flags, mode); \
        pthread_mutex_lock(&lock); \
        int was_there = !access(path, F_OK); \
        int fd = opened(real_##name(path, flags, mode), path, was_there); \
        pthread_mutex_unlock(&lock); \
        return fd; \
    }

OPEN(open)
OPEN(open64)

int close(int fd)
{
    REAL(int, close, int);
    if (inode_of(fd)) inodes[fd] = 0;
    return real_close(fd);
}

int unlink(const char *path)
{
    REAL(int, unlink, const char *);
    if (log_fd < 0 || !ours(path)) return real_unlink(path);
    pthread_mutex_lock(&lock);
    int done = real_unlink(path);
    if (!done) record('U', 0, 0, ours(path), strlen(ours(path)));
    pthread_mutex_unlock(&lock);
    return done;
}

/* --- bytes --- */

#define PWRITE(name, type) \
    ssize_t name(int fd, const void *data, size_t size, type offset) \
    { \
        REAL(ssize_t, name, int, const void *, size_t, type); \
        uint64_t inode = inode_of(fd); \
        if (short_every && !(__atomic_add_fetch(&writes, 1, __ATOMIC_RELAXED) % short_every)) size -= size / 2; \
        if (!inode) return real_##name(fd, data, size, offset); \
        pthread_mutex_lock(&lock); \
        ssize_t done = real_##name(fd, data, size, offset); \
        if (done > 0) record('W', inode, offset, data, done); \
        pthread_mutex_unlock(&lock); \
        return done; \
    }

PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

#define CUT(name, type) \
    int name(int fd, type size) \
    { \
        REAL(int, name, int, type); \
        uint64_t inode = inode_of(fd); \
        if (!inode) return real_##name(fd, size); \
        pthread_mutex_lock(&lock); \
        int done = real_##name(fd, size); \
        if (!done) record('T', inode, size, "", 0); \
        pthread_mutex_unlock(&lock); \
        return done; \
    }

CUT(ftruncate, off_t)
CUT(ftruncate64, off64_t)

#define SYNC(name) \
    int name(int fd) \
    { \
        REAL(int, name, int); \
        struct stat found; \
        uint64_t inode = inode_of(fd); \
        if (inode) pthread_mutex_lock(&lock), record('B', inode, gettid(), "", 0), pthread_mutex_unlock(&lock); \
        if (delay_us && !fstat(fd, &found) && S_ISREG(found.st_mode)) usleep(delay_us); \
        int done = real_##name(fd); \
        if (inode && !done) pthread_mutex_lock(&lock), record('E', inode, gettid(), "", 0), pthread_mutex_unlock(&lock); \
        return done; \
    }

SYNC(fsync)
SYNC(fdatasync)

/* --- answers --- */

static void answer(const void *data, size_t size)
{
    static const char head[] = "HTTP/1.1 202", body[] = "{\"id\":\"evt_";
    if (log_fd < 0 || size < sizeof body) return;
    if (memcmp(data, head, sizeof head - 1) && memcmp(data, body, sizeof body - 1)) return;
    pthread_mutex_lock(&lock), record('A', 0, 0, data, size), pthread_mutex_unlock(&lock);
}

ssize_t write(int fd, const void *data, size_t size)
{
    REAL(ssize_t, write, int, const void *, size_t);
    uint64_t inode = inode_of(fd);
    if (inode) {
        pthread_mutex_lock(&lock);
        ssize_t done = real_write(fd, data, size);
        if (done > 0) record('W', inode, lseek(fd, 0, SEEK_CUR) - done, data, done);
        pthread_mutex_unlock(&lock);
        return done;
    }
    answer(data, size);
    return real_write(fd, data, size);
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    REAL(ssize_t, writev, int, const struct iovec *, int);
    char whole[4096];
    size_t size = 0;
    for (int at = 0; log_fd >= 0 && at < count && size + parts[at].iov_len <= sizeof whole; at++)
        memcpy(whole + size, parts[at].iov_base, parts[at].iov_len), size += parts[at].iov_len;
    answer(whole, size);
    return real_writev(fd, parts, count);
}
