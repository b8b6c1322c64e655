/* A hostile machine, loaded by LD_PRELOAD into a program's process. Everything is set by environment
   variables, read again after a fork; only operations on paths below CHAOS_DIR count.

   CHAOS_KILL_AT=N        SIGKILL at the Nth operation, CHAOS_KILL_HOW=before|after|torn|power.
                          torn: half of a write is made. power: written files lose what was not fsynced.
   CHAOS_KILL_NAME=part   only operations on paths with `part` in them are counted for it
   CHAOS_FAIL_AT=N        operations N to N + CHAOS_FAIL_FOR - 1 fail with CHAOS_FAIL_ERRNO,
   CHAOS_FAIL_NAME=part   counted among those on paths with `part` in them
   CHAOS_QUOTA=BYTES      writes fit into so many bytes, then a write is short and the next says ENOSPC
   CHAOS_SLOW_MS=N        fsync and fdatasync take so much longer
   CHAOS_LOCKS=refused    flock fails with ENOLCK
   CHAOS_CLOCK=FILE       the wall clock is off by the seconds (int64) at the start of FILE */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define PATH 1024
#define FILES 512
#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

enum verdict { GO_ON, FAIL, KILL_AFTER, KILL_TORN };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pid_t owner;
static const char *directory, *kill_how, *kill_name, *fail_name, *locks;
static long kill_at, kill_count, fail_at, fail_for, fail_errno, fail_count, slow_ms, quota, written;
static volatile int64_t *clock_offset;
static struct { dev_t device; ino_t inode; int descriptor; off_t synced; } files[FILES];
static int file_count;

static long number(const char *name, long otherwise) {
  const char *value = getenv(name);
  return value && *value ? atol(value) : otherwise;
}

static const char *text(const char *name, const char *otherwise) {
  const char *value = getenv(name);
  return value && *value ? value : otherwise;
}

static void read_settings(void) {
  if (owner == getpid()) return;
  owner = getpid();
  kill_count = fail_count = written = file_count = 0;
  directory = text("CHAOS_DIR", NULL);
  kill_at = number("CHAOS_KILL_AT", 0);
  kill_how = text("CHAOS_KILL_HOW", "before");
  kill_name = text("CHAOS_KILL_NAME", "");
  fail_at = number("CHAOS_FAIL_AT", 0);
  fail_for = number("CHAOS_FAIL_FOR", 1);
  fail_errno = number("CHAOS_FAIL_ERRNO", ENOSPC);
  fail_name = text("CHAOS_FAIL_NAME", "");
  quota = number("CHAOS_QUOTA", 0);
  slow_ms = number("CHAOS_SLOW_MS", 0);
  locks = text("CHAOS_LOCKS", "");
  clock_offset = NULL;
  const char *clock_file = text("CHAOS_CLOCK", NULL);
  if (clock_file) {
    int descriptor = syscall(SYS_openat, AT_FDCWD, clock_file, O_RDONLY | O_CLOEXEC);
    void *page = mmap(NULL, 8, PROT_READ, MAP_SHARED, descriptor, 0);
    if (page != MAP_FAILED) clock_offset = page;
    syscall(SYS_close, descriptor);
  }
}

/* For the fork server, whose children get their variables after the fork. */
void chaos_read_settings(void) {
  owner = 0;
  read_settings();
}

static int is_ours(const char *path) {
  read_settings();
  return directory && path && strstr(path, directory) != NULL;
}

static int path_of(int descriptor, char *path) {
  char link[64];
  read_settings();
  if (!directory) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
  ssize_t length = readlink(link, path, PATH - 1);
  if (length < 0) return 0;
  path[length] = 0;
  return is_ours(path);
}

static int path_at(int folder, const char *name, char *path) {
  read_settings();
  if (!directory || !name) return 0;
  if (folder == AT_FDCWD || *name == '/') {
    snprintf(path, PATH, "%s", name);
    return is_ours(path);
  }
  char whole[PATH];
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
  ssize_t length = readlink(link, whole, PATH - 1);
  if (length < 0) return 0;
  whole[length] = 0;
  if ((size_t)length + strlen(name) + 2 > PATH) return 0;
  memcpy(path, whole, length);
  path[length] = '/';
  strcpy(path + length + 1, name);
  return is_ours(path);
}

/* What a file holds for certain, before it is first written to by this process. */
static void note_write(int descriptor, const char *path) {
  struct stat status;
  if (strcmp(kill_how, "power") || strstr(path, "-shm") || fstat(descriptor, &status)) return;
  pthread_mutex_lock(&mutex);
  int known = 0;
  for (int i = 0; i < file_count; i++)
    known |= files[i].device == status.st_dev && files[i].inode == status.st_ino;
  if (!known && file_count < FILES) {
    files[file_count].device = status.st_dev;
    files[file_count].inode = status.st_ino;
    files[file_count].descriptor = fcntl(descriptor, F_DUPFD_CLOEXEC, 100);
    files[file_count].synced = status.st_size;
    file_count++;
  }
  pthread_mutex_unlock(&mutex);
}

