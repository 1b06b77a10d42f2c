/* SPDX-License-Identifier: MIT */
#include "vmm/bench/bench.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "vmm/look/json.h"

static const char *const unit_text[] = {[MICRO_NS] = "ns", [MICRO_MBS] = "MB/s"};
static const char *const peer_name[NUM_BENCH_PEERS] = {[BENCH_DISCO] = "disco", [BENCH_QEMU] = "qemu"};

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

struct bench_summary bench_summarize(const struct bench_samples *s)
{
	struct bench_summary r = {.n = s->n};
	double *v;

	if (!s->n)
		return r;
	v = malloc(s->n * sizeof(*v));
	if (!v)
		return (struct bench_summary){0};
	memcpy(v, s->value, s->n * sizeof(*v));
	qsort(v, s->n, sizeof(*v), compare);
	r.min = v[0];
	r.max = v[s->n - 1];
	r.median = s->n % 2 ? v[s->n / 2] : (v[s->n / 2 - 1] + v[s->n / 2]) / 2;
	free(v);
	return r;
}

void bench_print_list(FILE *out)
{
	for (unsigned i = 0; i < NUM_MICROS; i++)
		fprintf(out, "  %-15s %-5s %s\n", bench_micros[i].name,
			bench_micros[i].program == MICRO_BARE ? "bare" : "linux", bench_micros[i].text);
}

/* How many times as fast as QEMU. */
static double ratio(const struct micro *m, const struct bench_summary *disco, const struct bench_summary *qemu)
{
	return m->unit == MICRO_NS ? qemu->median / disco->median : disco->median / qemu->median;
}

static void cpu_name(char *out, size_t bytes)
{
	char line[256];
	FILE *f = fopen("/proc/cpuinfo", "r");

	snprintf(out, bytes, "unknown CPU");
	while (f && fgets(line, sizeof(line), f))
		if (strncmp(line, "model name", 10) == 0 && strchr(line, ':')) {
			snprintf(out, bytes, "%s", strchr(line, ':') + 2);
			out[strcspn(out, "\n")] = '\0';
			break;
		}
	if (f)
		fclose(f);
}

/* The first line of `PROGRAM --version`. */
static void program_version(const char *program, char *out, size_t bytes)
{
	char command[512];
	FILE *p;

	snprintf(out, bytes, "unknown version");
	if (strchr(program, '\'') ||
	    snprintf(command, sizeof(command), "'%s' --version 2>/dev/null", program) >= (int)sizeof(command))
		return;
	p = popen(command, "r");
	if (!p)
		return;
	if (fgets(out, (int)bytes, p))
		out[strcspn(out, "\n")] = '\0';
	pclose(p);
}

static void print_value(FILE *out, const struct bench_summary *s)
{
	if (s->n)
		fprintf(out, "%10.*f (%8.*f-%8.*f)", s->median < 100 ? 2 : 0, s->median, s->min < 100 ? 2 : 0, s->min,
			s->max < 100 ? 2 : 0, s->max);
	else
		fprintf(out, "%30s", "-");
}

static void print_devices(const struct bench_results *r, FILE *out)
{
	if (r->n_devices)
		fprintf(out, "\n%-24s %12s %12s %16s %14s\n", "device", "requests", "traps each", "interrupts each",
			"bytes each");
	for (unsigned i = 0; i < r->n_devices; i++) {
		const struct bench_device *d = &r->device[i];
		double n = d->requests ? (double)d->requests : 1;

		fprintf(out, "%-24s %12" PRIu64 " %12.3f %16.3f %14.0f\n", d->name, d->requests,
			(double)d->notifies / n, (double)d->interrupts / n, (double)d->bytes / n);
	}
}

