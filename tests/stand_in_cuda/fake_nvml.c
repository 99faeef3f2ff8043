/* A stand-in for NVIDIA's management library: the few questions that the bench asks, about one GPU, by its UUID.
   Written from the public documentation of NVML. Settings are read at each call; see README.md. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SUCCESS = 0, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7, FUNCTION_NOT_FOUND = 13 };
typedef struct { unsigned pid; unsigned long long used; unsigned gpu_instance, compute_instance; } Process;

static int device;

static double number_of(const char *name, double otherwise) {
    const char *value = getenv(name);
    return value ? strtod(value, NULL) : otherwise;
}

static int lacks(const char *what) {
    const char *missing = getenv("FAKE_NVML_LACKS");
    return missing && strstr(missing, what);
}

int nvmlInitWithFlags(unsigned flags) { (void)flags; return SUCCESS; }
int nvmlInit_v2(void) { return SUCCESS; }
int nvmlShutdown(void) { return SUCCESS; }
const char *nvmlErrorString(int error) { (void)error; return "the stand-in says no"; }

int nvmlDeviceGetHandleByUUID(const char *uuid, void **handle) {
    const char *known = getenv("FAKE_NVML_UUID");
    if (strcmp(uuid, known ? known : "GPU-11111111-1111-1111-1111-111111111111")) return NOT_FOUND;
    *handle = &device;
    return SUCCESS;
}

int nvmlDeviceGetClockInfo(void *handle, int kind, unsigned *megahertz) {
    if (handle != &device || kind != 1) return INVALID_ARGUMENT; /* NVML_CLOCK_SM */
    if (lacks("clock")) return NOT_SUPPORTED;
    *megahertz = (unsigned)number_of("FAKE_NVML_MHZ", 1980);
    return SUCCESS;
}

int nvmlDeviceGetTemperature(void *handle, int sensor, unsigned *celsius) {
    if (handle != &device || sensor != 0) return INVALID_ARGUMENT;
    if (lacks("temperature")) return NOT_SUPPORTED;
    *celsius = (unsigned)number_of("FAKE_NVML_CELSIUS", 64);
    return SUCCESS;
}

int nvmlDeviceGetCurrentClocksThrottleReasons(void *handle, unsigned long long *reasons) {
    if (handle != &device) return INVALID_ARGUMENT;
    if (lacks("reasons")) return NOT_SUPPORTED;
    *reasons = (unsigned long long)number_of("FAKE_NVML_REASONS", 0);
    return SUCCESS;
}

int nvmlDeviceGetCurrentClocksEventReasons(void *handle, unsigned long long *reasons) {
    if (lacks("event")) return FUNCTION_NOT_FOUND; /* drivers before R535 */
    return nvmlDeviceGetCurrentClocksThrottleReasons(handle, reasons);
}

int nvmlDeviceGetTotalEnergyConsumption(void *handle, unsigned long long *millijoules) {
    struct timespec now;
    if (handle != &device) return INVALID_ARGUMENT;
    if (lacks("energy")) return NOT_SUPPORTED;
    clock_gettime(CLOCK_MONOTONIC, &now);
    *millijoules = (unsigned long long)(1e3 * number_of("FAKE_NVML_WATTS", 250) * ((double)now.tv_sec + (double)now.tv_nsec / 1e9));
    return SUCCESS;
}

/* FAKE_NVML_PROCESSES: `pid:MiB`, or `pid:-` for one of which the driver does not tell. */
int nvmlDeviceGetComputeRunningProcesses_v3(void *handle, unsigned *count, Process *processes) {
    const char *told = getenv("FAKE_NVML_PROCESSES");
    unsigned room = *count, number = 0;
    if (handle != &device) return INVALID_ARGUMENT;
    while (told && *told) {
        char *end;
        Process found = {(unsigned)strtoul(told, &end, 10), ~0ull, ~0u, ~0u};
        if (end[1] != '-') found.used = strtoull(end + 1, NULL, 10) << 20;
        if (processes && number < room) processes[number] = found;
        number++;
        told = strchr(end, ',');
        told = told ? told + 1 : NULL;
    }
    *count = number;
    return number > room ? INSUFFICIENT_SIZE : SUCCESS;
}