static void note_sync(int descriptor) {
  struct stat status;
  if (strcmp(kill_how, "power") || fstat(descriptor, &status)) return;
  for (int i = 0; i < file_count; i++)
    if (files[i].device == status.st_dev && files[i].inode == status.st_ino)
      files[i].synced = status.st_size;
}

static void die(void) {
  if (!strcmp(kill_how, "power"))
    for (int i = 0; i < file_count; i++) {
      struct stat status;
      if (!fstat(files[i].descriptor, &status) && status.st_size > files[i].synced)
        syscall(SYS_ftruncate, files[i].descriptor, files[i].synced);
    }
  kill(getpid(), SIGKILL);
  for (;;) pause();
}

static enum verdict judge(const char *path) {
  pthread_mutex_lock(&mutex);
  long kill_number = strstr(path, kill_name) ? ++kill_count : 0;
  long fail_number = strstr(path, fail_name) ? ++fail_count : 0;
  pthread_mutex_unlock(&mutex);
  if (kill_at && kill_number == kill_at) {
    if (!strcmp(kill_how, "before") || !strcmp(kill_how, "power")) die();
    return strcmp(kill_how, "torn") ? KILL_AFTER : KILL_TORN;
  }
  if (fail_at && fail_number >= fail_at && fail_number < fail_at + fail_for) {
    errno = fail_errno;
    return FAIL;
  }
  return GO_ON;
}

/* How many of `count` bytes the quota still takes; -1 with ENOSPC for none. */
static ssize_t room_for(size_t count) {
  if (!quota || !count) return count;
  long room = quota - written;
  if (room <= 0) {
    errno = ENOSPC;
    return -1;
  }
  ssize_t taken = (long)count < room ? (ssize_t)count : room;
  written += taken;
  return taken;
}

#define WRITING(whole, half)                          \
  char path[PATH];                                    \
  if (!path_of(descriptor, path)) return whole;       \
  enum verdict verdict = judge(path);                 \
  if (verdict == FAIL) return -1;                     \
  note_write(descriptor, path);                       \
  if (verdict == KILL_TORN) { (void)!half; die(); }   \
  ssize_t room = room_for(count);                     \
  if (room < 0) return -1;                            \
  count = room;                                       \
  ssize_t result = whole;                             \
  if (verdict == KILL_AFTER) die();                   \
  return result;

ssize_t write(int descriptor, const void *data, size_t count) {
  __typeof__(&write) real = REAL(write);
  WRITING(real(descriptor, data, count), real(descriptor, data, count / 2))
}
ssize_t pwrite(int descriptor, const void *data, size_t count, off_t offset) {
  __typeof__(&pwrite) real = REAL(pwrite);
  WRITING(real(descriptor, data, count, offset), real(descriptor, data, count / 2, offset))
}
ssize_t pwrite64(int descriptor, const void *data, size_t count, off64_t offset) {
  __typeof__(&pwrite64) real = REAL(pwrite64);
  WRITING(real(descriptor, data, count, offset), real(descriptor, data, count / 2, offset))
}
ssize_t sendfile(int descriptor, int source, off_t *offset, size_t count) {
  __typeof__(&sendfile) real = REAL(sendfile);
  WRITING(real(descriptor, source, offset, count), real(descriptor, source, offset, count / 2))
}
ssize_t sendfile64(int descriptor, int source, off64_t *offset, size_t count) {
  __typeof__(&sendfile64) real = REAL(sendfile64);
  WRITING(real(descriptor, source, offset, count), real(descriptor, source, offset, count / 2))
}
ssize_t writev(int descriptor, const struct iovec *parts, int part_count) {
  __typeof__(&writev) real = REAL(writev);
  size_t count = 0;
  for (int i = 0; i < part_count; i++) count += parts[i].iov_len;
  WRITING(real(descriptor, parts, part_count), real(descriptor, parts, 1))
}

#define CHANGING(call)                          \
  char path[PATH];                              \
  if (!path_of(descriptor, path)) return call;  \
  enum verdict verdict = judge(path);           \
  if (verdict == FAIL) return -1;               \
  if (verdict == KILL_TORN) die();              \
  int result = call;                            \
  if (verdict == KILL_AFTER) die();             \
  return result;

