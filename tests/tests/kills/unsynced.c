/* What a power cut does to writes, for a process that is killed.
 *
 * Loaded into the broker with LD_PRELOAD. What is written to a segment of the store stays in this process's memory until
 * the file is synced, and is seen by whoever reads the file in this process; SIGKILL takes it away, as a power cut takes
 * what is in the page cache. Every third write is let through in part, since a kernel writes back when and what it likes:
 * so there are torn tails, and later writes that last where earlier ones did not. Sizes, names and removals last at once.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

struct pending {
    dev_t dev;
    ino_t ino;
    off64_t at;
    size_t len;
    char *bytes;
    struct pending *next;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct pending *first, **last = &first;
static unsigned writes;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* Whether the file is a segment: *.log or the spare one, in the directory that is told. */
static int is_segment(int fd, struct stat *file) {
    char link[64], path[4096];
    const char *directory = getenv("WEIR_UNSYNCED");
    if (!directory)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, sizeof path - 1);
    if (len < 0)
        return 0;
    path[len] = 0;
    if (strncmp(path, directory, strlen(directory)) != 0 || fstat(fd, file) != 0)
        return 0;
    return S_ISREG(file->st_mode) && (strstr(path, ".log") || strstr(path, "/spare"));
}

ssize_t pwrite64(int fd, const void *bytes, size_t len, off64_t at) {
    struct stat file;
    if (!is_segment(fd, &file))
        return REAL(pwrite64)(fd, bytes, len, at);
    struct pending *write = malloc(sizeof *write);
    *write = (struct pending){file.st_dev, file.st_ino, at, len, malloc(len), NULL};
    memcpy(write->bytes, bytes, len);
    pthread_mutex_lock(&lock);
    *last = write;
    last = &write->next;
    if (++writes % 3 == 0)
        REAL(pwrite64)(fd, bytes, len * (writes % 5) / 4, at);
    pthread_mutex_unlock(&lock);
    return len;
}

ssize_t pread64(int fd, void *bytes, size_t len, off64_t at) {
    struct stat file;
    ssize_t read = REAL(pread64)(fd, bytes, len, at);
    if (read <= 0 || !is_segment(fd, &file))
        return read;
    pthread_mutex_lock(&lock);
    for (struct pending *it = first; it; it = it->next) {
        off64_t start = it->at > at ? it->at : at;
        off64_t end = it->at + (off64_t)it->len < at + read ? it->at + (off64_t)it->len : at + read;
        if (it->dev == file.st_dev && it->ino == file.st_ino && start < end)
            memcpy((char *)bytes + (start - at), it->bytes + (start - it->at), end - start);
    }
    pthread_mutex_unlock(&lock);
    return read;
}

/* Now it lasts. */
static void write_back(int fd, struct stat *file) {
    pthread_mutex_lock(&lock);
    struct pending **link = &first;
    while (*link) {
        struct pending *it = *link;
        if (it->dev != file->st_dev || it->ino != file->st_ino) {
            link = &it->next;
            continue;
        }
        REAL(pwrite64)(fd, it->bytes, it->len, it->at);
        *link = it->next;
        free(it->bytes);
        free(it);
    }
    last = link;
    pthread_mutex_unlock(&lock);
}

int fdatasync(int fd) {
    struct stat file;
    if (!is_segment(fd, &file))
        return REAL(fdatasync)(fd);
    write_back(fd, &file);
    return 0;
}

int fsync(int fd) {
    struct stat file;
    if (!is_segment(fd, &file))
        return REAL(fsync)(fd);
    write_back(fd, &file);
    return 0;
}
