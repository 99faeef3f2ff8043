/* A stand-in for the CUDA driver (libcuda.so.1) that needs no GPU: device memory is memory of the host, kernels are host
 * functions, streams are queues. It keeps the rules of the public header and documentation and counts who breaks them.
 *
 * Written from cuda.h, cudaTypedefs.h and the CUDA Driver API documentation. See README.md for what it does and how to
 * ask it for errors. What is not here is a stub of stubs.c (generated) that says CUDA_ERROR_NOT_SUPPORTED.
 */

#define _GNU_SOURCE
#define __CUDA_API_VERSION_INTERNAL 1 /* every version of a function under its own name, no macros */
#include <cuda.h>

#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "fake_cuda.h"

/* ---------------------------------------------------------------- settings */

enum Mode { EAGER, LAZY, THREADS };

static struct {
    enum Mode mode;        /* FAKE_CUDA_MODE: eager, lazy (work runs when somebody waits for it), threads */
    int num_devices;       /* FAKE_CUDA_DEVICES */
    int version;           /* FAKE_CUDA_VERSION, as 12060 */
    size_t memory;         /* FAKE_CUDA_MEMORY_MIB */
    long op_us;            /* FAKE_CUDA_OP_US: how long an operation takes on the device (threads) */
    int same_pointer;      /* FAKE_CUDA_SAME_POINTER: mapped memory has one address for both, as unified addressing has */
    int is_reporting;      /* FAKE_CUDA_REPORT: print the counters when the process ends */
    int is_logging;        /* FAKE_CUDA_LOG: a line for every call */
    int max_logged;
} set;

typedef struct {
    const char *name, *shown;
    int major, minor, num_sm, is_integrated, clock_khz, memory_khz, bus_bits;
} Chip;

static const Chip CHIPS[] = {
    {"h200", "NVIDIA H200", 9, 0, 132, 0, 1980000, 3201000, 6144},
    {"orin", "Orin", 8, 7, 16, 1, 1300000, 1300000, 256},
    {"thor", "NVIDIA Thor", 11, 0, 20, 1, 1575000, 0, 0},
    {"t4", "Tesla T4", 7, 5, 40, 0, 1590000, 5001000, 256},
};
static const Chip *chip = &CHIPS[0];

static struct fake_cuda_counters count;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* never held while a host function runs */
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static pid_t pid_of_init; /* 0: not initialised */

static void say(const char *format, ...) {
    if (!set.is_logging) return;
    char line[600];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    fprintf(stderr, "fake_cuda[%lx] %s\n", (unsigned long)pthread_self() >> 8 & 0xffff, line);
}

static const char *text_of(const char *name, const char *otherwise) {
    const char *value = getenv(name);
    return value && *value ? value : otherwise;
}

static void read_settings(void) {
    const char *mode = text_of("FAKE_CUDA_MODE", "lazy");
    set.mode = !strcmp(mode, "eager") ? EAGER : !strcmp(mode, "threads") ? THREADS : LAZY;
    set.num_devices = atoi(text_of("FAKE_CUDA_DEVICES", "1"));
    set.version = atoi(text_of("FAKE_CUDA_VERSION", "13000"));
    set.memory = (size_t)atol(text_of("FAKE_CUDA_MEMORY_MIB", "8192")) << 20;
    set.op_us = atol(text_of("FAKE_CUDA_OP_US", "0"));
    set.same_pointer = atoi(text_of("FAKE_CUDA_SAME_POINTER", "0"));
    set.is_reporting = atoi(text_of("FAKE_CUDA_REPORT", "0"));
    set.is_logging = atoi(text_of("FAKE_CUDA_LOG", "0"));
    const char *name = text_of("FAKE_CUDA_CHIP", "h200");
    for (size_t i = 0; i < sizeof CHIPS / sizeof *CHIPS; i++)
        if (!strcmp(CHIPS[i].name, name)) chip = &CHIPS[i];
    const char *visible = getenv("CUDA_VISIBLE_DEVICES");
    if (visible && (!*visible || *visible == '-')) set.num_devices = 0;
}

/* FAKE_CUDA_FAIL=name:nth:code[,...]; nth counts from 1, `*` is every call; the name `any` counts all calls. */
static struct { char name[64]; long calls; } seen[64];
static int num_injected;
static long num_calls;
void fake_cuda_reset_calls(void) { memset(seen, 0, sizeof seen); num_injected = 0; num_calls = 0; }
long fake_cuda_calls(void) { return num_calls; }
int fake_cuda_was_injected(void) { return num_injected; }

static CUresult injected(const char *name) {
    static __thread char copy[1024];
    num_calls++;
    const char *wanted = getenv("FAKE_CUDA_FAIL");
    if (!wanted || !*wanted) return CUDA_SUCCESS;
    long nth = 0;
    for (int i = 0; i < 64; i++) {
        if (!seen[i].name[0]) snprintf(seen[i].name, sizeof seen[i].name, "%s", name);
        if (!strcmp(seen[i].name, name)) { nth = ++seen[i].calls; break; }
    }
    snprintf(copy, sizeof copy, "%s", wanted);
    char *rest = copy, *one;
    while ((one = strsep(&rest, ","))) {
        char *which = strsep(&one, ":"), *when = strsep(&one, ":"), *code = strsep(&one, ":");
        if (which && when && code && (strcmp(which, "any") ? !strcmp(which, name) && (*when == '*' || atol(when) == nth) : atol(when) == num_calls)) {
            num_injected++;
            return (CUresult)atoi(code);
        }
    }
    return CUDA_SUCCESS;
}

/* ---------------------------------------------------------------- what there is */

#define MAGIC_STREAM 0x5354524dU
#define MAGIC_EVENT 0x45564e54U
#define MAGIC_GRAPH 0x47524150U
#define MAGIC_EXEC 0x45584543U
#define MAGIC_CONTEXT 0x43545854U

struct CUctx_st { unsigned magic; int device, is_primary, references, is_destroyed; unsigned flags; unsigned long long id; };

typedef enum { COPY, SET8, SET32, HOST, MARK, WAIT, WHOLE } Kind;

typedef struct {
    Kind kind;
    void *to;
    const void *from;
    size_t bytes;
    unsigned value;
    CUhostFn function;
    void *argument;
    CUevent event;
    long record; /* of the event; 0: in a graph */
    CUstream recorder;
    CUgraphExec whole;
    void *staged; /* a copy of pageable memory, freed afterwards */
} Op;

typedef struct { Op *ops; size_t count, room; } Ops;

struct CUgraph_st { unsigned magic; Ops work; };
struct CUgraphExec_st { unsigned magic; Ops work; int num_pending, is_destroyed; };

struct CUstream_st {
    unsigned magic, flags;
    int priority;
    unsigned long long id;
    CUcontext context;
    Ops queue;
    int is_busy, is_ending, has_thread;
    pthread_t thread;
    int is_capturing, is_invalidated;
    CUstreamCaptureMode capture_mode;
    pthread_t capturer;
    unsigned long long capture_id;
    CUgraph captured;
    CUstream next;
};

/* An event's records are numbered: a wait is for the record that was the last when it was queued. */
struct CUevent_st { unsigned magic, flags; int references, is_destroyed; long num_recorded, num_reached; long long ns; CUstream stream; };

typedef struct Memory {
    uintptr_t host;     /* where the bytes really are */
    CUdeviceptr device; /* what the device calls them; 0: it cannot see them */
    size_t bytes;
    enum { ON_DEVICE, ON_HOST, REGISTERED } kind;
    unsigned flags;
    int at; /* the number of the device */
    struct Memory *next;
} Memory;

static struct CUctx_st primary[8];
static Memory *memories;
static CUstream streams; /* without the default one */
static struct CUstream_st default_stream;
static unsigned long long num_made;
static __thread CUcontext stack[32];
static __thread int depth;
static __thread int is_in_host_function; /* which may not call CUDA */
static __thread CUstreamCaptureMode thread_mode = CU_STREAM_CAPTURE_MODE_GLOBAL;

/* Events, graphs and executables that are there: a freed one is found by its address and never read. */
static void *alive[4096];
static void born(void *thing) {
    for (int i = 0; i < 4096; i++)
        if (!alive[i]) { alive[i] = thing; return; }
    fprintf(stderr, "fake_cuda: no room for another handle\n");
    abort();
}
static int is_alive(const void *thing, unsigned magic) {
    for (int i = 0; thing && i < 4096; i++)
        if (alive[i] == thing) return *(const unsigned *)thing == magic;
    count.bad_handles++;
    return 0;
}
static void died(const void *thing) {
    for (int i = 0; i < 4096; i++)
        if (alive[i] == thing) alive[i] = NULL;
}