static int synced(int (*real)(int), int descriptor) {
  struct timespec pause = {slow_ms / 1000, slow_ms % 1000 * 1000000L};
  if (slow_ms) nanosleep(&pause, NULL);
  int result = real(descriptor);
  note_sync(descriptor);
  return result;
}
int fsync(int descriptor) {
  __typeof__(&fsync) real = REAL(fsync);
  CHANGING(synced(real, descriptor))
}
int fdatasync(int descriptor) {
  __typeof__(&fdatasync) real = REAL(fdatasync);
  CHANGING(synced(real, descriptor))
}
int ftruncate(int descriptor, off_t length) {
  __typeof__(&ftruncate) real = REAL(ftruncate);
  CHANGING(real(descriptor, length))
}
int ftruncate64(int descriptor, off64_t length) {
  __typeof__(&ftruncate64) real = REAL(ftruncate64);
  CHANGING(real(descriptor, length))
}

#define NAMING(folder, name, call)                      \
  char path[PATH];                                      \
  if (!path_at(folder, name, path)) return call;        \
  enum verdict verdict = judge(path);                   \
  if (verdict == FAIL) return -1;                       \
  if (verdict == KILL_TORN) die();                      \
  int result = call;                                    \
  if (verdict == KILL_AFTER) die();                     \
  return result;

int rename(const char *from, const char *to) {
  __typeof__(&rename) real = REAL(rename);
  NAMING(AT_FDCWD, from, real(from, to))
}
int unlink(const char *name) {
  __typeof__(&unlink) real = REAL(unlink);
  NAMING(AT_FDCWD, name, real(name))
}
int unlinkat(int folder, const char *name, int flags) {
  __typeof__(&unlinkat) real = REAL(unlinkat);
  NAMING(folder, name, real(folder, name, flags))
}
int rmdir(const char *name) {
  __typeof__(&rmdir) real = REAL(rmdir);
  NAMING(AT_FDCWD, name, real(name))
}
int mkdir(const char *name, mode_t mode) {
  __typeof__(&mkdir) real = REAL(mkdir);
  NAMING(AT_FDCWD, name, real(name, mode))
}
int truncate(const char *name, off_t length) {
  __typeof__(&truncate) real = REAL(truncate);
  NAMING(AT_FDCWD, name, real(name, length))
}
int truncate64(const char *name, off64_t length) {
  __typeof__(&truncate64) real = REAL(truncate64);
  NAMING(AT_FDCWD, name, real(name, length))
}

/* Opening counts only where it may make or change a file. */
static mode_t mode_of(int flags, va_list arguments) {
  return flags & (O_CREAT | __O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
}
#define OPENING(folder, name, call)                                                  \
  va_list arguments;                                                                 \
  va_start(arguments, flags);                                                        \
  mode_t mode = mode_of(flags, arguments);                                           \
  va_end(arguments);                                                                 \
  if (!(flags & (O_CREAT | O_TRUNC | O_WRONLY | O_RDWR))) return call;               \
  NAMING(folder, name, call)

int open(const char *name, int flags, ...) {
  __typeof__(&open) real = REAL(open);
  OPENING(AT_FDCWD, name, real(name, flags, mode))
}
int open64(const char *name, int flags, ...) {
  __typeof__(&open64) real = REAL(open64);
  OPENING(AT_FDCWD, name, real(name, flags, mode))
}
int openat(int folder, const char *name, int flags, ...) {
  __typeof__(&openat) real = REAL(openat);
  OPENING(folder, name, real(folder, name, flags, mode))
}
int openat64(int folder, const char *name, int flags, ...) {
  __typeof__(&openat64) real = REAL(openat64);
  OPENING(folder, name, real(folder, name, flags, mode))
}

int flock(int descriptor, int operation) {
  __typeof__(&flock) real = REAL(flock);
  char path[PATH];
  if (path_of(descriptor, path) && !strcmp(locks, "refused")) {
    errno = ENOLCK;
    return -1;
  }
  return real(descriptor, operation);
}

int clock_gettime(clockid_t which, struct timespec *now) {
  long result = syscall(SYS_clock_gettime, which, now);
  read_settings();
  int wall = which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE;
  if (!result && wall && clock_offset) now->tv_sec += *clock_offset;
  return result;
}
int gettimeofday(struct timeval *restrict now, void *restrict zone) {
  struct timespec exact;
  (void)zone;
  clock_gettime(CLOCK_REALTIME, &exact);
  now->tv_sec = exact.tv_sec;
  now->tv_usec = exact.tv_nsec / 1000;
  return 0;
}
time_t time(time_t *now) {
  struct timespec exact;
  clock_gettime(CLOCK_REALTIME, &exact);
  if (now) *now = exact.tv_sec;
  return exact.tv_sec;
}
