/* A disk that is full, or broken, when it is told to be.
 *
 * Loaded into the broker with LD_PRELOAD. While there is a file `full` in the directory that WEIR_DISK names, half of each
 * write to a segment of the store goes through and then there is no room; while there is a file `broken`, no sync works.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* Whether the disk is like that. */
static int is(const char *state) {
    char path[4096];
    const char *directory = getenv("WEIR_DISK");
    if (!directory)
        return 0;
    snprintf(path, sizeof path, "%s/%s", directory, state);
    return access(path, F_OK) == 0;
}

/* Only segments are written with pwrite. */
ssize_t pwrite64(int fd, const void *bytes, size_t len, off64_t at) {
    if (!is("full"))
        return REAL(pwrite64)(fd, bytes, len, at);
    if (len > 1)
        return REAL(pwrite64)(fd, bytes, len / 2, at);
    errno = ENOSPC;
    return -1;
}

int fdatasync(int fd) {
    if (!is("broken"))
        return REAL(fdatasync)(fd);
    errno = EIO;
    return -1;
}