#define DEVICE_BASE 0x302000000000ULL
#define DEVICE_ROOM (1ULL << 42)
static CUdeviceptr next_device;

static void enter(void) { pthread_mutex_lock(&lock); }
static CUresult leave(CUresult result) { pthread_mutex_unlock(&lock); return result; }

static CUresult fault(const char *name, CUresult result, const char *why) {
    count.errors++;
    say("%s: error %d: %s", name, result, why);
    return result;
}

/* The lines that every call begins with. */
#define BEGIN(name)                                                                         \
    do {                                                                                    \
        say("%s", name);                                                                    \
        if (!pid_of_init) return fault(name, CUDA_ERROR_NOT_INITIALIZED, "before cuInit");  \
        if (pid_of_init != getpid()) {                                                      \
            count.calls_after_fork++;                                                       \
            return fault(name, CUDA_ERROR_NOT_INITIALIZED, "in a forked process");          \
        }                                                                                   \
        if (is_in_host_function) {                                                          \
            count.calls_from_host_functions++;                                              \
            return fault(name, CUDA_ERROR_NOT_PERMITTED, "from a host function");           \
        }                                                                                   \
        CUresult wished = injected(name);                                                   \
        if (wished) return fault(name, wished, "as FAKE_CUDA_FAIL asks");                   \
    } while (0)

/* What gives back does so even where it answers with an error: the driver tells there of work that failed before. */
#define BEGIN_GIVING_BACK(name)                                                             \
    do {                                                                                    \
        say("%s", name);                                                                    \
        if (!pid_of_init) return fault(name, CUDA_ERROR_NOT_INITIALIZED, "before cuInit");  \
        if (pid_of_init != getpid()) {                                                      \
            count.calls_after_fork++;                                                       \
            return fault(name, CUDA_ERROR_NOT_INITIALIZED, "in a forked process");          \
        }                                                                                   \
        if (is_in_host_function) {                                                          \
            count.calls_from_host_functions++;                                              \
            return fault(name, CUDA_ERROR_NOT_PERMITTED, "from a host function");           \
        }                                                                                   \
    } while (0);                                                                            \
    CUresult late = injected(name)

#define MUST_HAVE_CONTEXT(name)                                                             \
    if (!depth || !stack[depth - 1] || stack[depth - 1]->is_destroyed) {                    \
        count.calls_without_context++;                                                      \
        return fault(name, CUDA_ERROR_INVALID_CONTEXT, "no context is current");            \
    }

#define BEGIN_IN_CONTEXT(name)                                                              \
    BEGIN(name);                                                                            \
    MUST_HAVE_CONTEXT(name)

static long long now_ns(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec * 1000000000LL + at.tv_nsec;
}

/* ---------------------------------------------------------------- memory */

static Memory *at_device(CUdeviceptr pointer) {
    for (Memory *it = memories; it; it = it->next)
        if (it->device && pointer >= it->device && pointer < it->device + it->bytes) return it;
    return NULL;
}

static Memory *at_host(const void *pointer) {
    for (Memory *it = memories; it; it = it->next)
        if (it->kind != ON_DEVICE && (uintptr_t)pointer >= it->host && (uintptr_t)pointer < it->host + it->bytes) return it;
    return NULL;
}

/* Where the bytes of a device pointer are; NULL where it is none, or where not all of them are there. */
static void *resolved(CUdeviceptr pointer, size_t bytes) {
    Memory *memory = at_device(pointer);
    if (!memory || pointer - memory->device + bytes > memory->bytes) { count.bad_pointers++; return NULL; }
    return (void *)(memory->host + (pointer - memory->device));
}

void *fake_cuda_host_address(unsigned long long pointer, size_t bytes) {
    enter();
    void *found = resolved((CUdeviceptr)pointer, bytes);
    leave(CUDA_SUCCESS);
    return found;
}

static size_t rounded(size_t bytes) { return (bytes + 511) & ~(size_t)511; }