void bench_print_table(const struct bench_options *opt, const struct bench_results *r, FILE *out)
{
	char cpu[256], version[256];
	struct utsname host;

	cpu_name(cpu, sizeof(cpu));
	fprintf(out, "%s, %s; disco " DISCO_VERSION, cpu, uname(&host) ? "unknown host" : host.release);
	if (opt->qemu) {
		program_version(opt->qemu, version, sizeof(version));
		fprintf(out, "; %s, -cpu 34Kf", version);
	}
	fprintf(out, "; %u round%s; median (least-most)\n\n", opt->rounds, opt->rounds == 1 ? "" : "s");
	fprintf(out, "%-15s %-4s %30s %30s %8s\n", "", "", "disco", "qemu", "times");
	for (unsigned i = 0; i < NUM_MICROS; i++) {
		const struct micro *m = &bench_micros[i];
		struct bench_summary disco = bench_summarize(&r->s[BENCH_DISCO][i]);
		struct bench_summary qemu = bench_summarize(&r->s[BENCH_QEMU][i]);

		if (!disco.n && !qemu.n)
			continue;
		fprintf(out, "%-15s %-4s ", m->name, unit_text[m->unit]);
		print_value(out, &disco);
		fputc(' ', out);
		print_value(out, &qemu);
		if (disco.n && qemu.n)
			fprintf(out, " %7.2fx", ratio(m, &disco, &qemu));
		fprintf(out, "  %s\n", m->text);
	}
	print_devices(r, out);
}

static void print_samples(FILE *out, const char *name, const struct bench_samples *s)
{
	struct bench_summary sum = bench_summarize(s);

	if (!sum.n)
		return;
	fprintf(out, ", \"%s\": {\"median\": %.6g, \"min\": %.6g, \"max\": %.6g, \"samples\": [", name, sum.median,
		sum.min, sum.max);
	for (unsigned i = 0; i < s->n; i++)
		fprintf(out, "%s%.6g", i ? ", " : "", s->value[i]);
	fputs("]}", out);
}

static void print_json_micros(const struct bench_results *r, FILE *out)
{
	const char *comma = "";

	for (unsigned i = 0; i < NUM_MICROS; i++) {
		const struct micro *m = &bench_micros[i];
		struct bench_summary disco = bench_summarize(&r->s[BENCH_DISCO][i]);
		struct bench_summary qemu = bench_summarize(&r->s[BENCH_QEMU][i]);

		if (!disco.n && !qemu.n)
			continue;
		fprintf(out, "%s\n    {\"name\": \"%s\", \"unit\": \"%s\", \"text\": ", comma, m->name,
			unit_text[m->unit]);
		json_print_string(out, m->text);
		for (unsigned p = 0; p < NUM_BENCH_PEERS; p++)
			print_samples(out, peer_name[p], &r->s[p][i]);
		if (disco.n && qemu.n)
			fprintf(out, ", \"times_qemu\": %.4g", ratio(m, &disco, &qemu));
		fputc('}', out);
		comma = ",";
	}
}

void bench_print_json(const struct bench_options *opt, const struct bench_results *r, FILE *out)
{
	char text[256];
	struct utsname host;

	cpu_name(text, sizeof(text));
	fputs("{\n  \"cpu\": ", out);
	json_print_string(out, text);
	fputs(",\n  \"host\": ", out);
	json_print_string(out, uname(&host) ? "unknown" : host.release);
	fputs(",\n  \"disco\": \"" DISCO_VERSION "\"", out);
	if (opt->qemu) {
		program_version(opt->qemu, text, sizeof(text));
		fputs(",\n  \"qemu\": ", out);
		json_print_string(out, text);
	}
	fprintf(out, ",\n  \"rounds\": %u,\n  \"benchmarks\": [", opt->rounds);
	print_json_micros(r, out);
	fputs("\n  ],\n  \"devices\": [", out);
	for (unsigned i = 0; i < r->n_devices; i++) {
		const struct bench_device *d = &r->device[i];

		fprintf(out, "%s\n    {\"name\": ", i ? "," : "");
		json_print_string(out, d->name);
		fprintf(out,
			", \"requests\": %" PRIu64 ", \"notifies\": %" PRIu64 ", \"interrupts\": %" PRIu64
			", \"bytes\": %" PRIu64 "}",
			d->requests, d->notifies, d->interrupts, d->bytes);
	}
	fputs("\n  ]\n}\n", out);
}
