/* Loaded before libc into a process with a store: it knows what of a file is on the disk for sure, and can be a disk
   that fails.

   SYNCED names a folder. After each sync of a file whose name begins with `runs.db`, the folder has a copy of it, never
   an older one than it had, whichever process makes it. `syncs` in it, or what SYNCS names, says when a sync of the
   write-ahead log began (`b`) and ended (`e`); others may write lines into it as well.
   While it has a file `full`, nothing can be written to those files; while it has one `broken`, no sync comes back. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/types.h>
#include <unistd.h>

static int path_of(int fd, char *path) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, PATH_MAX - 1);
  if (length < 0 || !getenv("SYNCED")) return 0;
  path[length] = 0;
  char *base = strrchr(path, '/');
  return base && !strncmp(base + 1, "runs.db", 7);
}

static void named(char *path, const char *name) { snprintf(path, PATH_MAX, "%s/%s", getenv("SYNCED"), name); }

static int is_there(const char *name) {
  char path[PATH_MAX];
  named(path, name);
  return access(path, F_OK) == 0;
}

static void note(const char *line) {
  char path[PATH_MAX];
  named(path, getenv("SYNCS") ? getenv("SYNCS") : "syncs");
  int fd = open(path, O_WRONLY | O_APPEND | O_CREAT, 0600);
  if (write(fd, line, strlen(line)) < 0) abort();
  close(fd);
}

static void copied(int fd, const char *base) {
  static char block[1 << 16];
  char part[PATH_MAX], whole[PATH_MAX];
  named(whole, "lock");
  int turn = open(whole, O_RDWR | O_CREAT, 0600);
  flock(turn, LOCK_EX);
  named(whole, base);
  snprintf(part, sizeof part, "%s/.%s.%d", getenv("SYNCED"), base, (int)gettid());
  int to = open(part, O_WRONLY | O_TRUNC | O_CREAT, 0600);
  char *space = malloc(sizeof block);
  off_t at = 0;
  for (ssize_t got; (got = pread(fd, space, sizeof block, at)) > 0; at += got)
    if (write(to, space, got) != got) abort();
  free(space);
  close(to);
  if (rename(part, whole)) abort();
  close(turn);
}

static int synced(int fd, const char *how) {
  int (*really)(int) = (int (*)(int))dlsym(RTLD_NEXT, how);
  char path[PATH_MAX];
  if (!path_of(fd, path)) return really(fd);
  const char *base = strrchr(path, '/') + 1;
  int is_log = strstr(base, "-wal") != NULL;
  if (is_there("broken")) {
    errno = EIO;
    return -1;
  }
  if (is_log) note("b\n");
  int result = really(fd);
  if (result == 0) {
    copied(fd, base);
    if (is_log) note("e\n");
  }
  return result;
}

int fdatasync(int fd) { return synced(fd, "fdatasync"); }
int fsync(int fd) { return synced(fd, "fsync"); }

static ssize_t written(int fd, const void *data, size_t size, off_t at) {
  ssize_t (*really)(int, const void *, size_t, off_t) =
      (ssize_t(*)(int, const void *, size_t, off_t))dlsym(RTLD_NEXT, "pwrite64");
  char path[PATH_MAX];
  if (path_of(fd, path) && is_there("full")) {
    errno = ENOSPC;
    return -1;
  }
  return really(fd, data, size, at);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at) { return written(fd, data, size, at); }
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) { return written(fd, data, size, at); }
