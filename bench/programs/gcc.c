/* SPDX-License-Identifier: MIT */
/* bench/vs-qemu's file for gcc -O2: a hash table, an expression parser and its evaluator, a sort, matrices. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct entry {
	struct entry *next;
	char *name;
	double value;
};

struct table {
	struct entry **slots;
	unsigned n_slots, n_entries;
};

static unsigned hash(const char *s)
{
	unsigned h = 2166136261u;

	while (*s)
		h = (h ^ (unsigned char)*s++) * 16777619u;
	return h;
}

static int grow(struct table *t)
{
	unsigned n = t->n_slots ? 2 * t->n_slots : 8;
	struct entry **slots = calloc(n, sizeof(*slots));

	if (!slots)
		return -1;
	for (unsigned i = 0; i < t->n_slots; i++)
		for (struct entry *e = t->slots[i], *next; e; e = next) {
			unsigned at = hash(e->name) % n;

			next = e->next;
			e->next = slots[at];
			slots[at] = e;
		}
	free(t->slots);
	t->slots = slots;
	t->n_slots = n;
	return 0;
}

struct entry *find(struct table *t, const char *name, int make)
{
	struct entry *e = NULL;

	if (t->n_slots)
		for (e = t->slots[hash(name) % t->n_slots]; e; e = e->next)
			if (strcmp(e->name, name) == 0)
				return e;
	if (!make || (t->n_entries >= t->n_slots && grow(t)))
		return NULL;
	e = calloc(1, sizeof(*e));
	if (!e || !(e->name = strdup(name))) {
		free(e);
		return NULL;
	}
	e->next = t->slots[hash(name) % t->n_slots];
	t->slots[hash(name) % t->n_slots] = e;
	t->n_entries++;
	return e;
}

enum kind { NUMBER, NAME, NEGATE, PLUS, MINUS, TIMES, OVER, ASSIGN };
struct node {
	enum kind kind;
	double value;
	char name[32];
	struct node *left, *right;
};

struct parser {
	const char *at;
	int failed;
};

static struct node *make_node(struct parser *p, enum kind kind, struct node *left, struct node *right)
{
	struct node *n = calloc(1, sizeof(*n));

	if (!n) {
		p->failed = 1;
		return NULL;
	}
	n->kind = kind;
	n->left = left;
	n->right = right;
	return n;
}

static void blanks(struct parser *p)
{
	while (isspace((unsigned char)*p->at))
		p->at++;
}

static struct node *sum(struct parser *p);

static struct node *atom(struct parser *p)
{
	struct node *n;
	char *end;

	blanks(p);
	if (*p->at == '(') {
		p->at++;
		n = sum(p);
		blanks(p);
		if (*p->at != ')')
			p->failed = 1;
		else
			p->at++;
		return n;
	}
	if (*p->at == '-') {
		p->at++;
		return make_node(p, NEGATE, atom(p), NULL);
	}
	if (isalpha((unsigned char)*p->at)) {
		unsigned i = 0;

		n = make_node(p, NAME, NULL, NULL);
		while (n && isalnum((unsigned char)*p->at)) {
			if (i < sizeof(n->name) - 1)
				n->name[i++] = *p->at;
			p->at++;
		}
		return n;
	}
	n = make_node(p, NUMBER, NULL, NULL);
	if (n) {
		n->value = strtod(p->at, &end);
		if (end == p->at)
			p->failed = 1;
		p->at = end;
	}
	return n;
}

static struct node *product(struct parser *p)
{
	struct node *n = atom(p);

	for (blanks(p); !p->failed && (*p->at == '*' || *p->at == '/'); blanks(p)) {
		enum kind kind = *p->at++ == '*' ? TIMES : OVER;

		n = make_node(p, kind, n, atom(p));
	}
	return n;
}

static struct node *sum(struct parser *p)
{
	struct node *n = product(p);

	for (blanks(p); !p->failed && (*p->at == '+' || *p->at == '-'); blanks(p)) {
		enum kind kind = *p->at++ == '+' ? PLUS : MINUS;

		n = make_node(p, kind, n, product(p));
	}
	return n;
}

double evaluate(struct table *t, const struct node *n)
{
	struct entry *e;

	if (!n)
		return 0;
	switch (n->kind) {
	case NUMBER:
		return n->value;
	case NAME:
		e = find(t, n->name, 0);
		return e ? e->value : 0;
	case NEGATE:
		return -evaluate(t, n->left);
	case PLUS:
		return evaluate(t, n->left) + evaluate(t, n->right);
	case MINUS:
		return evaluate(t, n->left) - evaluate(t, n->right);
	case TIMES:
		return evaluate(t, n->left) * evaluate(t, n->right);
	case OVER:
		return evaluate(t, n->left) / evaluate(t, n->right);
	case ASSIGN:
		e = find(t, n->name, 1);
		return e ? e->value = evaluate(t, n->right) : 0;
	}
	return 0;
}

struct node *parse(const char *text)
{
	struct parser p = {text, 0};
	struct node *n = sum(&p);

	blanks(&p);
	if (n && *p.at == '=' && n->kind == NAME) {
		p.at++;
		n->kind = ASSIGN;
		n->right = sum(&p);
	}
	return p.failed ? NULL : n;
}

#define DEFINE_SORT(type)                                                                                              \
	void sort_##type(type *a, int n)                                                                               \
	{                                                                                                              \
		while (n > 12) {                                                                                       \
			type pivot = a[n / 2], swap;                                                                   \
			int i = 0, j = n - 1;                                                                          \
			do {                                                                                           \
				while (a[i] < pivot)                                                                   \
					i++;                                                                           \
				while (pivot < a[j])                                                                   \
					j--;                                                                           \
				if (i <= j) {                                                                          \
					swap = a[i];                                                                   \
					a[i++] = a[j];                                                                 \
					a[j--] = swap;                                                                 \
				}                                                                                      \
			} while (i <= j);                                                                              \
			sort_##type(a, j + 1);                                                                         \
			a += i;                                                                                        \
			n -= i;                                                                                        \
		}                                                                                                      \
		for (int i = 1; i < n; i++)                                                                            \
			for (int j = i; j > 0 && a[j] < a[j - 1]; j--) {                                               \
				type swap = a[j];                                                                      \
				a[j] = a[j - 1];                                                                       \
				a[j - 1] = swap;                                                                       \
			}                                                                                              \
	}
typedef unsigned long long wide;
DEFINE_SORT(int)
DEFINE_SORT(double)
DEFINE_SORT(wide)
DEFINE_SORT(short)

#define DEFINE_MATRIX(type, n)                                                                                         \
	void multiply_##type##_##n(type c[n][n], const type a[n][n], const type b[n][n])                               \
	{                                                                                                              \
		for (int i = 0; i < n; i++)                                                                            \
			for (int j = 0; j < n; j++) {                                                                  \
				type s = 0;                                                                            \
				for (int k = 0; k < n; k++)                                                            \
					s += a[i][k] * b[k][j];                                                        \
				c[i][j] = s;                                                                           \
			}                                                                                              \
	}                                                                                                              \
	type trace_##type##_##n(const type a[n][n])                                                                    \
	{                                                                                                              \
		type s = 0;                                                                                            \
		for (int i = 0; i < n; i++)                                                                            \
			s += a[i][i];                                                                                  \
		return s;                                                                                              \
	}
DEFINE_MATRIX(int, 3)
DEFINE_MATRIX(int, 4)
DEFINE_MATRIX(int, 32)
DEFINE_MATRIX(double, 3)
DEFINE_MATRIX(double, 4)
DEFINE_MATRIX(double, 32)
DEFINE_MATRIX(float, 4)
DEFINE_MATRIX(wide, 4)

int main(int argc, char **argv)
{
	struct table t = {0};

	for (int i = 1; i < argc; i++) {
		struct node *n = parse(argv[i]);

		if (n)
			printf("%s: %.15g\n", argv[i], evaluate(&t, n));
		else
			printf("%s: not understood\n", argv[i]);
	}
	return 0;
}
