/* Kills the process before one of its changes to a directory or syncs of a file: the one whose number
   the variable CLOUDAI_DIE_AT says, counted from 1. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static void count(void) {
    static long left = -1;
    static int is_read;
    if (!is_read) {
        const char *number = getenv("CLOUDAI_DIE_AT");
        left = number ? atol(number) : 0;
        is_read = 1;
    }
    if (left > 0 && __sync_sub_and_fetch(&left, 1) == 0) kill(getpid(), SIGKILL);
}

#define COUNTED(result, name, parameters, arguments)                        \
    result name parameters {                                                \
        static result(*real) parameters;                                    \
        if (!real) real = (result(*) parameters)dlsym(RTLD_NEXT, #name);    \
        count();                                                            \
        return real arguments;                                              \
    }

COUNTED(int, fsync, (int fd), (fd))
COUNTED(int, fdatasync, (int fd), (fd))
COUNTED(int, rename, (const char *from, const char *to), (from, to))
COUNTED(int, link, (const char *from, const char *to), (from, to))
COUNTED(int, linkat, (int a, const char *from, int b, const char *to, int flags), (a, from, b, to, flags))
COUNTED(int, unlink, (const char *path), (path))
COUNTED(int, unlinkat, (int dir, const char *path, int flags), (dir, path, flags))
COUNTED(int, mkdir, (const char *path, mode_t mode), (path, mode))
COUNTED(int, rmdir, (const char *path), (path))