static CUdeviceptr new_device_address(size_t bytes) {
    if (!next_device) { /* kept free, so that whoever touches it without the driver is ended */
        mmap((void *)DEVICE_BASE, DEVICE_ROOM, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
        next_device = DEVICE_BASE;
    }
    CUdeviceptr address = next_device;
    next_device += rounded(bytes) + 4096; /* never given again: use after free is found */
    return address;
}

static size_t on_device(void) {
    size_t sum = 0;
    for (Memory *it = memories; it; it = it->next) sum += it->kind == ON_DEVICE ? it->bytes : 0;
    return sum;
}

static Memory *keep(uintptr_t host, CUdeviceptr device, size_t bytes, int kind, unsigned flags) {
    Memory *made = calloc(1, sizeof *made);
    *made = (Memory){host, device, bytes, kind, flags, stack[depth - 1]->device, memories};
    return memories = made;
}

static int forget(Memory *gone) {
    for (Memory **it = &memories; *it; it = &(*it)->next)
        if (*it == gone) {
            *it = gone->next;
            if (gone->kind != REGISTERED) munmap((void *)gone->host, rounded(gone->bytes)); /* touching it ends the process */
            free(gone);
            return 1;
        }
    return 0;
}

static void *new_pages(size_t bytes) {
    void *made = mmap(NULL, rounded(bytes), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (made == MAP_FAILED) return NULL;
    memset(made, 0xA5, bytes < 1 << 26 ? bytes : 1 << 26); /* what nobody has written is no zero */
    return made;
}

/* ---------------------------------------------------------------- streams at work */

static void push(Ops *ops, Op op) {
    if (ops->count == ops->room) ops->ops = realloc(ops->ops, (ops->room = ops->room ? 2 * ops->room : 8) * sizeof op);
    ops->ops[ops->count++] = op;
}

static void drain(CUstream stream);
static void execute_first(CUstream stream);

/* Work of the recorder is done up to a record of the event, and no further: what comes after may wait for us. */
static void reach(CUevent event, long record, CUstream recorder) {
    while (event->num_reached < record)
        if ((set.mode == THREADS && recorder->has_thread) || recorder->is_busy) pthread_cond_wait(&changed, &lock);
        else execute_first(recorder);
}

static void let_go(CUevent event) {
    if (!--event->references && event->is_destroyed) free(event);
}

/* Called with the lock held; lets go of it while a host function runs. */
static void execute(Op *op) {
    switch (op->kind) {
    case COPY:
        memcpy(op->to, op->from, op->bytes);
        count.copies++;
        free(op->staged);
        break;
    case SET8: memset(op->to, (int)op->value, op->bytes); break;
    case SET32:
        for (size_t i = 0; i < op->bytes / 4; i++) ((unsigned *)op->to)[i] = op->value;
        break;
    case HOST:
        count.host_functions++;
        leave(CUDA_SUCCESS);
        is_in_host_function++;
        op->function(op->argument);
        is_in_host_function--;
        enter();
        break;
    case MARK:
        op->event->ns = now_ns();
        if (op->record > op->event->num_reached) op->event->num_reached = op->record;
        let_go(op->event);
        break;
    case WAIT:
        reach(op->event, op->record, op->recorder);
        let_go(op->event);
        break;
    case WHOLE:
        for (size_t i = 0; i < op->whole->work.count; i++) execute(&op->whole->work.ops[i]);
        if (!--op->whole->num_pending && op->whole->is_destroyed) { free(op->whole->work.ops); free(op->whole); }
        break;
    }
    if (set.mode == THREADS && set.op_us && op->kind != MARK && op->kind != WAIT && op->kind != WHOLE) {
        leave(CUDA_SUCCESS);
        usleep((useconds_t)set.op_us);
        enter();
    }
}

static void execute_first(CUstream stream) {
    Op op = stream->queue.ops[0];
    stream->is_busy = 1;
    memmove(stream->queue.ops, stream->queue.ops + 1, --stream->queue.count * sizeof op);
    execute(&op);
    stream->is_busy = 0;
    pthread_cond_broadcast(&changed);
}

static void *work_off(void *argument) {
    CUstream stream = argument;
    enter();
    for (;;) {
        while ((!stream->queue.count || stream->is_busy || set.mode != THREADS) && !stream->is_ending) pthread_cond_wait(&changed, &lock);
        if (stream->is_ending && !stream->queue.count) break;
        execute_first(stream);
    }
    leave(CUDA_SUCCESS);
    return NULL;
}

/* Returns when all that was queued so far is done. */
static void drain(CUstream stream) {
    if (set.mode == THREADS && stream->has_thread)
        while (stream->queue.count || stream->is_busy) pthread_cond_wait(&changed, &lock);
    else
        while (stream->queue.count || stream->is_busy)
            if (stream->is_busy) pthread_cond_wait(&changed, &lock); /* another thread is at it */
            else execute_first(stream);
}

/* Copies that are queued from or to a piece of memory. */
static int is_in_use(const Memory *memory) {
    uintptr_t from = memory->host, to = memory->host + memory->bytes;
    for (CUstream it = streams; it; it = it->next)
        for (size_t i = 0; i < it->queue.count; i++) {
            uintptr_t ends[] = {(uintptr_t)it->queue.ops[i].to, (uintptr_t)it->queue.ops[i].from};
            if ((ends[0] >= from && ends[0] < to) || (ends[1] >= from && ends[1] < to)) return 1;
        }
    return 0;
}

static void drain_all(void) {
    for (CUstream it = streams; it; it = it->next) drain(it);
    drain(&default_stream);
}

static void start_thread(CUstream stream) {
    if (set.mode == THREADS && !stream->has_thread)
        stream->has_thread = !pthread_create(&stream->thread, NULL, work_off, stream);
}

/* The default stream and those that were not made non-blocking wait for one another. */
static void wait_for_default(CUstream stream) {
    if (stream == &default_stream) {
        for (CUstream it = streams; it; it = it->next)
            if (!(it->flags & CU_STREAM_NON_BLOCKING)) drain(it);
    } else if (!(stream->flags & CU_STREAM_NON_BLOCKING)) drain(&default_stream);
}

static CUstream stream_of(CUstream handle) {
    if (!handle || handle == CU_STREAM_LEGACY || handle == CU_STREAM_PER_THREAD) return &default_stream;
    for (CUstream it = streams; it; it = it->next)
        if (it == handle && it->magic == MAGIC_STREAM) return it;
    count.bad_handles++;
    return NULL;
}

static CUresult queue_on(CUstream stream, Op op) {
    if (stream->is_capturing) {
        if (stream->is_invalidated) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
        push(&stream->captured->work, op);
        return CUDA_SUCCESS;
    }
    wait_for_default(stream);
    start_thread(stream);
    push(&stream->queue, op);
    if (set.mode == EAGER) drain(stream);
    pthread_cond_broadcast(&changed);
    return CUDA_SUCCESS;
}

/* Calls that wait or allocate are refused while a stream captures, and spoil the capture. */
static CUresult unless_capturing(const char *name) {
    for (CUstream it = streams; it; it = it->next) {
        int is_mine = pthread_equal(it->capturer, pthread_self());
        if (it->is_capturing && it->capture_mode != CU_STREAM_CAPTURE_MODE_RELAXED && thread_mode != CU_STREAM_CAPTURE_MODE_RELAXED &&
            (is_mine || (it->capture_mode == CU_STREAM_CAPTURE_MODE_GLOBAL && thread_mode == CU_STREAM_CAPTURE_MODE_GLOBAL))) {
            it->is_invalidated = 1;
            count.broken_captures++;
            return fault(name, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "a stream is capturing");
        }
    }
    return CUDA_SUCCESS;
}

/* What a test changed in the environment holds from here on; all work that was queued is done. */
void fake_cuda_read_settings(void) {
    enter();
    drain_all();
    read_settings();
    pthread_cond_broadcast(&changed);
    leave(CUDA_SUCCESS);
}

/* ---------------------------------------------------------------- starting, errors, devices */

CUresult CUDAAPI cuInit(unsigned flags) {
    if (!pid_of_init) read_settings();
    say("cuInit");
    CUresult wished = injected("cuInit");
    if (wished) return wished;
    if (flags) return CUDA_ERROR_INVALID_VALUE;
    if (!set.num_devices) return CUDA_ERROR_NO_DEVICE;
    if (pid_of_init && pid_of_init != getpid()) { count.calls_after_fork++; return CUDA_ERROR_NOT_INITIALIZED; }
    if (!pid_of_init)
        for (int i = 0; i < 8; i++) primary[i] = (struct CUctx_st){MAGIC_CONTEXT, i, 1, 0, 0, 0, (unsigned long long)i + 1};
    default_stream.magic = MAGIC_STREAM;
    pid_of_init = getpid();
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuDriverGetVersion(int *version) {
    if (!pid_of_init) read_settings();
    *version = set.version;
    return CUDA_SUCCESS;
}

static const struct { CUresult code; const char *name, *words; } ERRORS[] = {
    {CUDA_SUCCESS, "CUDA_SUCCESS", "no error"},
    {CUDA_ERROR_INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    {CUDA_ERROR_OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
    {CUDA_ERROR_NOT_INITIALIZED, "CUDA_ERROR_NOT_INITIALIZED", "initialization error"},
    {CUDA_ERROR_DEINITIALIZED, "CUDA_ERROR_DEINITIALIZED", "driver shutting down"},
    {CUDA_ERROR_NO_DEVICE, "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"},
    {CUDA_ERROR_INVALID_DEVICE, "CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"},
    {CUDA_ERROR_INVALID_CONTEXT, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context"},
    {CUDA_ERROR_INVALID_HANDLE, "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"},
    {CUDA_ERROR_NOT_FOUND, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
    {CUDA_ERROR_NOT_READY, "CUDA_ERROR_NOT_READY", "device not ready"},
    {CUDA_ERROR_ILLEGAL_ADDRESS, "CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"},
    {CUDA_ERROR_LAUNCH_FAILED, "CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"},
    {CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED, "CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED", "pointer does not correspond to a registered memory region"},
    {CUDA_ERROR_NOT_SUPPORTED, "CUDA_ERROR_NOT_SUPPORTED", "operation not supported"},
    {CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED", "operation not permitted when stream is capturing"},
    {CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED", "operation failed due to a previous error during capture"},
    {CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD, "CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD", "attempt to terminate a thread-local capture sequence from another thread"},
    {CUDA_ERROR_NOT_PERMITTED, "CUDA_ERROR_NOT_PERMITTED", "operation not permitted"},
    {CUDA_ERROR_ILLEGAL_STATE, "CUDA_ERROR_ILLEGAL_STATE", "the operation cannot be performed in the present state"},
    {CUDA_ERROR_UNKNOWN, "CUDA_ERROR_UNKNOWN", "unknown error"},
};

CUresult CUDAAPI cuGetErrorString(CUresult error, const char **words) {
    for (size_t i = 0; i < sizeof ERRORS / sizeof *ERRORS; i++)
        if (ERRORS[i].code == error) { *words = ERRORS[i].words; return CUDA_SUCCESS; }
    *words = NULL;
    return CUDA_ERROR_INVALID_VALUE;
}

CUresult CUDAAPI cuGetErrorName(CUresult error, const char **name) {
    for (size_t i = 0; i < sizeof ERRORS / sizeof *ERRORS; i++)
        if (ERRORS[i].code == error) { *name = ERRORS[i].name; return CUDA_SUCCESS; }
    *name = NULL;
    return CUDA_ERROR_INVALID_VALUE;
}

CUresult CUDAAPI cuDeviceGetCount(int *number) { BEGIN("cuDeviceGetCount"); *number = set.num_devices; return CUDA_SUCCESS; }

#define CHECK_DEVICE(device) if ((device) < 0 || (device) >= set.num_devices) return CUDA_ERROR_INVALID_DEVICE

CUresult CUDAAPI cuDeviceGet(CUdevice *device, int ordinal) {
    BEGIN("cuDeviceGet");
    CHECK_DEVICE(ordinal);
    *device = ordinal;
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuDeviceGetName(char *name, int room, CUdevice device) {
    BEGIN("cuDeviceGetName");
    CHECK_DEVICE(device);
    snprintf(name, (size_t)room, "%s", chip->shown);
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuDeviceGetUuid(CUuuid *uuid, CUdevice device) {
    BEGIN("cuDeviceGetUuid");
    CHECK_DEVICE(device);
    memset(uuid, 0x11 + device, sizeof *uuid);
    return CUDA_SUCCESS;
}
CUresult CUDAAPI cuDeviceGetUuid_v2(CUuuid *uuid, CUdevice device) { return cuDeviceGetUuid(uuid, device); }

CUresult CUDAAPI cuDeviceGetLuid(char *luid, unsigned *mask, CUdevice device) { (void)luid; (void)mask; (void)device; return CUDA_ERROR_NOT_SUPPORTED; }
CUresult CUDAAPI cuDeviceTotalMem_v2(size_t *bytes, CUdevice device) { BEGIN("cuDeviceTotalMem"); CHECK_DEVICE(device); *bytes = set.memory; return CUDA_SUCCESS; }

CUresult CUDAAPI cuDeviceComputeCapability(int *major, int *minor, CUdevice device) {
    BEGIN("cuDeviceComputeCapability");
    CHECK_DEVICE(device);
    *major = chip->major, *minor = chip->minor;
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuDeviceGetPCIBusId(char *id, int room, CUdevice device) {
    BEGIN("cuDeviceGetPCIBusId");
    snprintf(id, (size_t)room, "0000:%02x:00.0", device + 1);
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuDeviceGetAttribute(int *value, CUdevice_attribute attribute, CUdevice device) {
    BEGIN("cuDeviceGetAttribute");
    CHECK_DEVICE(device);
    switch (attribute) {
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR: *value = chip->major; break;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR: *value = chip->minor; break;
    case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT: *value = chip->num_sm; break;
    case CU_DEVICE_ATTRIBUTE_INTEGRATED: *value = chip->is_integrated; break;
    case CU_DEVICE_ATTRIBUTE_CLOCK_RATE: *value = chip->clock_khz; break;
    case CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE: *value = chip->memory_khz; break;
    case CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH: *value = chip->bus_bits; break;
    case CU_DEVICE_ATTRIBUTE_PCI_BUS_ID: *value = device + 1; break;
    case CU_DEVICE_ATTRIBUTE_WARP_SIZE: *value = 32; break;
    case CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK: *value = 1024; break;
    case CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR: *value = 2048; break;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK: *value = 49152; break;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR: *value = 233472; break;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN: *value = 232448; break;
    case CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_BLOCK:
    case CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_MULTIPROCESSOR: *value = 65536; break;
    case CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE: *value = 50 << 20; break;
    case CU_DEVICE_ATTRIBUTE_CAN_MAP_HOST_MEMORY:
    case CU_DEVICE_ATTRIBUTE_UNIFIED_ADDRESSING:
    case CU_DEVICE_ATTRIBUTE_CONCURRENT_KERNELS:
    case CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED:
    case CU_DEVICE_ATTRIBUTE_STREAM_PRIORITIES_SUPPORTED:
    case CU_DEVICE_ATTRIBUTE_COMPUTE_PREEMPTION_SUPPORTED: *value = 1; break;
    case CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X: *value = 0x7fffffff; break;
    case CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y:
    case CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z: *value = 65535; break;
    case CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X:
    case CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Y: *value = 1024; break;
    case CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Z: *value = 64; break;
    case CU_DEVICE_ATTRIBUTE_ASYNC_ENGINE_COUNT: *value = 2; break;
    default: *value = 0;
    }
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuModuleGetLoadingMode(CUmoduleLoadingMode *mode) { BEGIN("cuModuleGetLoadingMode"); *mode = CU_MODULE_LAZY_LOADING; return CUDA_SUCCESS; }

/* ---------------------------------------------------------------- contexts */

CUresult CUDAAPI cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice device) {
    BEGIN("cuDevicePrimaryCtxRetain");
    CHECK_DEVICE(device);
    enter();
    primary[device].references++;
    primary[device].is_destroyed = 0;
    *context = &primary[device];
    return leave(CUDA_SUCCESS);
}

CUresult CUDAAPI cuDevicePrimaryCtxRelease_v2(CUdevice device) {
    BEGIN("cuDevicePrimaryCtxRelease");
    CHECK_DEVICE(device);
    enter();
    if (!primary[device].references) return leave(fault("cuDevicePrimaryCtxRelease", CUDA_ERROR_INVALID_CONTEXT, "not retained"));
    if (!--primary[device].references) primary[device].is_destroyed = 1;
    return leave(CUDA_SUCCESS);
}
CUresult CUDAAPI cuDevicePrimaryCtxRelease(CUdevice device) { return cuDevicePrimaryCtxRelease_v2(device); }
CUresult CUDAAPI cuDevicePrimaryCtxSetFlags_v2(CUdevice device, unsigned flags) { BEGIN("cuDevicePrimaryCtxSetFlags"); primary[device].flags = flags; return CUDA_SUCCESS; }
CUresult CUDAAPI cuDevicePrimaryCtxGetState(CUdevice device, unsigned *flags, int *active) {
    BEGIN("cuDevicePrimaryCtxGetState");
    CHECK_DEVICE(device);
    *flags = primary[device].flags, *active = primary[device].references > 0;
    return CUDA_SUCCESS;
}
CUresult CUDAAPI cuDevicePrimaryCtxReset_v2(CUdevice device) { BEGIN("cuDevicePrimaryCtxReset"); (void)device; return CUDA_SUCCESS; }

static CUresult new_context(CUcontext *context, unsigned flags, CUdevice device) {
    CHECK_DEVICE(device);
    CUcontext made = calloc(1, sizeof *made);
    *made = (struct CUctx_st){MAGIC_CONTEXT, device, 0, 1, 0, flags, 100 + ++num_made};
    count.contexts++;
    stack[depth++] = *context = made;
    return CUDA_SUCCESS;
}
CUresult CUDAAPI cuCtxCreate_v2(CUcontext *context, unsigned flags, CUdevice device) { BEGIN("cuCtxCreate"); return new_context(context, flags, device); }
CUresult CUDAAPI cuCtxCreate_v4(CUcontext *context, CUctxCreateParams *p, unsigned flags, CUdevice device) { BEGIN("cuCtxCreate"); (void)p; return new_context(context, flags, device); }

CUresult CUDAAPI cuCtxDestroy_v2(CUcontext context) {
    BEGIN("cuCtxDestroy");
    if (!context || context->magic != MAGIC_CONTEXT || context->is_primary) return CUDA_ERROR_INVALID_CONTEXT;
    context->is_destroyed = 1;
    count.contexts--;
    if (depth && stack[depth - 1] == context) depth--;
    return CUDA_SUCCESS;
}
CUresult CUDAAPI cuCtxAttach(CUcontext *context, unsigned flags) { BEGIN_IN_CONTEXT("cuCtxAttach"); (void)flags; *context = stack[depth - 1]; return CUDA_SUCCESS; }
CUresult CUDAAPI cuCtxDetach(CUcontext context) { /* only of what cuCtxCreate or cuCtxAttach gave, and what is current */
    BEGIN_IN_CONTEXT("cuCtxDetach");
    if (!context || context->is_primary || stack[depth - 1] != context) return fault("cuCtxDetach", CUDA_ERROR_INVALID_CONTEXT, "a primary context, or not current");
    if (--context->references == 0) return cuCtxDestroy_v2(context);
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuCtxPushCurrent_v2(CUcontext context) {
    BEGIN("cuCtxPushCurrent");
    if (!context || context->magic != MAGIC_CONTEXT) return CUDA_ERROR_INVALID_CONTEXT;
    if (depth == 32) { fprintf(stderr, "fake_cuda: a thread's stack of contexts overflows\n"); abort(); }
    stack[depth++] = context;
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuCtxPopCurrent_v2(CUcontext *context) {
    BEGIN_GIVING_BACK("cuCtxPopCurrent");
    if (!depth) return fault("cuCtxPopCurrent", CUDA_ERROR_INVALID_CONTEXT, "the stack is empty");
    CUcontext popped = stack[--depth];
    if (context) *context = popped;
    return late;
}

CUresult CUDAAPI cuCtxSetCurrent(CUcontext context) {
    BEGIN("cuCtxSetCurrent");
    if (!context) { if (depth) depth--; return CUDA_SUCCESS; }
    if (depth) stack[depth - 1] = context;
    else stack[depth++] = context;
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuCtxGetCurrent(CUcontext *context) { BEGIN("cuCtxGetCurrent"); *context = depth ? stack[depth - 1] : NULL; return CUDA_SUCCESS; }
CUresult CUDAAPI cuCtxGetDevice(CUdevice *device) { BEGIN_IN_CONTEXT("cuCtxGetDevice"); *device = stack[depth - 1]->device; return CUDA_SUCCESS; }
CUresult CUDAAPI cuCtxGetDevice_v2(CUdevice *device, CUcontext context) { BEGIN("cuCtxGetDevice"); if (!context) return cuCtxGetDevice(device); *device = context->device; return CUDA_SUCCESS; }
CUresult CUDAAPI cuCtxGetFlags(unsigned *flags) { BEGIN_IN_CONTEXT("cuCtxGetFlags"); *flags = stack[depth - 1]->flags; return CUDA_SUCCESS; }
CUresult CUDAAPI cuCtxGetId(CUcontext context, unsigned long long *id) { BEGIN("cuCtxGetId"); *id = (context ? context : stack[depth - 1])->id; return CUDA_SUCCESS; }
CUresult CUDAAPI cuCtxGetApiVersion(CUcontext context, unsigned *version) { BEGIN("cuCtxGetApiVersion"); (void)context; *version = 3020; return CUDA_SUCCESS; }
CUresult CUDAAPI cuCtxGetStreamPriorityRange(int *least, int *greatest) { BEGIN_IN_CONTEXT("cuCtxGetStreamPriorityRange"); if (least) *least = 0; if (greatest) *greatest = -5; return CUDA_SUCCESS; }
CUresult CUDAAPI cuCtxGetLimit(size_t *value, CUlimit limit) { BEGIN_IN_CONTEXT("cuCtxGetLimit"); (void)limit; *value = 1024; return CUDA_SUCCESS; }
CUresult CUDAAPI cuCtxSetLimit(CUlimit limit, size_t value) { BEGIN_IN_CONTEXT("cuCtxSetLimit"); (void)limit; (void)value; return CUDA_SUCCESS; }

CUresult CUDAAPI cuCtxSynchronize(void) {
    BEGIN_IN_CONTEXT("cuCtxSynchronize");
    enter();
    CUresult result = unless_capturing("cuCtxSynchronize");
    if (!result) drain_all();
    return leave(result);
}
CUresult CUDAAPI cuCtxSynchronize_v2(CUcontext context) { BEGIN("cuCtxSynchronize"); (void)context; enter(); drain_all(); return leave(CUDA_SUCCESS); }

/* ---------------------------------------------------------------- allocating */

CUresult CUDAAPI cuMemAlloc_v2(CUdeviceptr *pointer, size_t bytes) {
    BEGIN_IN_CONTEXT("cuMemAlloc");
    if (!bytes) return CUDA_ERROR_INVALID_VALUE;
    enter();
    CUresult result = unless_capturing("cuMemAlloc");
    if (result) return leave(result);
    void *pages = on_device() + bytes > set.memory ? NULL : new_pages(bytes);
    if (!pages) return leave(CUDA_ERROR_OUT_OF_MEMORY);
    *pointer = keep((uintptr_t)pages, new_device_address(bytes), bytes, ON_DEVICE, 0)->device;
    count.device_allocations++;
    return leave(CUDA_SUCCESS);
}

CUresult CUDAAPI cuMemFree_v2(CUdeviceptr pointer) {
    BEGIN_GIVING_BACK("cuMemFree");
    MUST_HAVE_CONTEXT("cuMemFree")
    if (!pointer) return CUDA_SUCCESS;
    enter();
    CUresult result = unless_capturing("cuMemFree");
    if (result) return leave(result);
    Memory *memory = at_device(pointer);
    if (!memory || memory->device != pointer || memory->kind != ON_DEVICE) {
        count.bad_frees++;
        return leave(fault("cuMemFree", CUDA_ERROR_INVALID_VALUE, "no such memory"));
    }
    count.frees_while_busy += is_in_use(memory);
    drain_all(); /* as the driver does */
    forget(memory);
    count.device_allocations--;
    return leave(late);
}

CUresult CUDAAPI cuMemGetInfo_v2(size_t *available, size_t *total) {
    BEGIN_IN_CONTEXT("cuMemGetInfo");
    enter();
    *total = set.memory, *available = set.memory - on_device();
    return leave(CUDA_SUCCESS);
}

static CUresult new_host(void **pointer, size_t bytes, unsigned flags) {
    if (!bytes) { *pointer = NULL; return CUDA_SUCCESS; }
    enter();
    CUresult result = unless_capturing("cuMemHostAlloc");
    if (result) return leave(result);
    void *pages = bytes > set.memory ? NULL : new_pages(bytes);
    if (!pages) return leave(CUDA_ERROR_OUT_OF_MEMORY);
    /* With unified addressing all page-locked memory is mapped; here only what was asked to be, to find who forgot to. */
    CUdeviceptr device = !(flags & CU_MEMHOSTALLOC_DEVICEMAP) ? 0 : set.same_pointer ? (CUdeviceptr)(uintptr_t)pages : new_device_address(bytes);
    keep((uintptr_t)pages, device, bytes, ON_HOST, flags);
    *pointer = pages;
    count.host_allocations++;
    return leave(CUDA_SUCCESS);
}
CUresult CUDAAPI cuMemHostAlloc(void **pointer, size_t bytes, unsigned flags) { BEGIN_IN_CONTEXT("cuMemHostAlloc"); return new_host(pointer, bytes, flags); }
CUresult CUDAAPI cuMemAllocHost_v2(void **pointer, size_t bytes) { BEGIN_IN_CONTEXT("cuMemAllocHost"); return new_host(pointer, bytes, 0); }

CUresult CUDAAPI cuMemFreeHost(void *pointer) {
    BEGIN_GIVING_BACK("cuMemFreeHost");
    MUST_HAVE_CONTEXT("cuMemFreeHost")
    if (!pointer) return CUDA_SUCCESS;
    enter();
    CUresult result = unless_capturing("cuMemFreeHost");
    if (result) return leave(result);
    Memory *memory = at_host(pointer);
    if (!memory || memory->host != (uintptr_t)pointer || memory->kind != ON_HOST) {
        count.bad_frees++;
        return leave(fault("cuMemFreeHost", CUDA_ERROR_INVALID_VALUE, "no such memory"));
    }
    count.frees_while_busy += is_in_use(memory);
    drain_all();
    forget(memory);
    count.host_allocations--;
    return leave(late);
}

CUresult CUDAAPI cuMemHostRegister_v2(void *pointer, size_t bytes, unsigned flags) {
    BEGIN_IN_CONTEXT("cuMemHostRegister");
    enter();
    if (at_host(pointer)) return leave(CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED);
    keep((uintptr_t)pointer, flags & CU_MEMHOSTREGISTER_DEVICEMAP ? new_device_address(bytes) : 0, bytes, REGISTERED, flags);
    count.host_registrations++;
    return leave(CUDA_SUCCESS);
}

CUresult CUDAAPI cuMemHostUnregister(void *pointer) {
    BEGIN_IN_CONTEXT("cuMemHostUnregister");
    enter();
    Memory *memory = at_host(pointer);
    if (!memory || memory->kind != REGISTERED) return leave(CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED);
    drain_all();
    forget(memory);
    count.host_registrations--;
    return leave(CUDA_SUCCESS);
}

CUresult CUDAAPI cuMemHostGetDevicePointer_v2(CUdeviceptr *device, void *pointer, unsigned flags) {
    BEGIN_IN_CONTEXT("cuMemHostGetDevicePointer");
    if (flags) return CUDA_ERROR_INVALID_VALUE;
    enter();
    Memory *memory = at_host(pointer);
    if (!memory || !memory->device) return leave(fault("cuMemHostGetDevicePointer", CUDA_ERROR_INVALID_VALUE, "not mapped"));
    *device = memory->device + ((uintptr_t)pointer - memory->host);
    return leave(CUDA_SUCCESS);
}

CUresult CUDAAPI cuMemHostGetFlags(unsigned *flags, void *pointer) {
    BEGIN_IN_CONTEXT("cuMemHostGetFlags");
    enter();
    Memory *memory = at_host(pointer);
    if (!memory) return leave(CUDA_ERROR_INVALID_VALUE);
    *flags = memory->flags;
    return leave(CUDA_SUCCESS);
}

CUresult CUDAAPI cuPointerGetAttribute(void *data, CUpointer_attribute attribute, CUdeviceptr pointer) {
    BEGIN("cuPointerGetAttribute");
    enter();
    Memory *memory = at_device(pointer);
    if (!memory) memory = at_host((void *)(uintptr_t)pointer);
    if (!memory) return leave(CUDA_ERROR_INVALID_VALUE);
    switch (attribute) {
    case CU_POINTER_ATTRIBUTE_MEMORY_TYPE: *(unsigned *)data = memory->kind == ON_DEVICE ? CU_MEMORYTYPE_DEVICE : CU_MEMORYTYPE_HOST; break;
    case CU_POINTER_ATTRIBUTE_DEVICE_POINTER: *(CUdeviceptr *)data = memory->device; break;
    case CU_POINTER_ATTRIBUTE_HOST_POINTER: *(void **)data = (void *)memory->host; break;
    case CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL: *(int *)data = memory->at; break;
    case CU_POINTER_ATTRIBUTE_CONTEXT: *(CUcontext *)data = &primary[0]; break;
    case CU_POINTER_ATTRIBUTE_IS_MANAGED: *(unsigned char *)data = 0; break;
    default: return leave(CUDA_ERROR_NOT_SUPPORTED);
    }
    return leave(CUDA_SUCCESS);
}

CUresult CUDAAPI cuMemGetAddressRange_v2(CUdeviceptr *base, size_t *bytes, CUdeviceptr pointer) {
    BEGIN_IN_CONTEXT("cuMemGetAddressRange");
    enter();
    Memory *memory = at_device(pointer);
    if (!memory) return leave(CUDA_ERROR_NOT_FOUND);
    if (base) *base = memory->device;
    if (bytes) *bytes = memory->bytes;
    return leave(CUDA_SUCCESS);
}

/* ---------------------------------------------------------------- copying */

enum { NEITHER, TO_DEVICE, FROM_DEVICE, WITHIN_DEVICE };

/* handle NULL with is_async 0: as cuMemcpyXtoY, which waits. */
static CUresult copy(const char *name, int way, uintptr_t to, uintptr_t from, size_t bytes, CUstream handle, int is_async) {
    if (!bytes) return CUDA_SUCCESS;
    enter();
    CUstream stream = stream_of(handle);
    if (!stream) return leave(fault(name, CUDA_ERROR_INVALID_HANDLE, "no such stream"));
    if (!is_async) {
        CUresult result = unless_capturing(name);
        if (result) return leave(result);
    }
    void *real_to = way == FROM_DEVICE ? (void *)to : resolved(to, bytes);
    void *real_from = way == TO_DEVICE ? (void *)from : resolved(from, bytes);
    if (!real_to || !real_from) return leave(fault(name, CUDA_ERROR_INVALID_VALUE, "not the device's memory"));
    Op op = {.kind = COPY, .to = real_to, .from = real_from, .bytes = bytes};
    Memory *pinned_to = at_host(real_to), *pinned_from = at_host(real_from);
    int is_pageable = (way == TO_DEVICE && !pinned_from) || (way == FROM_DEVICE && !pinned_to);
    if (is_pageable && is_async) {
        count.pageable_copies++;
        if (way == TO_DEVICE && !stream->is_capturing) { /* staged: the caller's memory is read before the call returns */
            op.from = op.staged = malloc(bytes);
            memcpy(op.staged, real_from, bytes);
        }
    }
    CUresult result = queue_on(stream, op);
    if (!result && (!is_async || (way == FROM_DEVICE && is_pageable && !stream->is_capturing))) drain(stream);
    return leave(result);
}

CUresult CUDAAPI cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void *from, size_t bytes, CUstream stream) { BEGIN_IN_CONTEXT("cuMemcpyHtoDAsync"); return copy("cuMemcpyHtoDAsync", TO_DEVICE, to, (uintptr_t)from, bytes, stream, 1); }
CUresult CUDAAPI cuMemcpyDtoHAsync_v2(void *to, CUdeviceptr from, size_t bytes, CUstream stream) { BEGIN_IN_CONTEXT("cuMemcpyDtoHAsync"); return copy("cuMemcpyDtoHAsync", FROM_DEVICE, (uintptr_t)to, from, bytes, stream, 1); }
CUresult CUDAAPI cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream) { BEGIN_IN_CONTEXT("cuMemcpyDtoDAsync"); return copy("cuMemcpyDtoDAsync", WITHIN_DEVICE, to, from, bytes, stream, 1); }
CUresult CUDAAPI cuMemcpyHtoD_v2(CUdeviceptr to, const void *from, size_t bytes) { BEGIN_IN_CONTEXT("cuMemcpyHtoD"); return copy("cuMemcpyHtoD", TO_DEVICE, to, (uintptr_t)from, bytes, NULL, 0); }
CUresult CUDAAPI cuMemcpyDtoH_v2(void *to, CUdeviceptr from, size_t bytes) { BEGIN_IN_CONTEXT("cuMemcpyDtoH"); return copy("cuMemcpyDtoH", FROM_DEVICE, (uintptr_t)to, from, bytes, NULL, 0); }
CUresult CUDAAPI cuMemcpyDtoD_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes) { BEGIN_IN_CONTEXT("cuMemcpyDtoD"); return copy("cuMemcpyDtoD", WITHIN_DEVICE, to, from, bytes, NULL, 0); }

static CUresult copy_any(const char *name, CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream, int is_async) {
    enter();
    int to_device = at_device(to) != NULL, from_device = at_device(from) != NULL;
    leave(CUDA_SUCCESS);
    int way = to_device && from_device ? WITHIN_DEVICE : to_device ? TO_DEVICE : FROM_DEVICE;
    return copy(name, way, to, from, bytes, stream, is_async);
}
CUresult CUDAAPI cuMemcpy(CUdeviceptr to, CUdeviceptr from, size_t bytes) { BEGIN_IN_CONTEXT("cuMemcpy"); return copy_any("cuMemcpy", to, from, bytes, NULL, 0); }
CUresult CUDAAPI cuMemcpyAsync(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream) { BEGIN_IN_CONTEXT("cuMemcpyAsync"); return copy_any("cuMemcpyAsync", to, from, bytes, stream, 1); }

static CUresult fill(CUdeviceptr to, unsigned value, size_t bytes, Kind kind, CUstream handle, int is_async) {
    enter();
    CUstream stream = stream_of(handle);
    void *real = resolved(to, bytes);
    if (!stream || !real) return leave(CUDA_ERROR_INVALID_VALUE);
    CUresult result = queue_on(stream, (Op){.kind = kind, .to = real, .bytes = bytes, .value = value});
    if (!is_async) drain(stream);
    return leave(result);
}
CUresult CUDAAPI cuMemsetD8_v2(CUdeviceptr to, unsigned char value, size_t number) { BEGIN_IN_CONTEXT("cuMemsetD8"); return fill(to, value, number, SET8, NULL, 0); }
CUresult CUDAAPI cuMemsetD32_v2(CUdeviceptr to, unsigned value, size_t number) { BEGIN_IN_CONTEXT("cuMemsetD32"); return fill(to, value, 4 * number, SET32, NULL, 0); }
CUresult CUDAAPI cuMemsetD8Async(CUdeviceptr to, unsigned char value, size_t number, CUstream stream) { BEGIN_IN_CONTEXT("cuMemsetD8Async"); return fill(to, value, number, SET8, stream, 1); }
CUresult CUDAAPI cuMemsetD32Async(CUdeviceptr to, unsigned value, size_t number, CUstream stream) { BEGIN_IN_CONTEXT("cuMemsetD32Async"); return fill(to, value, 4 * number, SET32, stream, 1); }

/* ---------------------------------------------------------------- streams */

CUresult CUDAAPI cuStreamCreateWithPriority(CUstream *stream, unsigned flags, int priority) {
    BEGIN_IN_CONTEXT("cuStreamCreate");
    enter();
    CUstream made = calloc(1, sizeof *made);
    made->magic = MAGIC_STREAM, made->flags = flags, made->priority = priority;
    made->id = 10 + ++num_made, made->context = stack[depth - 1];
    made->next = streams, streams = made;
    count.streams++;
    *stream = made;
    return leave(CUDA_SUCCESS);
}
CUresult CUDAAPI cuStreamCreate(CUstream *stream, unsigned flags) { return cuStreamCreateWithPriority(stream, flags, 0); }

CUresult CUDAAPI cuStreamDestroy_v2(CUstream handle) {
    BEGIN_GIVING_BACK("cuStreamDestroy");
    MUST_HAVE_CONTEXT("cuStreamDestroy")
    enter();
    CUstream stream = stream_of(handle);
    if (!stream || stream == &default_stream) return leave(fault("cuStreamDestroy", CUDA_ERROR_INVALID_HANDLE, "no such stream"));
    if (stream->is_capturing) count.broken_captures++;
    drain(stream);
    stream->is_ending = 1;
    pthread_cond_broadcast(&changed);
    for (CUstream *it = &streams; *it; it = &(*it)->next)
        if (*it == stream) { *it = stream->next; break; }
    count.streams--;
    int has_thread = stream->has_thread;
    pthread_t thread = stream->thread;
    leave(CUDA_SUCCESS);
    if (has_thread) pthread_join(thread, NULL);
    stream->magic = 0;
    free(stream->queue.ops);
    free(stream);
    return late;
}

CUresult CUDAAPI cuStreamSynchronize(CUstream handle) {
    BEGIN_IN_CONTEXT("cuStreamSynchronize");
    enter();
    CUstream stream = stream_of(handle);
    if (!stream) return leave(fault("cuStreamSynchronize", CUDA_ERROR_INVALID_HANDLE, "no such stream"));
    if (stream->is_capturing) {
        stream->is_invalidated = 1;
        count.broken_captures++;
        return leave(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    }
    wait_for_default(stream);
    drain(stream);
    return leave(CUDA_SUCCESS);
}

CUresult CUDAAPI cuStreamQuery(CUstream handle) {
    BEGIN_IN_CONTEXT("cuStreamQuery");
    enter();
    CUstream stream = stream_of(handle);
    if (!stream) return leave(CUDA_ERROR_INVALID_HANDLE);
    if (stream->is_capturing) { stream->is_invalidated = 1; return leave(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED); }
    return leave(stream->queue.count || stream->is_busy ? CUDA_ERROR_NOT_READY : CUDA_SUCCESS);
}

#define WITH_STREAM(name, work)                                        \
    BEGIN_IN_CONTEXT(name);                                            \
    enter();                                                           \
    CUstream stream = stream_of(handle);                               \
    if (!stream) return leave(CUDA_ERROR_INVALID_HANDLE);              \
    work;                                                              \
    return leave(CUDA_SUCCESS)

CUresult CUDAAPI cuStreamGetFlags(CUstream handle, unsigned *flags) { WITH_STREAM("cuStreamGetFlags", *flags = stream->flags); }
CUresult CUDAAPI cuStreamGetPriority(CUstream handle, int *priority) { WITH_STREAM("cuStreamGetPriority", *priority = stream->priority); }
CUresult CUDAAPI cuStreamGetId(CUstream handle, unsigned long long *id) { WITH_STREAM("cuStreamGetId", *id = stream->id); }
CUresult CUDAAPI cuStreamGetCtx(CUstream handle, CUcontext *context) { WITH_STREAM("cuStreamGetCtx", *context = stream->context ? stream->context : stack[depth - 1]); }
CUresult CUDAAPI cuStreamIsCapturing(CUstream handle, CUstreamCaptureStatus *status) {
    WITH_STREAM("cuStreamIsCapturing", *status = !stream->is_capturing ? CU_STREAM_CAPTURE_STATUS_NONE
                                                 : stream->is_invalidated ? CU_STREAM_CAPTURE_STATUS_INVALIDATED : CU_STREAM_CAPTURE_STATUS_ACTIVE);
}
CUresult CUDAAPI cuStreamGetCaptureInfo_v2(CUstream handle, CUstreamCaptureStatus *status, cuuint64_t *id, CUgraph *graph, const CUgraphNode **nodes, size_t *number) {
    (void)nodes;
    WITH_STREAM("cuStreamGetCaptureInfo", {
        *status = !stream->is_capturing ? CU_STREAM_CAPTURE_STATUS_NONE : stream->is_invalidated ? CU_STREAM_CAPTURE_STATUS_INVALIDATED : CU_STREAM_CAPTURE_STATUS_ACTIVE;
        if (id) *id = stream->capture_id;
        if (graph) *graph = stream->captured;
        if (number) *number = 0;
    });
}
CUresult CUDAAPI cuStreamGetCaptureInfo_v3(CUstream handle, CUstreamCaptureStatus *status, cuuint64_t *id, CUgraph *graph, const CUgraphNode **nodes, const CUgraphEdgeData **edges, size_t *number) {
    (void)edges;
    return cuStreamGetCaptureInfo_v2(handle, status, id, graph, nodes, number);
}

CUresult CUDAAPI cuStreamWaitEvent(CUstream handle, CUevent event, unsigned flags) {
    (void)flags;
    BEGIN_IN_CONTEXT("cuStreamWaitEvent");
    enter();
    CUstream stream = stream_of(handle);
    if (!stream || !is_alive(event, MAGIC_EVENT)) return leave(CUDA_ERROR_INVALID_HANDLE);
    if (event->num_reached == event->num_recorded) return leave(CUDA_SUCCESS);
    if (stream->is_capturing) { /* a graph cannot wait for what is outside it */
        stream->is_invalidated = 1;
        count.broken_captures++;
        return leave(fault("cuStreamWaitEvent", CUDA_ERROR_STREAM_CAPTURE_ISOLATION, "an event from outside the capture"));
    }
    event->references++;
    return leave(queue_on(stream, (Op){.kind = WAIT, .event = event, .record = event->num_recorded, .recorder = event->stream}));
}

CUresult CUDAAPI cuLaunchHostFunc(CUstream handle, CUhostFn function, void *argument) {
    BEGIN_IN_CONTEXT("cuLaunchHostFunc");
    enter();
    CUstream stream = stream_of(handle);
    if (!stream) return leave(CUDA_ERROR_INVALID_HANDLE);
    return leave(queue_on(stream, (Op){.kind = HOST, .function = function, .argument = argument}));
}

CUresult CUDAAPI cuThreadExchangeStreamCaptureMode(CUstreamCaptureMode *mode) {
    BEGIN("cuThreadExchangeStreamCaptureMode");
    CUstreamCaptureMode before = thread_mode;
    thread_mode = *mode, *mode = before;
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuStreamBeginCapture_v2(CUstream handle, CUstreamCaptureMode mode) {
    BEGIN_IN_CONTEXT("cuStreamBeginCapture");
    enter();
    CUstream stream = stream_of(handle);
    if (!stream) return leave(CUDA_ERROR_INVALID_HANDLE);
    if (stream == &default_stream) return leave(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED); /* the legacy stream cannot */
    if (stream->is_capturing) return leave(CUDA_ERROR_ILLEGAL_STATE);
    stream->is_capturing = 1, stream->is_invalidated = 0, stream->capture_mode = mode, stream->capturer = pthread_self();
    stream->capture_id = ++num_made;
    stream->captured = calloc(1, sizeof *stream->captured);
    stream->captured->magic = MAGIC_GRAPH;
    return leave(CUDA_SUCCESS);
}

CUresult CUDAAPI cuStreamEndCapture(CUstream handle, CUgraph *graph) {
    BEGIN_GIVING_BACK("cuStreamEndCapture");
    MUST_HAVE_CONTEXT("cuStreamEndCapture")
    enter();
    CUstream stream = stream_of(handle);
    if (!stream) return leave(CUDA_ERROR_INVALID_HANDLE);
    if (!stream->is_capturing) return leave(CUDA_ERROR_ILLEGAL_STATE);
    if (stream->capture_mode != CU_STREAM_CAPTURE_MODE_RELAXED && !pthread_equal(stream->capturer, pthread_self()))
        return leave(CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD);
    stream->is_capturing = 0;
    if (stream->is_invalidated || late) {
        free(stream->captured->work.ops);
        free(stream->captured);
        *graph = stream->captured = NULL;
        return leave(late ? late : CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
    }
    born(*graph = stream->captured);
    stream->captured = NULL;
    count.graphs++;
    return leave(CUDA_SUCCESS);
}

/* ---------------------------------------------------------------- graphs */

CUresult CUDAAPI cuGraphCreate(CUgraph *graph, unsigned flags) {
    BEGIN("cuGraphCreate");
    (void)flags;
    *graph = calloc(1, sizeof **graph);
    (*graph)->magic = MAGIC_GRAPH;
    born(*graph);
    count.graphs++;
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuGraphDestroy(CUgraph graph) {
    BEGIN_GIVING_BACK("cuGraphDestroy");
    enter();
    if (!is_alive(graph, MAGIC_GRAPH)) { return leave(fault("cuGraphDestroy", CUDA_ERROR_INVALID_VALUE, "no such graph")); }
    died(graph);
    free(graph->work.ops);
    free(graph);
    count.graphs--;
    return leave(late);
}

CUresult CUDAAPI cuGraphInstantiateWithFlags(CUgraphExec *executable, CUgraph graph, unsigned long long flags) {
    BEGIN_IN_CONTEXT("cuGraphInstantiate");
    (void)flags;
    enter();
    if (!is_alive(graph, MAGIC_GRAPH)) return leave(CUDA_ERROR_INVALID_VALUE);
    CUgraphExec made = calloc(1, sizeof *made);
    made->magic = MAGIC_EXEC;
    born(made);
    for (size_t i = 0; i < graph->work.count; i++) push(&made->work, graph->work.ops[i]);
    count.executables++;
    *executable = made;
    return leave(CUDA_SUCCESS);
}
CUresult CUDAAPI cuGraphInstantiateWithParams(CUgraphExec *executable, CUgraph graph, CUDA_GRAPH_INSTANTIATE_PARAMS *params) {
    params->result_out = CUDA_GRAPH_INSTANTIATE_SUCCESS;
    return cuGraphInstantiateWithFlags(executable, graph, params->flags);
}
CUresult CUDAAPI cuGraphInstantiate_v2(CUgraphExec *executable, CUgraph graph, CUgraphNode *node, char *log, size_t room) {
    (void)node;
    if (log && room) *log = 0;
    return cuGraphInstantiateWithFlags(executable, graph, 0);
}

CUresult CUDAAPI cuGraphLaunch(CUgraphExec executable, CUstream handle) {
    BEGIN_IN_CONTEXT("cuGraphLaunch");
    enter();
    CUstream stream = stream_of(handle);
    if (!is_alive(executable, MAGIC_EXEC) || !stream) { return leave(fault("cuGraphLaunch", CUDA_ERROR_INVALID_VALUE, "no such graph or stream")); }
    if (!stream->is_capturing) executable->num_pending++;
    count.graph_launches++;
    return leave(queue_on(stream, (Op){.kind = WHOLE, .whole = executable}));
}
CUresult CUDAAPI cuGraphUpload(CUgraphExec executable, CUstream stream) { BEGIN_IN_CONTEXT("cuGraphUpload"); (void)stream; return is_alive(executable, MAGIC_EXEC) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE; }

CUresult CUDAAPI cuGraphExecDestroy(CUgraphExec executable) {
    BEGIN_GIVING_BACK("cuGraphExecDestroy");
    enter();
    if (!is_alive(executable, MAGIC_EXEC)) { return leave(fault("cuGraphExecDestroy", CUDA_ERROR_INVALID_VALUE, "no such graph")); }
    died(executable);
    executable->is_destroyed = 1;
    if (!executable->num_pending) { free(executable->work.ops); free(executable); }
    count.executables--;
    return leave(late);
}

CUresult CUDAAPI cuGraphGetNodes(CUgraph graph, CUgraphNode *nodes, size_t *number) {
    BEGIN("cuGraphGetNodes");
    (void)nodes;
    if (!is_alive(graph, MAGIC_GRAPH)) return CUDA_ERROR_INVALID_VALUE;
    *number = graph->work.count;
    return CUDA_SUCCESS;
}

/* ---------------------------------------------------------------- events */

CUresult CUDAAPI cuEventCreate(CUevent *event, unsigned flags) {
    BEGIN_IN_CONTEXT("cuEventCreate");
    enter();
    *event = calloc(1, sizeof **event);
    (*event)->magic = MAGIC_EVENT, (*event)->flags = flags;
    born(*event);
    count.events++;
    return leave(CUDA_SUCCESS);
}

CUresult CUDAAPI cuEventRecord(CUevent event, CUstream handle) {
    BEGIN_IN_CONTEXT("cuEventRecord");
    enter();
    CUstream stream = stream_of(handle);
    if (!stream || !is_alive(event, MAGIC_EVENT)) return leave(CUDA_ERROR_INVALID_HANDLE);
    event->references++; /* that of a graph stays */
    if (stream->is_capturing) return leave(queue_on(stream, (Op){.kind = MARK, .event = event}));
    event->stream = stream;
    return leave(queue_on(stream, (Op){.kind = MARK, .event = event, .record = ++event->num_recorded}));
}
CUresult CUDAAPI cuEventRecordWithFlags(CUevent event, CUstream stream, unsigned flags) { (void)flags; return cuEventRecord(event, stream); }

CUresult CUDAAPI cuEventQuery(CUevent event) {
    BEGIN_IN_CONTEXT("cuEventQuery");
    enter();
    if (!is_alive(event, MAGIC_EVENT)) return leave(CUDA_ERROR_INVALID_HANDLE);
    return leave(event->num_reached < event->num_recorded ? CUDA_ERROR_NOT_READY : CUDA_SUCCESS);
}

CUresult CUDAAPI cuEventSynchronize(CUevent event) {
    BEGIN_IN_CONTEXT("cuEventSynchronize");
    enter();
    if (!is_alive(event, MAGIC_EVENT)) return leave(CUDA_ERROR_INVALID_HANDLE);
    CUresult result = unless_capturing("cuEventSynchronize");
    if (!result) reach(event, event->num_recorded, event->stream);
    return leave(result);
}

CUresult CUDAAPI cuEventDestroy_v2(CUevent event) {
    BEGIN_GIVING_BACK("cuEventDestroy");
    MUST_HAVE_CONTEXT("cuEventDestroy")
    enter();
    if (!is_alive(event, MAGIC_EVENT)) return leave(CUDA_ERROR_INVALID_HANDLE);
    died(event);
    event->is_destroyed = 1; /* its last record and wait free it */
    if (!event->references) free(event);
    count.events--;
    return leave(late);
}

CUresult CUDAAPI cuEventElapsedTime(float *milliseconds, CUevent start, CUevent end) {
    BEGIN_IN_CONTEXT("cuEventElapsedTime");
    enter();
    if (!is_alive(start, MAGIC_EVENT) || !is_alive(end, MAGIC_EVENT)) return leave(CUDA_ERROR_INVALID_HANDLE);
    if (!start->num_recorded || !end->num_recorded || (start->flags | end->flags) & CU_EVENT_DISABLE_TIMING) return leave(CUDA_ERROR_INVALID_HANDLE);
    if (start->num_reached < start->num_recorded || end->num_reached < end->num_recorded) return leave(CUDA_ERROR_NOT_READY);
    *milliseconds = (float)((double)(end->ns - start->ns) / 1e6);
    return leave(CUDA_SUCCESS);
}
CUresult CUDAAPI cuEventElapsedTime_v2(float *milliseconds, CUevent start, CUevent end) { return cuEventElapsedTime(milliseconds, start, end); }

/* ---------------------------------------------------------------- finding functions */

struct entry { const char *base; int version; void *function; }; /* of stubs.c, newest first within a base */
extern const struct entry FAKE_CUDA_ENTRIES[];

CUresult CUDAAPI cuGetProcAddress_v2(const char *symbol, void **function, int version, cuuint64_t flags, CUdriverProcAddressQueryResult *status) {
    (void)flags;
    if (!pid_of_init) read_settings();
    *function = NULL;
    CUdriverProcAddressQueryResult found = CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND;
    for (const struct entry *it = FAKE_CUDA_ENTRIES; it->base; it++)
        if (!strcmp(it->base, symbol)) {
            found = CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT;
            if (it->version > version || it->version > set.version) continue; /* an older driver does not have it */
            *function = it->function;
            found = CU_GET_PROC_ADDRESS_SUCCESS;
            break;
        }
    if (status) *status = found;
    if (!*function) say("cuGetProcAddress: no %s of %d", symbol, version);
    return *function || status ? CUDA_SUCCESS : CUDA_ERROR_NOT_FOUND;
}

CUresult CUDAAPI cuGetProcAddress(const char *symbol, void **function, int version, cuuint64_t flags) {
    return cuGetProcAddress_v2(symbol, function, version, flags, NULL);
}

CUresult CUDAAPI fake_cuda_unsupported(const char *name) {
    count.unsupported_calls++;
    say("%s: not in the stand-in", name);
    return CUDA_ERROR_NOT_SUPPORTED;
}

/* ---------------------------------------------------------------- counters */

const struct fake_cuda_counters *fake_cuda_counters(void) { return &count; }

static void report(FILE *file) {
    fprintf(file,
            "fake_cuda: left: %ld device, %ld host, %ld registered, %ld streams, %ld events, %ld graphs, %ld executables, %ld contexts, "
            "primary retained %d times\n"
            "fake_cuda: wrong: %ld without context, %ld after fork, %ld from host functions, %ld bad frees, %ld bad handles, %ld bad pointers, %ld broken captures, "
            "%ld frees while busy, %ld errors, %ld unsupported calls\n"
            "fake_cuda: done: %ld copies (%ld pageable), %ld host functions, %ld graph launches\n",
            count.device_allocations, count.host_allocations, count.host_registrations, count.streams, count.events, count.graphs,
            count.executables, count.contexts, primary[0].references, count.calls_without_context, count.calls_after_fork, count.calls_from_host_functions, count.bad_frees,
            count.bad_handles, count.bad_pointers, count.broken_captures, count.frees_while_busy, count.errors, count.unsupported_calls,
            count.copies, count.pageable_copies, count.host_functions, count.graph_launches);
}

void fake_cuda_report(void) { report(stderr); }

__attribute__((destructor)) static void at_the_end(void) {
    if (set.is_reporting && pid_of_init == getpid()) report(stderr);
}
